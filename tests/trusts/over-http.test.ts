import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Purpose } from '../../src/trusts/trust.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { APPLICATION, type Behaviour, Provider, SECOND_TENANT, TENANT } from '../harness/provider.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { GOOD_TOKENS, tokenOf, USER, WRONG_TOKENS } from '../harness/vectors/foreign-tokens.ts';

const OPERATOR_KEY = 'an-operator-key-for-foreign-tokens-012345';

/** A presented token as a client sends it, by what it is presented for. */
type Present = (server: TestServer, token: string) => Promise<Answer>;

const asBearer =
  (at: string, body?: object): Present =>
  (server, token) => {
    const [method = '', target = ''] = at.split(' ');
    return server.send({
      method,
      target,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
  };

const PRESENT: Readonly<Record<Purpose, Present>> = {
  service: asBearer(`POST /identities?api-version=${API_VERSION}`),
  management: asBearer('GET /-/trusts'),
  teamsUser: (server, token) =>
    server.asService('POST /teamsUser/:exchangeAccessToken', { token, appId: APPLICATION, userId: USER }),
  teamsExtension: asBearer('POST /access/teamsExtension/:exchangeAccessToken?api-version=2025-06-30', {}),
  entraUser: asBearer('POST /access/entra/:exchangeAccessToken?api-version=2025-03-02-preview', {}),
};

const REFUSAL: Readonly<Record<Purpose, { status: number; code: string; message: string }>> = {
  service: { status: 401, code: 'Denied', message: 'Denied by the resource provider.' },
  management: { status: 401, code: 'Denied', message: 'Denied by the resource provider.' },
  teamsUser: { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' },
  teamsExtension: { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' },
  entraUser: { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' },
};

/** Believes a provider, and lets its user in everywhere. */
async function trustIn(server: TestServer, provider: Provider, name: string): Promise<void> {
  const asOperator = asOperatorOf(server);
  assert.equal((await asOperator(`PUT /-/trusts/${name}`, provider.wish())).status, 201);
  for (const [right, kind, value] of [
    ['data', 'objectId', USER],
    ['management', 'objectId', USER],
  ] as const) {
    const grant = { principal: { kind, value }, right, resource: '*' };
    const answer = await asOperator(`PUT /-/trusts/${name}/grants/${right}`, grant);
    assert.equal(answer.status, 201, answer.text);
  }
  for (const tenantId of [TENANT, SECOND_TENANT]) {
    const user = `/access/teamsExtension/tenants/${tenantId}/assignments/${USER}?api-version=2025-06-30`;
    assert.equal((await server.asService(`PUT ${user}`, { principalType: 'user' })).status, 201);
    const tenant = { tenantId, principalType: 'tenant', clientIds: [APPLICATION] };
    const answer = await server.asService(
      `PUT /access/entra/assignments/${tenantId}?api-version=2025-03-02-preview`,
      tenant,
    );
    assert.ok(answer.status < 300, answer.text);
  }
}

const asOperatorOf =
  (server: TestServer) =>
  (at: string, body?: object): Promise<Answer> =>
    asBearer(at, body)(server, OPERATOR_KEY);

const reasonOf = ({ headers }: Answer): string => String(headers['x-linarite-reason']).split(';')[0] ?? '';

describe('tokens of a trusted issuer, presented over HTTP', () => {
  let server: TestServer;
  let provider: Provider;
  shareServer(
    async (started) => {
      server = started;
      provider = await Provider.start({ secure: true });
      await trustIn(server, provider, 'entra');
    },
    { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
  );

  after(() => provider.stop());

  const context = () => ({ provider, nowMs: Date.now(), endpoint: `https://localhost:${server.port}` });

  for (const good of GOOD_TOKENS) {
    test(`${good.purpose}: ${good.name} is let in`, async () => {
      const answer = await PRESENT[good.purpose](server, tokenOf(good, context()));
      // Whether what it carries is enough is the next question, and no longer the verifier's.
      const isLetIn =
        answer.status < 400 || ['foreign.scope', 'grant.missing', 'assignment.missing'].includes(reasonOf(answer));
      assert.ok(
        isLetIn || answer.body?.error.target === 'appId' || answer.body?.error.target === 'userId',
        answer.text,
      );
    });
  }

  for (const purpose of Object.keys(PRESENT) as Purpose[]) {
    test(`${purpose}: the usual token does what it is for`, async () => {
      const usual = GOOD_TOKENS.find((token) => token.purpose === purpose) ?? assert.fail();
      const answer = await PRESENT[purpose](server, tokenOf(usual, context()));
      assert.ok(answer.status < 300, `${answer.status} ${answer.text} ${reasonOf(answer)}`);
    });
  }

  for (const wrong of WRONG_TOKENS) {
    test(`${wrong.purpose}: ${wrong.name} is refused with ${wrong.reason}`, async () => {
      const token = tokenOf(wrong, context());
      // What no header carries can still come in a body.
      const purpose = /^[\x21-\x7e]{1,16000}$/.test(token) ? wrong.purpose : 'teamsUser';
      const answer = await PRESENT[purpose](server, token);
      assertError(answer, REFUSAL[purpose]);
      assert.equal(reasonOf(answer), wrong.reason);
    });
  }

  test('says nothing of a token in the log', () => {
    const text = JSON.stringify(server.log.lines);
    assert.ok(server.log.lines.length > 0);
    for (const wrong of WRONG_TOKENS.slice(0, 20)) {
      const signature = tokenOf(wrong, context()).split('.').at(-1) ?? '';
      if (signature.length > 20) assert.ok(!text.includes(signature));
    }
    assert.doesNotMatch(text, /eyJ[\w-]{20}/);
  });
});

describe('a provider that fails', () => {
  const FAILURES: readonly Behaviour[] = ['down', 'failing', 'garbage', 'list', 'redirecting', 'huge'];
  const usual = GOOD_TOKENS.find(({ purpose }) => purpose === 'service') ?? assert.fail();

  for (const behaviour of FAILURES) {
    test(`${behaviour}: 503 while nothing is known of its keys, and service as soon as it is`, async (t) => {
      const provider = await Provider.start({ secure: true });
      t.after(() => provider.stop());
      const server = await given(t);
      await trustIn(server, provider, 'entra');
      provider.behaviour = behaviour;
      const nowMs = Date.now();
      const ask = () =>
        PRESENT.service(server, tokenOf(usual, { provider, nowMs, endpoint: `https://localhost:${server.port}` }));
      const refused = await ask();
      assertError(refused, { status: 503, code: 'ServiceUnavailable' });
      assert.equal(refused.headers['retry-after'], '5');
      assert.ok(provider.fetches.length <= 2 && !provider.fetches.some((path) => path.startsWith('/moved')));
      // Everybody else is served.
      assert.equal((await server.asService('POST /identities')).status, 201);

      provider.behaviour = 'well';
      await until(async () => (await ask()).status === 201);
      provider.behaviour = behaviour;
      assert.equal((await ask()).status, 201, 'keys that are known go on working');
      const found = WRONG_TOKENS.find(({ reason }) => reason === 'foreign.keyUnknown') ?? assert.fail();
      const unknown = { ...found, purpose: 'service' as const };
      const endpoint = `https://localhost:${server.port}`;
      const answer = await PRESENT.service(server, tokenOf(unknown, { provider, nowMs, endpoint }));
      assertError(answer, { status: 503, code: 'ServiceUnavailable' });
    });
  }
});

describe('what is issued for a presented token', () => {
  test('never outlives it, to the second', async (t) => {
    const provider = await Provider.start();
    t.after(() => provider.stop());
    const server = await given(t);
    await trustIn(server, provider, 'entra');
    const now = Math.floor(Date.now() / 1000);
    for (const life of [61, 3600, 90_000, 7 * 86_400]) {
      for (const purpose of ['teamsUser', 'teamsExtension', 'entraUser'] as const) {
        const usual = GOOD_TOKENS.find((token) => token.purpose === purpose) ?? assert.fail();
        const change: typeof usual.change = (draft, facts) => {
          usual.change(draft, facts);
          draft.claims.exp = now + life;
        };
        const context = { provider, nowMs: Date.now(), endpoint: `https://localhost:${server.port}` };
        const answer = await PRESENT[purpose](server, tokenOf({ ...usual, change }, context));
        assert.equal(answer.status, 200, answer.text);
        const { token, expiresOn } = answer.body.accessToken ?? answer.body;
        const { exp, iat } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
        assert.equal(Date.parse(expiresOn), exp * 1000);
        if (life <= 86_400) assert.equal(exp, now + life);
        else assert.equal(exp - iat, 86_400, 'nor longer than a token may live');
        assert.equal((await server.asUser(token)).status, 200);
      }
    }
  });
});

test('a service issues tokens that outlive its own, and the end of the trust ends them', async (t) => {
  const provider = await Provider.start();
  t.after(() => provider.stop());
  const server = await given(t);
  await trustIn(server, provider, 'entra');
  const usual = GOOD_TOKENS.find(({ purpose }) => purpose === 'service') ?? assert.fail();
  const now = Math.floor(Date.now() / 1000);
  const change: typeof usual.change = (draft, facts) => {
    usual.change(draft, facts);
    draft.claims.exp = now + 60;
  };
  const own = tokenOf(
    { ...usual, change },
    { provider, nowMs: Date.now(), endpoint: `https://localhost:${server.port}` },
  );
  const issue = asBearer(`POST /identities?api-version=${API_VERSION}`, {
    createTokenWithScopes: ['chat'],
    expiresInMinutes: 1440,
  });
  const { token, expiresOn } = (await issue(server, own)).body.accessToken;
  assert.ok(Date.parse(expiresOn) >= (now + 86_400) * 1000);
  assert.equal((await server.asUser(token)).status, 200);
  await asOperatorOf(server)('POST /-/trusts/entra/:disable');
  assert.equal((await server.asUser(token)).status, 401);
});

const given = (t: TestContext): Promise<TestServer> =>
  startTestServer(t, { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } });

/** Asks again for as long as ten seconds. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await holds()) return;
    await sleep(100);
  }
  assert.fail('it never came to hold');
}
