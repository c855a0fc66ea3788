import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IDENTITY_VERSIONS, precedes, versions } from '../../src/planes/identity/versions.ts';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import {
  ALICE,
  APP,
  applicationToken,
  asOperator,
  BOB,
  CAROL,
  CLIENTS,
  claimsOf,
  OPERATOR_KEY,
  OTHER_APP,
  SERVICE,
  TEAMS,
  userToken,
  withBearer,
} from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import { STORES } from '../harness/postgres.ts';
import { DEV_ID, givenResource, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const EXCHANGE = 'POST /teamsUser/:exchangeAccessToken';
const SCOPES = `${TEAMS}/Teams.ManageCalls ${TEAMS}/Teams.ManageChats`;
const EXPECTED = { appId: APP, userId: ALICE.objectId };
const VERSIONS = versions('2021-03-31-preview1');
const INVALID = { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' };
const NOBODY = '5e1f0057-0000-4000-8000-0000000000ff';

const invalid = (message: string, target: string) => ({ status: 400, code: 'ValidationError', message, target });

const teamsToken = (server: TestServer, user = ALICE, scope = SCOPES): Promise<string> =>
  userToken(server, user, scope);

describe('exchanging the token of a Teams user', () => {
  let server: TestServer;
  let presented: string;
  shareServer(
    async (started) => {
      server = started;
      presented = await teamsToken(server);
    },
    { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
  );
  const exchange = (body: object, version: string = '2023-10-01') =>
    server.asService(`${EXCHANGE}?api-version=${version}`, body);

  for (const version of VERSIONS) {
    const preview = precedes(version, '2021-11-01');
    test(`${version}: 200 with a token${preview ? ', for the presented one alone' : ''}`, async () => {
      const body = preview ? { token: presented } : { token: presented, ...EXPECTED };
      const answer = await exchange(body, version);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(Object.keys(answer.body), ['token', 'expiresOn']);
      assert.match(answer.body.expiresOn, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/);
      assert.equal(answer.headers['api-supported-versions'], VERSIONS.join(', '));
      assert.equal((await server.asUser(answer.body.token)).status, 200);
    });

    test(`${version}: complains in the recorded order: token, presence, format, match`, async () => {
      // Everything is wrong at first, and one thing after the other is put right.
      const ladder: [object, Parameters<typeof assertError>[1]][] = [
        [{ token: 'no.good.token', appId: '', userId: '' }, INVALID],
        ...(preview
          ? []
          : ([
              [{ token: presented }, invalid('AppId: The AppId field is required.', 'AppId')],
              [{ token: presented, appId: null, userId: 'x' }, invalid('AppId: The AppId field is required.', 'AppId')],
              [{ token: presented, appId: '', userId: '' }, invalid('AppId: The AppId field is required.', 'AppId')],
              [
                { token: presented, appId: 'x', userId: '' },
                invalid('UserId: The UserId field is required.', 'UserId'),
              ],
              [
                { token: presented, appId: 'x', userId: ' ' },
                invalid('UserId: The UserId field is required.', 'UserId'),
              ],
            ] as [object, Parameters<typeof assertError>[1]][])),
        [{ token: presented, appId: 'x', userId: 'y' }, invalid('Provided AppId has invalid format.', 'appId')],
        [{ token: presented, appId: NOBODY, userId: 'y' }, invalid('Provided UserId has invalid format.', 'userId')],
        [
          { token: presented, appId: NOBODY, userId: NOBODY },
          invalid('AAD application is not the expected one.', 'appId'),
        ],
        [
          { token: presented, appId: APP, userId: NOBODY },
          invalid('Provided AAD token issued for unexpected user.', 'userId'),
        ],
      ];
      for (const [body, expected] of ladder) {
        const said = { ...body, token: undefined };
        assertError(await exchange(body, version), expected, JSON.stringify(said));
      }
    });
  }

  test('is not there before 2021-03-31-preview1, and insists on a version', async () => {
    for (const version of IDENTITY_VERSIONS.filter((known) => !VERSIONS.includes(known))) {
      assertError(await exchange({ token: presented, ...EXPECTED }, version), {
        status: 400,
        code: 'UnsupportedApiVersion',
      });
    }
    assertError(await server.asService(`${EXCHANGE}?api-version=`, { token: presented }), {
      status: 400,
      code: 'ApiVersionUnspecified',
    });
  });

  test('refuses with the same words every token that is not a Teams user’s for us', async () => {
    const tokens: Record<string, unknown> = {
      'no token': undefined,
      null: null,
      'an empty one': '',
      blank: ' ',
      text: 'sdfsdfsdf',
      'two dots': '..',
      'a changed signature': `${presented.slice(0, -8)}AAAAAAAA`,
      'no signature': `${presented.split('.').slice(0, 2).join('.')}.`,
      'made for services': await userToken(server, ALICE, `${SERVICE}/user_impersonation`),
      'made for Entra users': await userToken(server, ALICE, `${CLIENTS}/Chat`),
      'an application’s own': await applicationToken(server, TEAMS),
      'without a permission of this exchange': await teamsToken(server, ALICE, `${TEAMS}/TeamsExtension.ManageCalls`),
      'one of our own': await server.givenToken(await server.givenIdentity()),
    };
    for (const [what, token] of Object.entries(tokens)) {
      assertError(await exchange({ token, ...EXPECTED }), INVALID, what);
    }
  });

  test('a body of the wrong types, or none, is a 400 or an invalid token; never more', async () => {
    for (const body of [{ token: 7 }, { token: presented, appId: {} }, { token: presented, userId: [] }])
      assert.equal((await exchange(body)).status, 400);
    assertError(await server.asService(EXCHANGE), INVALID);
  });

  test('ids are compared without regard to case', async () => {
    const upper = { appId: APP.toUpperCase(), userId: ALICE.objectId.toUpperCase() };
    assert.equal((await exchange({ token: presented, ...upper })).status, 200);
  });

  test('the claims are those of Teams users, and the end that of the presented token', async () => {
    const { body } = await exchange({ token: presented, ...EXPECTED });
    const claims = claimsOf(body.token);
    const theirs = claimsOf(presented);
    const { iat, rv, jti, iss, tr, rgn, ...rest } = claims;
    assert.deepEqual(rest, {
      skypeid: `orgid:${ALICE.objectId}`,
      scp: 1024,
      csi: String(theirs.iat),
      exp: theirs.exp,
      acsScope: 'voip,chat',
      resourceId: DEV_ID,
      tid: DIRECTORY_TENANT,
      aad_iat: String(theirs.iat),
      aad_uti: theirs.uti,
      aad_appid: APP,
      aud: DEV_ID,
      sub: `8:orgid:${ALICE.objectId}`,
    });
    assert.ok((iat as number) >= (theirs.iat as number));
    assert.equal(Date.parse(body.expiresOn), (theirs.exp as number) * 1000);
    const { body: trust } = await asOperator(server, 'GET /-/trusts/dev');
    assert.equal(tr, trust.id);
    assert.deepEqual(
      [typeof rv, typeof jti, iss, rgn],
      ['number', 'string', server.server.endpoint.slice(0, -1), 'amer'],
    );
  });

  test('the scopes are those that the user permitted', async () => {
    for (const [permission, scope] of [
      ['Teams.ManageCalls', 'voip'],
      ['Teams.ManageChats', 'chat'],
      ['.default', 'voip,chat'],
    ]) {
      const { body } = await exchange({
        token: await teamsToken(server, ALICE, `${TEAMS}/${permission}`),
        ...EXPECTED,
      });
      assert.equal(claimsOf(body.token).acsScope, scope);
      assert.deepEqual((await server.asUser(body.token)).body.scopes, scope?.split(','));
    }
  });

  test('with Entra in place of the key it is the same', async () => {
    const service = await applicationToken(server, SERVICE);
    const answer = await withBearer(server, service, `${EXCHANGE}?api-version=2023-10-01`, {
      token: presented,
      ...EXPECTED,
    });
    assert.equal(answer.status, 200);
    assert.equal(claimsOf(answer.body.token).sub, `8:orgid:${ALICE.objectId}`);
    // What the service proves is one thing, what it presents another: a user's token opens nothing by itself.
    assertError(
      await withBearer(server, presented, `${EXCHANGE}?api-version=2023-10-01`, { token: presented, ...EXPECTED }),
      { status: 401, code: 'Denied' },
    );
  });

  test('a client with a secret gets users’ tokens too, under its own name', async () => {
    const token = await userToken(server, ALICE, SCOPES, OTHER_APP);
    assertError(await exchange({ token, ...EXPECTED }), invalid('AAD application is not the expected one.', 'appId'));
    const { body } = await exchange({ token, appId: OTHER_APP, userId: ALICE.objectId });
    assert.equal(claimsOf(body.token).aad_appid, OTHER_APP);
  });
});

describe('the life of an exchanged token', () => {
  test('it ends with the presented one, and an expired one is refused', async (t) => {
    const clock = new TestClock();
    const server = await startTestServer(t, { clock });
    const presented = await teamsToken(server);
    const exchange = () => server.asService(EXCHANGE, { token: presented, ...EXPECTED });
    clock.advance(59 * 60_000);
    const late = (await exchange()).body;
    assert.equal(claimsOf(late.token).exp, claimsOf(presented).exp);
    assert.equal((await server.asUser(late.token)).status, 200);
    clock.advance(60_000);
    assert.equal((await server.asUser(late.token)).status, 401);
    assertError(await exchange(), INVALID);
  });

  test('it is no longer than any of ours', async (t) => {
    const env = {
      LINARITE_TOKEN_MINUTES_LONGEST: '30',
      LINARITE_TOKEN_MINUTES_SHORTEST: '5',
      LINARITE_TOKEN_MINUTES: '30',
    };
    const server = await startTestServer(t, { env });
    const { body } = await server.asService(EXCHANGE, { token: await teamsToken(server), ...EXPECTED });
    const { exp, iat } = claimsOf(body.token) as { exp: number; iat: number };
    assert.equal(exp - iat, 30 * 60);
  });
});

for (const store of STORES) {
  describe(`Teams users in the directory, on ${store}`, () => {
    const exchanged = async (server: TestServer, user: typeof ALICE, key = server.key): Promise<string> => {
      const body = { token: await teamsToken(server, user), appId: APP, userId: user.objectId };
      const answer = await server.asService(EXCHANGE, body, { key });
      assert.equal(answer.status, 200, answer.text);
      return answer.body.token;
    };
    const alice = inPath(`8:orgid:${ALICE.objectId}`);

    test('revoking and deleting end their tokens; another exchange begins anew', async (t) => {
      const server = await startTestServer(t, { store });
      const first = await exchanged(server, ALICE);
      const bobs = await exchanged(server, BOB);
      assert.equal((await server.asService(`GET ${alice}`)).body.id, `8:orgid:${ALICE.objectId}`);

      assert.equal((await server.asService(`POST ${alice}/:revokeAccessTokens`)).status, 204);
      assert.equal((await server.asUser(first)).status, 401);
      const second = await exchanged(server, ALICE);
      assert.equal((await server.asUser(second)).status, 200);

      assert.equal((await server.asService(`DELETE ${alice}`)).status, 204);
      assert.equal((await server.asUser(second)).status, 401);
      assertError(await server.asService(`GET ${alice}`), { status: 401, code: 'IdentityNotOwned' });
      const third = await exchanged(server, ALICE);
      assert.deepEqual(
        [(await server.asUser(third)).status, (await server.asUser(second)).status, (await server.asUser(bobs)).status],
        [200, 401, 200],
      );
    });

    test('no key stands in for their own directory', async (t) => {
      const server = await startTestServer(t, { store });
      await exchanged(server, ALICE);
      assertError(await server.asService(`POST ${alice}/:issueAccessToken`, { scopes: ['chat'] }), {
        status: 401,
        code: 'IdentityNotOwned',
      });
    });

    test('the same user in two resources is two identities', async (t) => {
      const server = await startTestServer(t, { store });
      const neighbour = await givenResource(server);
      const here = await exchanged(server, CAROL);
      const there = await exchanged(server, CAROL, neighbour.key);
      assert.deepEqual([claimsOf(here).resourceId, claimsOf(there).resourceId], [DEV_ID, neighbour.id]);
      const carol = inPath(`8:orgid:${CAROL.objectId}`);
      assert.equal((await server.asService(`POST ${carol}/:revokeAccessTokens`)).status, 204);
      assert.deepEqual([(await server.asUser(here)).status, (await server.asUser(there)).status], [401, 200]);
      assert.equal((await server.asService(`DELETE ${carol}`, undefined, { key: neighbour.key })).status, 204);
      assert.equal((await server.asUser(there)).status, 401);
      assert.equal((await server.asUser(await exchanged(server, CAROL))).status, 200);
      assertError(await server.asService(`GET ${carol}`, undefined, { key: neighbour.key }), {
        status: 401,
        code: 'IdentityNotOwned',
      });
    });

    test('regenerating the key that presented it ends nothing: no key vouched for the user', async (t) => {
      const server = await startTestServer(t, { store });
      const token = await exchanged(server, ALICE);
      await server.server.resources.regenerateKey(DEV_ID, 'primary');
      assert.equal((await server.asUser(token)).status, 200);
    });
  });
}
