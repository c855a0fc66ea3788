import type { TestContext } from 'node:test';
import { QUOTAS } from '../../../src/http/quotas.ts';
import type { Child } from '../child.ts';
import { LoadClients, type Order } from './load-clients.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';
import { type Comparison, compare } from './times.ts';

/** Requests of the modest one each second: below its own quota, too. */
const MODEST = 30;
/** Seconds in which a quota is counted. */
const QUOTA_SECONDS = 30;

/** Ways to ask too much. */
export const GREED: Record<'tenQuotas' | 'withoutEnd', Pick<Order, 'connections' | 'perSecond'>> = {
  tenQuotas: { connections: 200, perSecond: (10 * QUOTAS.issueToken.requests) / QUOTA_SECONDS },
  /** Each of 200 clients asks again as soon as it was refused. */
  withoutEnd: { connections: 200 },
};

/** How long a modest resource waits for tokens beside a greedy one, compared with how long it waits alone (L4). */
export async function fairnessTimes(
  t: TestContext,
  { server, key }: { server: Child; key: string },
  greed: keyof typeof GREED,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<Comparison> {
  const { port } = server;
  const [greedy, modest] = [new Requests(port, server.key), new Requests(port, key)];
  const [greedyId = ''] = await createMany(port, greedy, 1);
  const [modestId = ''] = await createMany(port, modest, 1);
  const [many, few] = [new LoadClients(t), new LoadClients(t)];
  const ask = () =>
    few.send({ port, requests: [modest.issue(modestId)], connections: MODEST, perSecond: MODEST, seconds });
  await ask();
  return compare(rounds, [server.pid, many.pid, few.pid], {
    usual: ask,
    async loaded() {
      const order = { ...GREED[greed], port, requests: [greedy.issue(greedyId)], seconds };
      return (await Promise.all([ask(), many.send(order)]))[0];
    },
  });
}
