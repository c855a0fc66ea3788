import { BareStore, syncsPerSecond } from './bare-disk.ts';
import { createRequest, Load, Signer } from './load.ts';
import { cpuSecondsOf, interleaved, mainThreadSecondsOf, ratios, scaled, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { counterOf, type ServerProcess, settle, startLinarite } from './server-process.ts';
import { makeFolder } from './workplace.ts';

const CREATORS = 64;
const SYNCS = 500;
const WARM_UP = 12_000;

/** Durable identities a second over HTTP, beside what the disk allows to a writer that gathers as many to a sync. */
export async function measureCreate({ quick, rounds }: Scale): Promise<Outcome> {
  const count = quick ? 8000 : 20_000;
  const folder = makeFolder('create');
  const bare = new BareStore(folder);
  const creating = await Creating.begin(await startLinarite({ folder }));
  await creating.perSecond(WARM_UP);
  creating.samples.length = 0;
  bare.rowsPerSecond(count, creating.lastGroup);
  const { created, allowed, syncs } = await interleaved(rounds, {
    created: () => creating.perSecond(count),
    allowed: () => bare.rowsPerSecond(count, creating.lastGroup),
    syncs: () => syncsPerSecond(folder, SYNCS),
  });
  await creating.end();
  bare.close();

  const { samples } = creating;
  const groups = samples.map(({ group }) => group);
  // The event loop makes every sync itself, so this is also the share of its time that the disk takes.
  const inSync = stat(
    created.map((rate, round) => rate / ((groups[round] ?? Number.NaN) * (syncs[round] ?? Number.NaN))),
  );
  return {
    title: 'durable creates/s over HTTP, 64 at a time ÷ what the disk allows with group commit',
    checks: [
      check('creates/s ÷ rows/s of bare node:sqlite in groups as large', stat(ratios(created, allowed)), {
        least: 0.7,
      }),
    ],
    raw: {
      'limited by': inSync.median < 0.5 ? 'CPU' : 'disk',
      'creates/s over HTTP, by the clock on the wall': stat(created),
      'rows/s of bare node:sqlite, by the clock on the wall': stat(allowed),
      'creates in one transaction, mean': stat(groups),
      'fdatasync/s of 4 KiB appends': stat(syncs),
      'share of the time that syncs take, creates/s ÷ (creates in one transaction × fdatasync/s)': inSync,
      'share of the time in which the event loop was on a core': stat(samples.map(({ mainBusy }) => mainBusy)),
      'server CPU per create, µs': stat(
        scaled(
          samples.map(({ cpuSeconds }) => cpuSeconds),
          1e6,
        ),
      ),
    },
    notes: [
      'what the disk allows: a loop of node:sqlite alone in the same folder, same table and pragmas (WAL, synchronous=FULL), as many rows to a transaction as the server had on average (linarite_store_jobs_total ÷ linarite_store_transactions_total). It does no HTTP, no HMAC, no JSON and no log, so on a disk with fast syncs the processor decides, not the disk.',
    ],
  };
}

interface Measured {
  readonly group: number;
  readonly mainBusy: number;
  readonly cpuSeconds: number;
}

class Creating {
  readonly samples: Measured[] = [];
  readonly #server: ServerProcess;
  readonly #load: Load;
  readonly #signer: Signer;

  constructor(server: ServerProcess, load: Load) {
    this.#server = server;
    this.#load = load;
    this.#signer = new Signer(server.port, server.found.key ?? '');
  }

  static async begin(server: ServerProcess): Promise<Creating> {
    const load = await Load.open(server.port, CREATORS);
    await settle();
    return new Creating(server, load);
  }

  get lastGroup(): number {
    return this.samples.at(-1)?.group ?? CREATORS / 2;
  }

  async perSecond(count: number): Promise<number> {
    const { pid } = this.#server;
    const before = [
      await this.#jobs(),
      await this.#transactions(),
      cpuSecondsOf(pid),
      mainThreadSecondsOf(pid),
    ] as const;
    const seconds = await this.#load.run(count, 201, () => createRequest(this.#signer));
    const cpu = cpuSecondsOf(pid) - before[2];
    const main = (mainThreadSecondsOf(pid) ?? cpuSecondsOf(pid)) - (before[3] ?? before[2]);
    const jobs = (await this.#jobs()) - before[0];
    const group = jobs / ((await this.#transactions()) - before[1]);
    this.samples.push({ group, mainBusy: main / seconds, cpuSeconds: cpu / count });
    return count / seconds;
  }

  #jobs = (): Promise<number> => counterOf(this.#server, 'linarite_store_jobs_total');
  #transactions = (): Promise<number> => counterOf(this.#server, 'linarite_store_transactions_total');

  async end(): Promise<void> {
    this.#load.close();
    await this.#server.stop();
  }
}
