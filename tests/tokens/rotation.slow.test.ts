import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { slowStore } from '../harness/slow-store.ts';

// `npm run harness -- tokens` for a release: sixty rotations, as many as half an hour has of 30 s (security-and-reliability, T6, T7).
const ROTATIONS = Number(process.env.TEST_ROTATIONS ?? 4);
const KILLS = Number(process.env.TEST_KEY_KILLS ?? 2);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
/** Between two rotations: not 30 s, since nothing but the load happens meanwhile. */
const PAUSE_MS = ROTATIONS > 10 ? 1000 : 200;
const SLOW_MS = 30;
/** RSA keys take the better part of a second to make: only where there is time. */
const env = { LINARITE_SIGNING_ALGORITHM: ROTATIONS > 10 ? 'RS256' : 'ES256' };
const WORKERS = 6;

type Node = TestServer;

/** Three nodes on one PostgreSQL database, the last with a slow way to it; one node where there is none. */
async function givenNodes(t: TestContext, store: (typeof STORES)[number]): Promise<Node[]> {
  if (store === 'sqlite') return [await startTestServer(t, { env })];
  const url = await freshDatabase(t);
  const first = await startTestServer(t, { env: { ...env, LINARITE_DATABASE_URL: url } });
  const second = await startTestServer(t, { env: { ...env, LINARITE_DATABASE_URL: url } });
  const slow = await startTestServer(t, { env: { ...env, LINARITE_DATABASE_URL: await slowStore(t, url, SLOW_MS) } });
  return [first, second, slow];
}

const kidOf = (token: string): string => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;

interface Issued {
  token: string;
  kid: string;
  /** When the call that issued it was sent. */
  askedAt: number;
}

interface Load {
  issued: Issued[];
  verified: number;
  complaints: string[];
  stop(): Promise<void>;
}

/**
 * Clients that issue a token at one node and use it, and earlier ones, at all.
 * @param mayRefuse whether a refusal is right, given a token and when it was used
 */
function startLoad(
  nodes: readonly Node[],
  id: string,
  mayRefuse: (one: Issued, usedAt: number) => 'must' | 'may' | 'no',
): Load {
  let running = true;
  const load: Omit<Load, 'stop'> = { issued: [], verified: 0, complaints: [] };
  const use = async (one: Issued, node: Node): Promise<void> => {
    const usedAt = performance.now();
    const { status, headers } = await node.asUser(one.token);
    const refusal = mayRefuse(one, usedAt);
    load.verified += 1;
    const about = `${status} ${headers['x-linarite-reason']} at node ${nodes.indexOf(node)} for a token of key ${one.kid.slice(0, 8)}`;
    if (status === 200 ? refusal === 'must' : refusal === 'no' || status !== 401) load.complaints.push(about);
  };
  const worker = async (number: number): Promise<void> => {
    for (let turn = number; running; turn++) {
      const askedAt = performance.now();
      const token = await (nodes[turn % nodes.length] as Node).givenToken(id);
      const one = { token, kid: kidOf(token), askedAt };
      load.issued.push(one);
      const earlier = load.issued[(turn * 7919) % load.issued.length] as Issued;
      for (const node of nodes) {
        await use(one, node);
        await use(earlier, node);
      }
    }
  };
  const workers = Promise.all(Array.from({ length: WORKERS }, (_, number) => worker(number)));
  return Object.assign(load, {
    async stop() {
      running = false;
      await workers;
    },
  });
}

async function rotate(nodes: readonly Node[], times: number): Promise<Load> {
  const load = startLoad(nodes, await (nodes[0] as Node).givenIdentity(), () => 'no');
  for (let turn = 0; turn < times; turn++) {
    await sleep(PAUSE_MS);
    const { keys } = (nodes[turn % nodes.length] as Node).server;
    await keys.rotateNow();
    const { kid } = keys.active;
    const signs = () => load.issued.some((one) => one.kid === kid);
    for (let waited = 0; waited < 10_000 && !signs(); waited += 20) await sleep(20);
  }
  await load.stop();
  return load;
}

async function kill(nodes: readonly Node[], times: number): Promise<Load & { slowestMs: number }> {
  /** When the call began and when it returned, by key. */
  const kills = new Map<string, { begun: number; done: number }>();
  const load = startLoad(nodes, await (nodes[0] as Node).givenIdentity(), ({ kid, askedAt }, usedAt) => {
    const { begun = Number.POSITIVE_INFINITY, done = Number.POSITIVE_INFINITY } = kills.get(kid) ?? {};
    if (askedAt > done) return 'no'; // a request after that gets a token that holds
    if (usedAt > done) return 'must';
    return begun < Number.POSITIVE_INFINITY ? 'may' : 'no';
  });
  let slowestMs = 0;
  for (let turn = 0; turn < times; turn++) {
    await sleep(PAUSE_MS);
    const { keys } = (nodes[turn % nodes.length] as Node).server;
    const { kid } = keys.active;
    const one = { begun: performance.now(), done: Number.POSITIVE_INFINITY };
    kills.set(kid, one);
    await keys.kill(kid);
    one.done = performance.now();
    slowestMs = Math.max(slowestMs, one.done - one.begun);
  }
  await sleep(PAUSE_MS);
  await load.stop();
  return Object.assign(load, { slowestMs });
}

const figures: Record<'T6' | 'T7', Record<string, number>> = { T6: {}, T7: {} };
const planted: Record<'T6' | 'T7', boolean> = { T6: false, T7: false };

for (const store of STORES) {
  describe(`${store === 'postgres' ? 'three nodes' : 'one node'} on ${store}`, () => {
    test(`refuse no token while the signing key is replaced ${ROTATIONS} times`, async (t) => {
      const nodes = await givenNodes(t, store);
      const { issued, verified, complaints } = await rotate(nodes, ROTATIONS);
      const signedBy = new Set(issued.map(({ kid }) => kid)).size;
      t.diagnostic(`${issued.length} tokens of ${signedBy} keys, used ${verified} times`);
      figures.T6 = {
        nodes: nodes.length,
        rotations: ROTATIONS,
        keys: signedBy,
        tokens: issued.length,
        uses: verified,
        refusals: complaints.length,
      };
      assert.deepEqual(complaints.slice(0, 10), []);
      assert.ok(signedBy >= ROTATIONS, 'the load has seen the rotations');
    });

    test(`accept no token of a killed key once the call has returned, ${KILLS} times, and every other`, async (t) => {
      const nodes = await givenNodes(t, store);
      const { issued, verified, complaints, slowestMs } = await kill(nodes, KILLS);
      t.diagnostic(`${issued.length} tokens, used ${verified} times, slowest kill ${Math.round(slowestMs)} ms`);
      figures.T7 = {
        nodes: nodes.length,
        kills: KILLS,
        tokens: issued.length,
        uses: verified,
        wrongVerdicts: complaints.length,
        slowestMs: Math.round(slowestMs),
      };
      assert.deepEqual(complaints.slice(0, 10), []);
    });
  });
}

test('the load reports a node that does not learn of new keys', async (t) => {
  const [node] = (await givenNodes(t, 'sqlite')) as [Node];
  const { keys } = node.server;
  const find = keys.find.bind(keys);
  const first = keys.active.kid;
  keys.find = (kid) => (kid === first ? find(kid) : undefined);
  const { complaints } = await rotate([node], 2);
  assert.match(complaints.join(), /401 token\.keyUnknown/);
  planted.T6 = true;
});

test('the load reports a kill that returns before it is done', async (t) => {
  const [node] = (await givenNodes(t, 'sqlite')) as [Node];
  const { keys } = node.server;
  const honest = keys.kill.bind(keys);
  const late: Promise<void>[] = [];
  keys.kill = async (kid) => void late.push(sleep(100).then(() => honest(kid)));
  const { complaints } = await kill([node], 1);
  await Promise.all(late);
  assert.match(complaints.join(), /200/);
  planted.T7 = true;
});

after(() => {
  const passed = { T6: figures.T6.refusals === 0, T7: figures.T7.wrongVerdicts === 0 };
  for (const id of ['T6', 'T7'] as const)
    writeResult({ id, seed: SEED, figures: figures[id], passed: passed[id], planted: planted[id] });
});
