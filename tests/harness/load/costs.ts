import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import { get } from '../../../bench/load.ts';
import { stat } from '../../../bench/measure.ts';
import type { Child } from '../child.ts';
import { LoadClients } from './load-clients.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';
import { type Comparison, compare } from './times.ts';

/** Revocations of the quiet resource, and questions about health, each second. */
const REVOCATIONS_PER_SECOND = 40;
const HEALTH_PER_SECOND = 20;
/** Entries of one costly request: the most that one may have. */
const ENTRIES = 500;
const DIFFERENT = 8;
const TENANT = '11111111-2222-4333-8444-555555555555';

export interface CostTimes extends Comparison {
  /** 99th percentile of /-/health/live beside the costly requests: the median of the windows. */
  readonly healthMs: number;
  readonly costlyServed: number;
  readonly costlyRefused: number;
  /** Costly requests with another answer than success or 503 with `Retry-After`, and revocations that did not succeed. */
  readonly unexpected: number;
}

/**
 * How long the revocations of one resource, and health, wait beside another resource whose requests each cost hundreds
 * of times as much: bulk changes of assignments, made and removed in turns, without a pause.
 */
export async function costTimes(
  t: TestContext,
  { server, key }: { server: Child; key: string },
  { connections, rounds, seconds }: { connections: number; rounds: number; seconds: number },
): Promise<CostTimes> {
  const { port } = server;
  const [costly, quiet] = [new Requests(port, server.key), new Requests(port, key)];
  const ids = await createMany(port, quiet, REVOCATIONS_PER_SECOND);
  const [many, few, probes] = [new LoadClients(t), new LoadClients(t).goFirst(), new LoadClients(t).goFirst()];
  const groups = Array.from({ length: DIFFERENT }, () => Array.from({ length: ENTRIES }, () => randomUUID()));
  const assignment = { tenantId: TENANT, principalType: 'user', clientIds: [TENANT] };
  const bulk = (): string[] =>
    groups.flatMap((group) => [costly.patchAssignments(group, assignment), costly.patchAssignments(group, undefined)]);

  let unexpected = 0;
  let costlyServed = 0;
  let costlyRefused = 0;
  const health: number[] = [];
  const revoke = async () => {
    const requests = ids.map((id) => quiet.revoke(id));
    const [tally, live] = await Promise.all([
      few.send({ port, requests, connections: REVOCATIONS_PER_SECOND, perSecond: REVOCATIONS_PER_SECOND, seconds }),
      probes.send({
        port,
        requests: [get(port, '/-/health/live')],
        connections: HEALTH_PER_SECOND,
        perSecond: HEALTH_PER_SECOND,
        seconds,
      }),
    ]);
    unexpected += tally.answered + tally.cut + tally.unsent - tally.count(204);
    return { tally, live };
  };
  await revoke();
  const found = await compare(rounds, [server.pid, many.pid, few.pid, probes.pid], {
    usual: async () => (await revoke()).tally,
    async loaded() {
      const [{ tally, live }, bulky] = await Promise.all([
        revoke(),
        many.send({ port, requests: bulk(), connections, seconds }),
      ]);
      health.push(live.quantile(0.99));
      costlyServed += bulky.served.length;
      costlyRefused += bulky.count(503);
      unexpected += bulky.unexpected + bulky.withoutRetryAfter + bulky.cut;
      return tally;
    },
  });
  return { ...found, healthMs: stat(health).median, costlyServed, costlyRefused, unexpected };
}
