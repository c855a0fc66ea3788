import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import type { KeySlot } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { ALICE, APP, CLIENTS, userToken, withBearer } from '../harness/dev-tokens.ts';
import { startChild } from '../harness/durability/child-server.ts';
import { type Answer, send } from '../harness/http.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { accessKeyOf, DEV_ID, givenResource, inPath, unusedId } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';

/** 10,000 for a release. */
const LOOPS = { sqlite: 300, postgres: 100 };
if (process.env.TEST_REVOCATION_LOOPS) LOOPS.sqlite = LOOPS.postgres = Number(process.env.TEST_REVOCATION_LOOPS);
const WORKERS = 8;
const OPERATOR_KEY = 'an operator key for tests, quite long'.replaceAll(' ', '-');

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

/** A user's request on a connection that was never used before. */
function asUserAnew(port: number, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { Host: `localhost:${port}`, Authorization: `Bearer ${token}` };
    http
      .get({ host: '127.0.0.1', port, path: '/-/whoami', agent: false, headers }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      })
      .on('error', reject);
  });
}

async function introspected(server: TestServer, token: string): Promise<string | undefined> {
  const answer = await server.send({
    method: 'POST',
    target: '/-/introspect',
    headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/x-www-form-urlencoded' },
    body: `token=${token}`,
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.inactive_reason;
}

const revoke = async (server: TestServer, id: string): Promise<void> => {
  const answer = await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
  assert.equal(answer.status, 204, answer.text);
};

const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status;

/** As if nothing had been revoked in the last 25 hours: then nothing is read into memory, and rows must do. */
async function makeLogOld(folder: string, url: string | undefined): Promise<void> {
  const db = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
  await db.rows.run(sql`update revocation_log set at = at - ${26 * 3_600_000}, crc = null`);
  await db.close();
}

/** Use, revoke, use, issue again, use, by several clients; which answers came too late, and which were wrong. */
async function loops(server: TestServer, count: number): Promise<{ late: string[]; wrong: string[] }> {
  let left = count;
  const late: string[] = [];
  const wrong: string[] = [];
  const use = (token: string, turn: number): Promise<number> =>
    turn % 2 === 0 ? statusOf(server.asUser(token)) : asUserAnew(server.port, token);
  const work = async (worker: number): Promise<void> => {
    const id = await server.givenIdentity();
    let token = await server.givenToken(id);
    while (left > 0) {
      left -= 1;
      const turn = left;
      if ((await use(token, turn)) !== 200) wrong.push(`worker ${worker}, loop ${turn}`);
      await revoke(server, id);
      if ((await use(token, turn)) !== 401) late.push(`worker ${worker}, loop ${turn}`);
      token = await server.givenToken(id);
      if ((await use(token, turn + 1)) !== 200) wrong.push(`worker ${worker}, loop ${turn}, issued again`);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  return { late, wrong };
}

/** Decides by the whole seconds at which tokens were issued and identities were revoked, as other servers do. */
function compareIssueTimes(
  { server: { revocations, identities } }: TestServer,
  comparison: '<' | '<=',
  clock: TestClock,
): void {
  const revokedAt = new Map<string, number>();
  const { revokeTokens } = identities;
  identities.revokeTokens = async (caller, id) => {
    await revokeTokens.call(identities, caller, id);
    revokedAt.set(id, Math.floor(clock.now() / 1000));
  };
  revocations.check = async ({ identityId, issuedAtSeconds }) => {
    const at = revokedAt.get(identityId) ?? 0;
    if (comparison === '<' ? issuedAtSeconds < at : issuedAtSeconds <= at) throw new ServiceError('TokenRefused');
  };
}

for (const store of STORES) {
  describe(`revocation on ${store} is exact`, () => {
    const figures = { loops: 0, late: 0, wrong: 0 };
    let planted = 0;
    after(() => {
      const id = store === 'sqlite' ? 'R1' : 'R1-postgres';
      const passed = figures.loops > 0 && figures.late + figures.wrong === 0;
      writeResult({ id, seed: 'none', figures, passed, planted: planted === 2 });
    });

    test(`${LOOPS[store]} times: use, revoke, use, issue again, use; on kept and on new connections`, async (t) => {
      const server = await startTestServer(t, { store });
      const found = await loops(server, LOOPS[store]);
      Object.assign(figures, { loops: LOOPS[store], late: found.late.length, wrong: found.wrong.length });
      assert.deepEqual(found, { late: [], wrong: [] });
    });

    for (const [comparison, shows] of [
      ['<', 'late'],
      ['<=', 'wrong'],
    ] as const) {
      test(`the loop reports a comparison of issue times by ${comparison}`, async (t) => {
        const clock = new TestClock();
        const server = await startTestServer(t, { store, clock });
        compareIssueTimes(server, comparison, clock);
        const found = await loops(server, WORKERS);
        assert.notEqual(found[shows].length, 0);
        planted += 1;
      });
    }

    test('within one second: ten tokens from before are refused, ten from after are good', async (t) => {
      const server = await startTestServer(t, { store, clock: new TestClock() });
      const id = await server.givenIdentity();
      const ten = () => Promise.all(Array.from({ length: 10 }, () => server.givenToken(id)));
      const before = await ten();
      await revoke(server, id);
      const after = await ten();
      assert.equal(new Set([...before, ...after].map((token) => claimsOf(token).iat)).size, 1);
      for (const token of before) assert.equal(await statusOf(server.asUser(token)), 401);
      for (const token of after) assert.equal(await statusOf(server.asUser(token)), 200);
    });

    test('asked for together, each has its own entry and its own answer', async (t) => {
      const server = await startTestServer(t, { store });
      const neighbour = await givenResource(server);
      const theirs = (await server.asService('POST /identities', {}, { key: neighbour.key })).body.identity.id;
      const ours = await Promise.all(Array.from({ length: 70 }, () => server.givenIdentity()));
      const [twice = '', ...others] = ours;
      const tokens = await Promise.all(ours.map((id) => server.givenToken(id)));
      const kept = await server.givenToken(await server.givenIdentity());
      const before = server.server.revocations.position;
      const asked = await Promise.all([
        ...[twice, twice, ...others].map((id) => server.asService(`POST ${inPath(id)}/:revokeAccessTokens`)),
        server.asService(`POST ${inPath(theirs)}/:revokeAccessTokens`, undefined, { key: neighbour.key }),
        server.asService(`POST ${inPath(unusedId())}/:revokeAccessTokens`),
        server.asService(`POST ${inPath(theirs)}/:revokeAccessTokens`),
      ]);
      assert.deepEqual(
        asked.slice(-3).map(({ status }) => status),
        [204, 404, 401],
      );
      assert.ok(asked.slice(0, -2).every(({ status }) => status === 204));
      assert.equal(server.server.revocations.position, before + 72);
      for (const token of tokens) assert.equal(await statusOf(server.asUser(token)), 401);
      assert.equal(await statusOf(server.asUser(kept)), 200);
      assert.equal(await statusOf(server.asUser(await server.givenToken(twice))), 200);
    });

    test('no token is issued from a database that is behind what this node has seen', async (t) => {
      const server = await startTestServer(t, { store });
      const { revocations } = server.server;
      const id = await server.givenIdentity();
      // As when a pooled connection still leads to a primary that was replaced, and heartbeats go to the new one.
      const ahead = revocations.position + 1;
      Object.defineProperty(revocations, 'position', { get: () => ahead });
      const answer = await server.asService(`POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] });
      assert.equal(answer.status, 503);
    });

    test('deleting an identity ends its tokens and no others', async (t) => {
      const server = await startTestServer(t, { store });
      const [alice, bob] = [await server.givenIdentity(), await server.givenIdentity()];
      const [ofAlice, ofBob] = [await server.givenToken(alice), await server.givenToken(bob)];
      assert.equal((await server.asService(`DELETE ${inPath(alice)}`)).status, 204);
      const refused = await server.asUser(ofAlice);
      assert.equal(refused.status, 401);
      assert.match(String(refused.headers['x-linarite-reason']), /^revoked\.identityDeleted; event \d+ at /);
      assert.equal(await statusOf(server.asUser(ofBob)), 200);
    });

    test('regenerating an access key ends requests and tokens under its former value, and nothing under the other', async (t) => {
      const server = await startTestServer(t, { store });
      const id = await server.givenIdentity();
      for (const [slot, other] of [
        ['primary', 'secondary'],
        ['secondary', 'primary'],
      ] satisfies [KeySlot, KeySlot][]) {
        const [former, kept] = [accessKeyOf(server, slot), accessKeyOf(server, other)];
        const tokenUnder = async (key: string): Promise<string> => {
          const answer = await server.asService(`POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] }, { key });
          assert.equal(answer.status, 200, answer.text);
          return answer.body.token;
        };
        const [ended, untouched] = [await tokenUnder(former), await tokenUnder(kept)];
        await server.server.resources.regenerateKey(DEV_ID, slot);
        const refused = await server.asUser(ended);
        assert.equal(refused.status, 401);
        assert.match(String(refused.headers['x-linarite-reason']), /^revoked\.key; event \d+ at /);
        assert.equal(await statusOf(server.asUser(untouched)), 200);
        assert.equal((await server.asService('POST /identities', {}, { key: former })).status, 401);
        const fresh = await tokenUnder(accessKeyOf(server, slot));
        for (const token of [fresh, untouched, await tokenUnder(kept)])
          assert.equal(await statusOf(server.asUser(token)), 200);
      }
    });

    test('deleting a resource ends its keys and its tokens, and no others', async (t) => {
      const server = await startTestServer(t, { store });
      const neighbour = await givenResource(server);
      const withToken = { createTokenWithScopes: ['chat'] };
      const theirs = await server.asService('POST /identities', withToken, { key: neighbour.key });
      const ours = await server.asService('POST /identities', withToken);
      const token = theirs.body.accessToken.token;
      assert.equal(await statusOf(server.asUser(token)), 200);
      await server.server.resources.delete(neighbour.id);
      assert.equal(await statusOf(server.asUser(token)), 401);
      assert.equal((await server.asService('POST /identities', {}, { key: neighbour.key })).status, 401);
      assert.equal(await statusOf(server.asUser(ours.body.accessToken.token)), 200);
    });

    test('killing a signing key, and ending everything, end all tokens from before and none from after', async (t) => {
      const server = await startTestServer(t, { store, env: { LINARITE_SIGNING_ALGORITHM: 'ES256' } });
      const { keys, revocations } = server.server;
      const id = await server.givenIdentity();
      for (const end of [() => keys.kill(keys.active.kid), () => revocations.record({ kind: 'all' })]) {
        const before = await server.givenToken(id);
        assert.equal(await statusOf(server.asUser(before)), 200);
        await end();
        assert.equal(await statusOf(server.asUser(before)), 401);
        assert.equal(await statusOf(server.asUser(await server.givenToken(id))), 200);
      }
    });

    test('the reason names the event that ended the token, with its number and time, to the operator too', async (t) => {
      const server = await startTestServer(t, { store, env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } });
      const id = await server.givenIdentity();
      const token = await server.givenToken(id);
      assert.equal(await introspected(server, token), undefined);
      const began = Date.now();
      await revoke(server, id);
      const ended = Date.now();
      const answer = await server.asUser(token);
      const reason = String(answer.headers['x-linarite-reason']);
      const [, event, at, issuedAt] =
        /^revoked\.identity; event (\d+) at (\S+), token issued at (\d+)$/.exec(reason) ?? [];
      assert.equal(Number(event), server.server.revocations.position, reason);
      assert.equal(Number(issuedAt), claimsOf(token).rv);
      const recorded = Date.parse(at ?? '');
      assert.ok(recorded >= began - 5 && recorded <= ended + 5, `${at} is not between ${began} and ${ended}`);
      assert.equal(await introspected(server, token), reason);
      // Outside, all refusals look alike.
      const expired = await server.asUser('no token at all');
      assert.deepEqual(answer.body, expired.body);
    });
  });

  describe(`a restart on ${store}`, () => {
    /** Everything that can end tokens, once; what stays is good. */
    async function endSome(server: TestServer): Promise<{ ended: string[]; good: string[] }> {
      const [revoked, deleted, reissued, kept] = await Promise.all([1, 2, 3, 4].map(() => server.givenIdentity()));
      const ids = [revoked, deleted, reissued].map((id) => id ?? '');
      const ended = await Promise.all(ids.map((id) => server.givenToken(id)));
      const secondary = accessKeyOf(server, 'secondary');
      const under = await server.asService(
        `POST ${inPath(kept ?? '')}/:issueAccessToken`,
        { scopes: ['chat'] },
        { key: secondary },
      );
      const good = await server.givenToken(kept ?? '');
      await revoke(server, ids[0] ?? '');
      await server.asService(`DELETE ${inPath(ids[1] ?? '')}`);
      await revoke(server, ids[2] ?? '');
      await server.server.resources.regenerateKey(DEV_ID, 'secondary');
      return { ended: [...ended, under.body.token], good: [good, await server.givenToken(ids[2] ?? '')] };
    }

    async function place(t: TestContext): Promise<{ folder: string; env: Record<string, string> }> {
      const folder = mkdtempSync(join(tmpdir(), 'linarite-restart-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      return { folder, env: store === 'postgres' ? { LINARITE_DATABASE_URL: await freshDatabase(t) } : {} };
    }

    test('keeps every revocation, also when nothing of them is left in memory', async (t) => {
      const { folder, env } = await place(t);
      const first = await startTestServer(t, { folder, env });
      const { ended, good } = await endSome(first);
      const bounded = await first.givenIdentity();
      const bound = { tokensValidFrom: '2040-01-01T00:00:00Z' };
      const at = `PATCH ${inPath(bounded)}?api-version=2020-07-20-preview1`;
      assert.equal(await statusOf(first.asService(at, bound)), 204);
      await first.server.close();
      for (const age of ['young', 'older than any token']) {
        if (age !== 'young') await makeLogOld(folder, env.LINARITE_DATABASE_URL);
        const next = await startTestServer(t, { folder, env });
        for (const token of ended) assert.equal(await statusOf(next.asUser(token)), 401, age);
        for (const token of good) assert.equal(await statusOf(next.asUser(token)), 200, age);
        assert.equal(await statusOf(next.asUser(await next.givenToken(bounded))), 401, `a bound to come, ${age}`);
        await next.server.close();
      }
    });

    test('brings no token of a former assignment back when there is one of the same name again', async (t) => {
      const { folder, env } = await place(t);
      const first = await startTestServer(t, { folder, env });
      const [name, version] = [`/access/entra/assignments/${ALICE.objectId}`, 'api-version=2025-03-02-preview'];
      const assign = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] };
      const put = () => first.asService(`PUT ${name}?${version}`, assign);
      const presented = await userToken(first, ALICE, `${CLIENTS}/Chat`);
      const exchange = async (): Promise<string> => {
        const answer = await withBearer(first, presented, `POST /access/entra/:exchangeAccessToken?${version}`, '{}');
        assert.equal(answer.status, 200, answer.text);
        return answer.body.accessToken.token;
      };
      assert.equal((await put()).status, 201);
      const ended = await exchange();
      assert.equal((await first.asService(`DELETE ${name}?${version}`)).status, 204);
      assert.equal((await put()).status, 201);
      const good = await exchange();
      await first.server.close();
      await makeLogOld(folder, env.LINARITE_DATABASE_URL);
      const next = await startTestServer(t, { folder, env });
      assert.equal(await statusOf(next.asUser(ended)), 401);
      assert.equal(await statusOf(next.asUser(good)), 200);
      await next.server.close();
    });

    test('after kill -9 in the middle of work keeps every revocation that was confirmed', async (t) => {
      const { folder, env } = await place(t);
      const first = await startTestServer(t, { folder, env }); // makes the keys and certificates
      const { key } = first;
      await first.server.close();
      let child = await startChild(folder, { env });
      t.after(() => child.kill());
      const asService = (method: string, target: string, body: string) => {
        const host = `localhost:${child.port}`;
        const headers = sign({ method, target: `${target}?api-version=2023-10-01`, host, body, key });
        return send(child.port, {
          method,
          target: `${target}?api-version=2023-10-01`,
          body,
          headers: { 'Content-Type': 'application/json', ...headers },
        });
      };
      const ended: string[] = [];
      const work = async (): Promise<void> => {
        for (;;) {
          const made = await asService('POST', '/identities', '{"createTokenWithScopes":["chat"]}');
          const id = encodeURIComponent(made.body.identity.id);
          const { status } = await asService('POST', `/identities/${id}/:revokeAccessTokens`, '');
          if (status === 204) ended.push(made.body.accessToken.token);
          if (ended.length === 60) void child.kill();
        }
      };
      await Promise.allSettled(Array.from({ length: WORKERS }, work)); // ends when the connections do
      assert.ok(ended.length >= 60);
      child = await startChild(folder, { env });
      for (const token of ended) {
        const headers = { Authorization: `Bearer ${token}` };
        assert.equal((await send(child.port, { target: '/-/whoami', headers })).status, 401);
      }
    });
  });
}
