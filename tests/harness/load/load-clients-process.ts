// The process behind load-clients.ts: offers what it is told to and says what became of it.

import { closedLoop, openLoop, openWires } from './generator.ts';
import type { Order } from './load-clients.ts';

process.on('message', async ({ port, requests, connections, perSecond, seconds }: Order) => {
  let sent = 0;
  const next = () => ({ request: requests[sent++ % requests.length] ?? '' });
  const wires = await openWires(port, connections);
  const end = performance.now() + seconds * 1000;
  const tally =
    perSecond === undefined
      ? await closedLoop(port, wires, next, () => performance.now() < end)
      : await openLoop(wires, { perSecond, seconds }, next);
  process.send?.({ ...tally });
});
process.on('disconnect', () => process.exit());
