import { BareStore, syncsPerSecond } from './bare-disk.ts';
import { createIdentities } from './issuing.ts';
import { createRequest, Load, lookUpRequest, Signer } from './load.ts';
import { cpuSecondsOf, interleaved, mainThreadSecondsOf, ratios, scaled, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { counterOf, cpuWhile, type ServerProcess, settle, startLinarite } from './server-process.ts';
import { makeFolder } from './workplace.ts';

const CREATORS = 64;
const SYNCS = 500;
const WARM_UP = 12_000;

/**
 * Durable identities a second over HTTP, beside the lesser of two bounds that no code between request and row can pass: what
 * the disk allows to a writer that gathers as many rows to a sync, and what the same clients get of signed requests that
 * write nothing.
 */
export async function measureCreate({ quick, rounds }: Scale): Promise<Outcome> {
  const count = quick ? 8000 : 20_000;
  const folder = makeFolder('create');
  const bare = new BareStore(folder);
  const creating = await Creating.begin(await startLinarite({ folder }));
  await creating.perSecond(WARM_UP);
  await creating.lookUpsPerSecond(WARM_UP);
  creating.samples.length = creating.lookUpCpu.length = 0;
  bare.rowsPerSecond(count, creating.lastGroup);
  const { created, allowed, lookedUp, syncs } = await interleaved(rounds, {
    created: () => creating.perSecond(count),
    allowed: () => bare.rowsPerSecond(count, creating.lastGroup),
    lookedUp: () => creating.lookUpsPerSecond(count),
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
  const bound = allowed.map((rows, round) => Math.min(rows, lookedUp[round] ?? Number.NaN));
  const byDisk = bound.filter((rate, round) => rate === allowed[round]).length;
  return {
    title: 'durable creates/s over HTTP, 64 at a time ÷ the lesser of what the disk and what HTTP allow',
    checks: [
      check('creates/s ÷ the lesser of bare rows/s and signed look-ups/s', stat(ratios(created, bound)), {
        least: 0.7,
      }),
    ],
    raw: {
      'the lesser bound': `${byDisk > rounds / 2 ? 'the disk' : 'HTTP'} in ${Math.max(byDisk, rounds - byDisk)} of ${rounds} rounds`,
      'creates/s over HTTP, by the clock on the wall': stat(created),
      'rows/s of bare node:sqlite, by the clock on the wall': stat(allowed),
      'signed look-ups/s over HTTP, by the clock on the wall': stat(lookedUp),
      'creates/s ÷ rows/s of bare node:sqlite': stat(ratios(created, allowed)),
      'creates/s ÷ signed look-ups/s': stat(ratios(created, lookedUp)),
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
      'server CPU per look-up, µs': stat(scaled(creating.lookUpCpu, 1e6)),
    },
    notes: [
      'what the disk allows: a loop of node:sqlite alone in the same folder, same table and pragmas (WAL, synchronous=FULL), as many rows to a transaction as the server had on average (linarite_store_jobs_total ÷ linarite_store_transactions_total).',
      'what HTTP allows: GET of an identity by the same 64 connections at the same server. Signed, routed, logged and answered like a create; reads one row, writes nothing and waits for no disk.',
      'the ratio is taken round by round, so that what else the machine does meets all three.',
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
  /** Processor seconds of the server for one look-up. */
  readonly lookUpCpu: number[] = [];
  readonly #server: ServerProcess;
  readonly #load: Load;
  readonly #signer: Signer;
  /** The identity that is looked up. */
  readonly #id: string;

  constructor(server: ServerProcess, load: Load, signer: Signer, id: string) {
    this.#server = server;
    this.#load = load;
    this.#signer = signer;
    this.#id = id;
  }

  static async begin(server: ServerProcess): Promise<Creating> {
    const load = await Load.open(server.port, CREATORS);
    const signer = new Signer(server.port, server.found.key ?? '');
    const [id = ''] = await createIdentities(load, signer, 1);
    await settle();
    return new Creating(server, load, signer, id);
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

  /** Signed requests that write nothing. */
  async lookUpsPerSecond(count: number): Promise<number> {
    let seconds = 0;
    const cpu = await cpuWhile(this.#server, async () => {
      seconds = await this.#load.run(count, 200, () => lookUpRequest(this.#signer, this.#id));
    });
    this.lookUpCpu.push(cpu / count);
    return count / seconds;
  }

  #jobs = (): Promise<number> => counterOf(this.#server, 'linarite_store_jobs_total');
  #transactions = (): Promise<number> => counterOf(this.#server, 'linarite_store_transactions_total');

  async end(): Promise<void> {
    this.#load.close();
    await this.#server.stop();
  }
}
