import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { PostgresCarrier } from '../../src/cluster/postgres-carrier.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { givenNode, Listening, QUICK } from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';

const NODE = join(import.meta.dirname, '../harness/cluster/dies-after-commit.ts');

test('a node that is killed between a commit and its hint loses nothing, and its follower goes on elsewhere', {
  skip: !POSTGRES_URL && 'needs PostgreSQL',
}, async (t) => {
  const url = await freshDatabase(t);
  const db = await openPostgres(url);
  t.after(() => db.close());
  await migrate(db, Date.now());
  const node = givenNode(t, db, new PostgresCarrier({ url, events: { notice: () => undefined } }), QUICK);
  const listening = new Listening();
  node.watch('made-up/1', 0, listening);

  const child = spawn(process.execPath, [NODE], { env: { PATH: process.env.PATH, URL: url }, stdio: 'inherit' });
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGKILL');
  await until('all are heard', () => listening.facts.length === 3);
  assert.deepEqual(listening.positions, [1, 2, 3]);

  const followed: number[] = [];
  await node.follow('audit', async (facts) => void followed.push(...facts.map(({ position }) => position)));
  await until('the follower goes on', () => followed.includes(3));
  await node.stop();
});
