import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DIRECTORY_TENANT, PUBLISHED_SECRET } from '../../src/planes/sign-in/directory.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { type Child, startChild } from '../harness/child.ts';
import { asOperator, OPERATOR_KEY, OTHER_APP, operatorStatus, SERVICE } from '../harness/dev-tokens.ts';
import { send } from '../harness/http.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import {
  ASSIGNMENT,
  ASSIGNMENTS,
  FOR_GOOD,
  FOR_NOW,
  givenExchange,
  type Subject,
  statusOf,
} from '../harness/revocation/endings.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';

// R-repeat. Server B is stopped (SIGSTOP) while server A is asked for an end, and asked again a moment later: the second
// call finds nothing left to do. Once it is answered, B goes on, and must not accept what was ended.

/** Short, so that waiting for B is. */
const LEASE_MS = 500;
const REPEATED_AFTER_MS = 60;
/** Uses that are waiting in B's sockets when it goes on. */
const USES = 4;
const PATIENCE_MS = 10_000;

const SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';
const ELSEWHERE = '5e1f0057-0000-4000-8000-0000000000ff';
const GROUPS = `/subscriptions/${SUBSCRIPTION}/resourceGroups`;
const ARM = 'api-version=2023-04-01';
const TRUST = '/-/trusts/dev';

/** Something that B accepts, and what takes that away on A. */
interface Case {
  /** @returns the status of B's answer */
  use(): Promise<number>;
  /** @returns the status of A's answer */
  end(): Promise<number>;
}

type Given = (one: TestServer, other: Child) => Promise<Case>;

/** With a token that A has issued. */
const withToken =
  (given: (one: TestServer) => Promise<Subject>): Given =>
  async (one, other) => {
    const { issue, end } = await given(one);
    const token = (await issue()) ?? assert.fail('no token');
    const headers = { Authorization: `Bearer ${token}` };
    return { use: async () => (await send(other.port, { target: '/-/whoami', headers })).status, end };
  };

/** The trust of the development issuer as it was seeded, with what a case wants otherwise. */
const definition = (more: object = {}): object => ({
  issuers: [`{endpoint}/${DIRECTORY_TENANT}/v2.0`],
  tenants: [DIRECTORY_TENANT],
  applications: ['*'],
  ...more,
});

/** A user let in by an assignment, through a trust that an earlier case may have changed. */
async function givenUserOfTrust(one: TestServer) {
  await asOperator(one, `PUT ${TRUST}`, definition());
  return givenExchange(one);
}

let services = 0;

/** A service of the management plane in a group of its own. */
async function givenService(one: TestServer) {
  services += 1;
  const group = `${GROUPS}/group${services}`;
  const at = `${group}/providers/Microsoft.Communication/communicationServices/service${services}`;
  await asOperator(one, `PUT ${group}?${ARM}`, { location: 'westeurope' });
  await asOperator(one, `PUT ${at}?${ARM}`, { location: 'global', properties: { dataLocation: 'Europe' } });
  const { body } = await asOperator(one, `POST ${at}/listKeys?${ARM}`);
  return { group, at, key: body.primaryKey as string };
}

async function givenServiceUser(one: TestServer) {
  const { group, at, key } = await givenService(one);
  const made = await one.asService('POST /identities', { createTokenWithScopes: ['chat'] }, { key });
  return { group, at, issue: async () => made.body.accessToken?.token as string | undefined };
}

/** The nine kinds of events, by each call that causes one. */
const ENDINGS: Readonly<Record<string, Given>> = {
  'revoking the tokens of an identity': withToken(FOR_NOW['revoking the tokens of the identity']),
  'deleting an identity': withToken(FOR_GOOD['deleting the identity']),
  'a bound on the time of issue': withToken(FOR_NOW['a bound in the future']),
  'regenerating an access key': withToken(FOR_GOOD['regenerating the access key']),
  'deleting a resource': withToken(async (one) => {
    const { at, issue } = await givenServiceUser(one);
    return { issue, end: () => operatorStatus(one, `DELETE ${at}?${ARM}`) };
  }),
  'deleting a resource group': withToken(async (one) => {
    const { group, issue } = await givenServiceUser(one);
    return { issue, end: () => operatorStatus(one, `DELETE ${group}?${ARM}`) };
  }),
  'removing an assignment': withToken(async (one) => {
    const { issue, remove } = await givenUserOfTrust(one);
    return { issue, end: remove };
  }),
  'removing an assignment among several': withToken(async (one) => {
    const { issue, call } = await givenUserOfTrust(one);
    return { issue, end: () => call(`PATCH ${ASSIGNMENTS}`, { [ASSIGNMENT.objectId]: null }) };
  }),
  'giving an assignment to another application': withToken(async (one) => {
    const { issue, assign } = await givenUserOfTrust(one);
    return { issue, end: () => assign([OTHER_APP]) };
  }),
  'disabling a trust': withToken(async (one) => {
    const { issue } = await givenUserOfTrust(one);
    return { issue, end: () => operatorStatus(one, `POST ${TRUST}/:disable`) };
  }),
  'narrowing a trust': withToken(async (one) => {
    const { issue } = await givenUserOfTrust(one);
    return { issue, end: () => operatorStatus(one, `PUT ${TRUST}`, definition({ tenants: [ELSEWHERE] })) };
  }),
  'deleting a trust': withToken(async (one) => {
    const { issue } = await givenUserOfTrust(one);
    return { issue, end: () => operatorStatus(one, `DELETE ${TRUST}`) };
  }),
  'killing a signing key': withToken(async (one) => {
    const given = await FOR_NOW['killing the signing key'](one);
    const { kid } = one.server.keys.active;
    return { ...given, end: () => statusOf(one.server.keys.kill(kid)) };
  }),
  'ending everything': withToken(async (one) => {
    const { issue } = await FOR_NOW['revoking the tokens of the identity'](one);
    return { issue, end: () => statusOf(one.server.revocations.record({ kind: 'all' })) };
  }),
};

/** What ends no tokens: each is to hold at its first answer already. */
const CHANGES: Readonly<Record<string, Given>> = {
  async 'switching access keys off'(one, other) {
    const { at, key } = await givenService(one);
    return {
      use: () => createWith(other, key),
      end: () => operatorStatus(one, `PATCH ${at}?${ARM}`, { properties: { disableLocalAuth: true } }),
    };
  },
  async 'removing a grant'(one, other) {
    const grant = { principal: { kind: 'applicationId', value: OTHER_APP }, right: 'data', resource: '*' };
    await asOperator(one, `PUT ${TRUST}`, definition());
    await asOperator(one, `PUT ${TRUST}/grants/some`, grant);
    await operatorStatus(one, `DELETE ${TRUST}/grants/service-data`); // the seeded one
    const headers = { Authorization: `Bearer ${await applicationTokenOf(other)}`, 'Content-Type': 'application/json' };
    const target = `/identities?api-version=${API_VERSION}`;
    return {
      use: async () => (await send(other.port, { method: 'POST', target, headers, body: '{}' })).status,
      end: () => operatorStatus(one, `DELETE ${TRUST}/grants/some`),
    };
  },
};

async function createWith({ port }: Child, key: string): Promise<number> {
  const [target, host, body] = [`/identities?api-version=${API_VERSION}`, `localhost:${port}`, '{}'];
  const headers = { Host: host, 'Content-Type': 'application/json' };
  const signed = sign({ method: 'POST', target, host, body, key });
  return (await send(port, { method: 'POST', target, headers: { ...headers, ...signed }, body })).status;
}

/** A token that a server's own development issuer gives to the application with a secret. */
async function applicationTokenOf({ port }: Child): Promise<string> {
  const fields = { grant_type: 'client_credentials', client_id: OTHER_APP, client_secret: PUBLISHED_SECRET };
  const answer = await send(port, {
    method: 'POST',
    target: '/adfs/oauth2/v2.0/token',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ ...fields, scope: `${SERVICE}/.default` }).toString(),
  });
  return answer.body.access_token;
}

const isAccepted = (status: number): boolean => status < 300;

/**
 * Ends something on A while B stands still, lets B go on once the last call is answered, and uses there what was ended.
 * @param times 2 repeats the call while the first one waits
 * @returns how many uses that began after the answer B accepted
 */
async function lateUses(other: Child, { use, end }: Case, times: 1 | 2): Promise<number> {
  await until(async () => isAccepted(await use()), 'the other server does not accept what is to be ended');
  process.kill(other.pid, 'SIGSTOP');
  const calls = [end()];
  let uses: Promise<number>[];
  try {
    if (times === 2) {
      await sleep(REPEATED_AFTER_MS);
      calls.push(end());
    }
    await calls.at(-1);
    uses = Array.from({ length: USES }, use);
    await sleep(5);
  } finally {
    process.kill(other.pid, 'SIGCONT');
  }
  const statuses = await Promise.all(uses);
  const ended = await Promise.all(calls);
  assert.ok(ended.some(isAccepted), `ended: ${ended}`); // which of two calls withdraws a signing key is open
  // It refuses for good, and not only until it has asked the store.
  await until(async () => {
    const status = await use();
    statuses.push(status);
    return [401, 403].includes(status);
  }, 'the other server does not refuse what was ended');
  return statuses.filter(isAccepted).length;
}

async function until(holds: () => Promise<boolean>, complaint: string): Promise<void> {
  for (const started = Date.now(); !(await holds()); await sleep(20))
    assert.ok(Date.now() - started < PATIENCE_MS, complaint);
}

describe('beside a server that was stopped and goes on,', { skip: !POSTGRES_URL && 'needs PostgreSQL' }, () => {
  const figures = { endings: 0, changes: 0, late: 0 };
  let planted = 0;
  after(() => {
    const passed = figures.endings + figures.changes > 0 && figures.late === 0;
    writeResult({ id: 'R-repeat', seed: 'none', figures, passed, planted: planted === FAULTS });
  });

  async function given(t: TestContext): Promise<[one: TestServer, other: Child]> {
    const env = {
      LINARITE_DATABASE_URL: await freshDatabase(t),
      LINARITE_OPERATOR_KEY: OPERATOR_KEY,
      LINARITE_LEASE_MS: String(LEASE_MS),
    };
    return [await startTestServer(t, { env }), await startChild(t, { env })];
  }

  test('what was ended is accepted nowhere once a call is answered', async (t) => {
    const [one, other] = await given(t);
    for (const [what, prepare] of Object.entries(ENDINGS))
      await t.test(`${what}, repeated while the first call waits`, async () => {
        const late = await lateUses(other, await prepare(one, other), 2);
        figures.endings += 1;
        figures.late += late;
        assert.equal(late, 0);
      });
    for (const [what, prepare] of Object.entries(CHANGES))
      for (const times of [1, 2] as const)
        await t.test(`${what}, ${times === 1 ? 'once' : 'repeated while the first call waits'}`, async () => {
          const late = await lateUses(other, await prepare(one, other), times);
          figures.changes += 1;
          figures.late += late;
          assert.equal(late, 0);
        });
  });

  const FAULTS = 2;
  test('the harness reports calls that wait for nobody', async (t) => {
    const [one, other] = await given(t);
    t.mock.method(RevocationStore.prototype, 'nodesBehind', async () => 0);
    for (const prepare of [ENDINGS['disabling a trust'], CHANGES['switching access keys off']]) {
      let late = 0;
      for (let round = 0; prepare && round < 5 && late === 0; round += 1)
        late = await lateUses(other, await prepare(one, other), 2);
      assert.ok(late > 0);
      planted += 1;
    }
  });
});
