import type { TestContext } from 'node:test';
import { cpuSecondsOf, ratios, stat } from '../../../bench/measure.ts';
import type { Child } from '../child.ts';
import { LoadClients } from './load-clients.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';
import { type Comparison, compare } from './times.ts';

const TIMES = 4;
const USUAL = 0.8;
const CONNECTIONS = 600;
/** Of each second, requests whose times are taken. */
const PROBES = 100;
const IDENTITIES = 64;
const WARM_UP_SECONDS = 3;

export interface OverloadTimes extends Comparison {
  /** Served each second at four times the capacity ÷ capacity. */
  readonly servedShare: number;
  /** The same of each second of processor time of the server ÷ at 80 %: what it does beside refusing, whatever else runs here. */
  readonly servedPerCpuShare: number;
}

/**
 * How long served requests take at four times the capacity, beside 80 % of it (L1). Capacity is measured anew in each
 * round, for the machine may have more to do or less by then.
 */
export async function overloadTimes(
  t: TestContext,
  server: Child,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<OverloadTimes> {
  const { port } = server;
  const signed = new Requests(port, server.key);
  const ids = await createMany(port, signed, IDENTITIES);
  const [clients, probes] = [new LoadClients(t), new LoadClients(t)];
  const issue = () => ({ port, requests: ids.map((id) => signed.issue(id)) });
  await clients.send({ ...issue(), connections: 32, seconds: Math.min(WARM_UP_SECONDS, seconds) });

  const shares: number[] = [];
  const perCpu = new Map<number, number[]>([USUAL, TIMES].map((load) => [load, []]));
  let capacity = 0;
  let windows = 0;
  const window = async (load: number) => {
    if (windows++ % 2 === 0) {
      const alone = await clients.send({ ...issue(), connections: 32, seconds: seconds / 2 });
      capacity = alone.served.length / (seconds / 2);
    }
    const perSecond = Math.max(PROBES, load * capacity - PROBES);
    const before = cpuSecondsOf(server.pid);
    const [many, few] = await Promise.all([
      clients.send({ ...issue(), connections: CONNECTIONS, perSecond, seconds }),
      probes.send({ ...issue(), connections: PROBES, perSecond: PROBES, seconds }),
    ]);
    const served = many.served.length + few.served.length;
    perCpu.get(load)?.push(served / (cpuSecondsOf(server.pid) - before));
    if (load === TIMES) shares.push(served / seconds / capacity);
    return few;
  };
  const found = await compare(rounds, [server.pid, clients.pid, probes.pid], {
    usual: () => window(USUAL),
    loaded: () => window(TIMES),
  });
  return {
    ...found,
    servedShare: twoDigits(stat(shares).median),
    servedPerCpuShare: twoDigits(stat(ratios(perCpu.get(TIMES) ?? [], perCpu.get(USUAL) ?? [])).median),
  };
}

const twoDigits = (value: number): number => Math.round(value * 100) / 100;
