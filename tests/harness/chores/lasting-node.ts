// A process that runs the chore of one node without end, to be killed in it: <url of the database> <length of the lease in ms>.
// It writes a line once it runs the chore.
import { setTimeout as sleep } from 'node:timers/promises';
import { ChoreDriver } from '../../../src/chores/chore-driver.ts';
import { LeaseStore } from '../../../src/chores/lease-store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { openPostgres } from '../../../src/storage/postgres.ts';

const [url = '', leaseMs = ''] = process.argv.slice(2);
const db = await openPostgres(url);
const run = async (signal: AbortSignal): Promise<void> => {
  console.log('begun');
  while (!signal.aborted) await sleep(5);
};
const driver = new ChoreDriver(
  {
    chores: [{ name: 'made up', firstMs: 1, periodMs: 20, where: 'oneNode', run }],
    leases: new LeaseStore(db, { holder: 'killed', leaseMs: Number(leaseMs) }),
    clock: systemClock,
    sleep,
    events: { notice: () => {}, choresStarted: () => {}, choreRan: () => {}, choreRanElsewhere: () => {} },
  },
  { stopMs: 0 },
);
driver.start();
