import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Carrier } from '../../src/cluster/carrier.ts';
import { carrierFor } from '../../src/cluster/cluster.ts';
import { messageFrom, messagesOf } from '../../src/cluster/hint-text.ts';
import { NatsCarrier, natsOptions } from '../../src/cluster/nats-carrier.ts';
import { PostgresCarrier } from '../../src/cluster/postgres-carrier.ts';
import type { Database } from '../../src/storage/database.ts';
import { upTo } from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { givenNats, NO_NATS, PASSWORD, USER } from '../harness/nats.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';

const BACKOFF = { backoffMs: [10, 50] as const };

/** Events that keep what they are told. */
function keeping() {
  const notices: string[] = [];
  const notice = (level: string, message: string, facts: unknown = {}): void => {
    notices.push(`${level} ${message} ${JSON.stringify(facts)} ${(facts as { cause?: Error }).cause?.message}`);
  };
  return { notices, events: { notice } };
}

/** Starts a carrier that stops with the test. */
function started(t: TestContext, carrier: Carrier) {
  const heard: string[] = [];
  const state = { connections: 0 };
  carrier.start({ onMessage: (text) => heard.push(text), onConnected: () => state.connections++ });
  t.after(() => carrier.stop());
  return { carrier, heard, state };
}

/** Sends until it is heard: messages may be lost while a connection is made. */
async function untilHeard(carrier: Carrier, heard: readonly string[], message: string): Promise<void> {
  for (let attempt = 0; attempt < 400 && !heard.includes(message); attempt += 1) {
    await carrier.send([message]);
    await sleep(25);
  }
  assert.ok(heard.includes(message), message);
}

const EMIT = pg.Client.prototype.emit;

describe('hints by PostgreSQL', { skip: !POSTGRES_URL && 'needs PostgreSQL' }, () => {
  const LARGE = 'ü'.repeat(3950);

  async function given(t: TestContext, options = {}) {
    const url = await freshDatabase(t);
    const { notices, events } = keeping();
    const carriers = [1, 2].map(() => started(t, new PostgresCarrier({ url, events }, { ...BACKOFF, ...options })));
    await until('both are connected', () => carriers.every(({ carrier }) => carrier.isConnected));
    const [one, two] = carriers;
    assert.ok(one && two);
    const admin = new pg.Client({ connectionString: url });
    admin.on('error', () => undefined); // the database goes first
    await admin.connect();
    t.after(() => admin.end());
    return { one, two, admin, notices };
  }

  test('go from one node to another, several at a time and as long as they may be', async (t) => {
    const { one, two } = await given(t);
    await one.carrier.send(['a', LARGE, 'b']);
    await until('all are heard', () => two.heard.length === 3);
    assert.deepEqual(two.heard, ['a', LARGE, 'b']);
  });

  test('come again by themselves after the connection was ended', async (t) => {
    const { one, two, admin, notices } = await given(t);
    const before = two.state.connections;
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'linarite-hints' and datname = current_database()`);
    await until('it is connected again', () => two.state.connections > before);
    await untilHeard(one.carrier, two.heard, 'again');
    assert.ok(notices.some((text) => text.startsWith('warn no hints')));
    assert.ok(!notices.some((text) => text.includes(new URL(POSTGRES_URL ?? '').password)));
  });

  test('are known not to come where the connection is not heard', async (t) => {
    const { one, notices } = await given(t, { pingMs: 20 });
    await sleep(100);
    assert.equal(notices.length, 0, 'pings are heard');
    // As behind a pooler that gives the connection to somebody else.
    t.mock.method(pg.Client.prototype, 'emit', function (this: pg.Client, ...args: unknown[]) {
      return args[0] === 'notification' ? false : Reflect.apply(EMIT, this, args);
    });
    await until('it is told', () => notices.some((text) => text.includes('nothing is heard')));
    t.mock.restoreAll();
    await until('it is connected again', () => one.carrier.isConnected);
  });
});

describe('hints by NATS', { skip: NO_NATS }, () => {
  const storeId = (id = 'one') => ({ storeId: async () => id });

  test('go from one node to another on the same store, and to no other store', async (t) => {
    const { url: urls } = await givenNats(t);
    const { events, notices } = keeping();
    const one = started(t, new NatsCarrier({ urls, ...storeId(), events }, BACKOFF));
    const two = started(t, new NatsCarrier({ urls, ...storeId(), events }, BACKOFF));
    const other = started(t, new NatsCarrier({ urls, ...storeId('other'), events }, BACKOFF));
    await until('all are connected', () => [one, two, other].every(({ state }) => state.connections === 1));
    await other.carrier.send(['of another store']);
    await untilHeard(one.carrier, two.heard, 'a');
    await untilHeard(two.carrier, one.heard, 'b');
    assert.deepEqual([...new Set([...one.heard, ...two.heard])].sort(), ['a', 'b']);
    assert.equal(other.heard.length + notices.length, 0);
  });

  test('come again by themselves, and none that was sent meanwhile', async (t) => {
    const nats = await givenNats(t);
    const { events, notices } = keeping();
    const uses = { urls: nats.url, ...storeId(), events };
    const [one, two] = [started(t, new NatsCarrier(uses, BACKOFF)), started(t, new NatsCarrier(uses, BACKOFF))];
    const areConnected = (): boolean => one.carrier.isConnected && two.carrier.isConnected;
    await until('both are connected', areConnected);
    await nats.stop();
    await until('both know', () => !one.carrier.isConnected && !two.carrier.isConnected);
    await one.carrier.send(['lost']);
    await nats.start();
    await until('both are connected', areConnected);
    await untilHeard(one.carrier, two.heard, 'again');
    assert.deepEqual([...new Set(two.heard)], ['again']);
    assert.ok(notices.some((text) => text.startsWith('warn no hints')) && notices.some((text) => /again/.test(text)));
    assert.ok(!notices.some((text) => text.includes(PASSWORD) || text.includes(encodeURIComponent(PASSWORD))));
  });

  test('a server that is not there, or refuses, is tried again and keeps nobody from stopping', async (t) => {
    const nats = await givenNats(t);
    const { events, notices } = keeping();
    const wrong = new URL(nats.url);
    wrong.password = 'wrong';
    const refused = started(t, new NatsCarrier({ urls: wrong.href, ...storeId(), events }, BACKOFF));
    await until('it is told', () => notices.length === 1);
    await refused.carrier.send(['x']);
    await nats.stop();
    const absent = started(t, new NatsCarrier({ urls: nats.url, ...storeId(), events }, BACKOFF));
    await until('it is told', () => notices.length === 2);
    await nats.start();
    await until('it is connected', () => absent.carrier.isConnected);
    assert.equal(refused.carrier.isConnected, false);
    assert.ok(!notices.some((text) => /wrong|ss\/word|ss%2Fword/.test(text)), notices.join());
  });
});

test('what the NATS client is told', () => {
  const of = (urls: string) => {
    const { servers, user, pass, token, tls } = natsOptions(urls) as Record<string, unknown>;
    return { servers, user, pass, token, tls };
  };
  const none = { user: undefined, pass: undefined, token: undefined, tls: undefined };
  assert.deepEqual(of('nats://a:4222'), { ...none, servers: ['a:4222'] });
  assert.deepEqual(of(`tls://${USER}:p%25ss%2Fword@a, tls://b:1`), {
    ...none,
    servers: ['a', 'b:1'],
    user: USER,
    pass: PASSWORD,
    tls: {},
  });
  assert.deepEqual(of('nats://secret@[::1]:4222'), { ...none, servers: ['[::1]:4222'], token: 'secret' });
});

test('the carrier is chosen by the settings, and one process alone has none', () => {
  const { events } = keeping();
  const uses = (exclusive: boolean) => ({ db: { exclusive } as Database, events });
  const [databaseUrl, natsUrl] = ['postgres://h/d', 'nats://h'];
  const chosen = (settings: { databaseUrl?: string; natsUrl?: string }, exclusive = false): string =>
    carrierFor({ databaseUrl: undefined, natsUrl: undefined, ...settings }, uses(exclusive)).constructor.name;
  assert.equal(chosen({}, true), 'Object');
  assert.equal(chosen({ natsUrl }, true), 'Object');
  assert.equal(chosen({ databaseUrl }), 'PostgresCarrier');
  assert.equal(chosen({ databaseUrl, natsUrl }), 'NatsCarrier');
});

test('messages are within the limit of NOTIFY, and nothing is lost between them', () => {
  const moved = upTo(2000).map((n) => ({ stream: `made-up/${'x'.repeat(n % 190)}${n % 7}`, position: n }));
  const whispers = upTo(20).map((n) => ({ stream: 'made-up/1', text: 'ü\u0001"'.repeat(n) }));
  const messages = messagesOf('node', moved, whispers);
  assert.ok(messages.length > 10);
  for (const message of messages) assert.ok(Buffer.byteLength(message) <= 7900);
  const read = messages.map((text) => messageFrom(text));
  assert.deepEqual(
    read.flatMap((message) => message?.moved),
    moved,
  );
  assert.deepEqual(
    read.flatMap((message) => message?.whispers),
    whispers,
  );
  assert.ok(read.every((message) => message?.from === 'node'));
  assert.deepEqual(messagesOf('node', [], []), []);
});

test('carriers stop at any moment, also while they connect', async (t) => {
  const { events } = keeping();
  const silent = createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const make = [
    () => new PostgresCarrier({ url: `postgres://u:p@127.0.0.1:${port}/d`, events }),
    () => new NatsCarrier({ urls: `nats://127.0.0.1:${port}`, storeId: async () => 'one', events }),
    ...(POSTGRES_URL ? [() => new PostgresCarrier({ url: POSTGRES_URL ?? '', events })] : []),
  ];
  for (const carrierOf of make) {
    for (const ms of [undefined, 0, 1, 5, 20, 50]) {
      const carrier = carrierOf();
      carrier.start({ onMessage: () => undefined, onConnected: () => undefined });
      if (ms !== undefined) await sleep(ms);
      await carrier.stop();
      assert.equal(carrier.isConnected, false);
    }
  }
});
