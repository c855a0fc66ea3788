// A node that writes facts, runs a follower, and dies between a commit and the hint of it. By environment: URL.

import { Cluster } from '../../../src/cluster/cluster.ts';
import { Outbox } from '../../../src/cluster/outbox.ts';
import { PostgresCarrier } from '../../../src/cluster/postgres-carrier.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { openPostgres } from '../../../src/storage/postgres.ts';

const url = process.env.URL ?? '';
const db = await openPostgres(url);
const events = { notice: () => undefined };
const carrier = new PostgresCarrier({ url, events });
const options = { followers: { pollMs: 20, leaseMs: 300, gatherMs: 1 } };
const node = new Cluster({ db, clock: systemClock, events, carrier, nodeId: `${process.pid}` }, options);
await node.follow('audit', async () => undefined);
const write = (payload: string) => node.outbox.write('made-up/1', (_, append) => append({ kind: 'said', payload }));
await write('1');
await write('2');
Outbox.prototype.announce = () => process.kill(process.pid, 'SIGKILL');
await write('3');
