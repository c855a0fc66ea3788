import { fill } from './fill.ts';
import { Issuing } from './issuing.ts';
import { interleaved, ratios, residentMebibytesOf, scaled, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { startLinarite } from './server-process.ts';
import { makeFolder, removeFolder } from './workplace.ts';

const FEW = 1000;
const MANY = 10_000_000;
const MANY_QUICK = 300_000;
/** Identities that tokens are issued for, spread over all of them. */
const SAMPLE = 100_000;

/** Whether a token costs more when the store is full. */
export async function measureScale({ quick, rounds }: Scale): Promise<Outcome> {
  const count = quick ? 2000 : 4000;
  const many = quick ? MANY_QUICK : MANY;
  const full = await filled(many);
  const small = await filled(FEW);
  const { of, by } = await interleaved(rounds, {
    of: () => full.issuing.cpuSecondsPerToken(count),
    by: () => small.issuing.cpuSecondsPerToken(count),
  });
  const [fullMebibytes, smallMebibytes] = [full, small].map(({ issuing }) => residentMebibytesOf(issuing.server.pid));
  for (const { issuing, folder } of [full, small]) {
    await issuing.end();
    removeFolder(folder);
  }
  return {
    title: `CPU of one token with ${many.toLocaleString('en')} identities ÷ with ${FEW.toLocaleString('en')}`,
    checks: [check('issue cost, full ÷ nearly empty', stat(ratios(of, by)), { most: 1.1 })],
    raw: {
      [`${many.toLocaleString('en')} identities: server CPU per token, µs`]: stat(scaled(of, 1e6)),
      [`${FEW.toLocaleString('en')} identities: server CPU per token, µs`]: stat(scaled(by, 1e6)),
      'size of the full store, MB': full.megabytes,
      'memory of the server with the full store, MiB': fullMebibytes ?? Number.NaN,
      'memory of the server with the small one, MiB': smallMebibytes ?? Number.NaN,
    },
    notes: [
      `tokens for identities by chance, ${SAMPLE.toLocaleString('en')} of them spread evenly over the store (all of the small one); the cache of SQLite has 32 MiB, and what it misses is read through the page cache of the system.`,
      ...(quick
        ? [`a quick run: ${MANY_QUICK.toLocaleString('en')} identities, not ${MANY.toLocaleString('en')}.`]
        : []),
    ],
  };
}

async function filled(count: number) {
  const folder = makeFolder('scale');
  const empty = await startLinarite({ folder }); // makes the schema and the keys
  await empty.stop();
  const { ids, megabytes } = fill(folder, count, SAMPLE);
  return { folder, megabytes, issuing: await Issuing.begin(await startLinarite({ folder }), ids) };
}
