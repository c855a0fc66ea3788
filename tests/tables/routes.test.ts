import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Capability } from '../../src/capabilities/tables.ts';
import { ok, type Route, route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { APPLICATIONS, DIRECTORY_TENANT, PUBLISHED_SECRET, USERS } from '../../src/planes/sign-in/directory.ts';
import { describedRoutes } from '../harness/described.ts';
import { assertError } from '../harness/envelope.ts';
import { type Answer, send } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { DEV_ID, givenResource, unusedId } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';
import { apiOf, givenPipeline } from '../harness/test-pipeline.ts';

/** The entries alone; none of their handlers is called here. */
const routesOf = describedRoutes;

const OPERATOR_KEY = 'an-operator-key-for-the-route-walk-01234';
const DENIED = { status: 401, code: 'Denied', message: 'Denied by the resource provider.' };
const INVALID = { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' };
const REFUSED = { status: 401, code: 'Unauthorized', message: 'The access token is not valid.' };

/** Bodies that are told from a refusal at the door. */
const OWN_BODIES: Readonly<Record<string, string>> = { 'POST /teamsUser/:exchangeAccessToken': '{"token":1}' };

/** Method and target of a route, filled in so that an accepted call would be a good one. */
function callOf({ at, versions, body }: Route): { method: string; target: string; body?: string; type: string } {
  const [method = '', path = ''] = at.split(' ');
  const version = versions?.at(-1);
  const target = `${path.replaceAll(/\{\w+\}/g, encodeURIComponent(unusedId()))}${version ? `?api-version=${version}` : ''}`;
  const form = body?.kind === 'form';
  return {
    method,
    target,
    ...(body && {
      body: form ? 'token=x' : (OWN_BODIES[at] ?? '{"scopes":["chat"],"tokensValidFrom":"2020-01-01T00:00:00Z"}'),
    }),
    type: form ? 'application/x-www-form-urlencoded' : 'application/json',
  };
}

/** What routes for nobody want to see beside; none of it tells who is asking. */
const OWN_HEADERS: Readonly<Record<string, (server: { host: string }) => Record<string, string>>> = {
  'GET /msi/token': () => ({ 'X-IDENTITY-HEADER': PUBLISHED_SECRET }),
  'POST /-/devicelogin': ({ host }) => ({ Origin: `http://${host}` }),
  'POST /': ({ host }) => ({ Origin: `http://${host}` }),
};

/** Who a caller may be, and which routes open to them. The cross product is security-and-reliability, T4. */
type Credential =
  | 'nothing'
  | 'service'
  | 'user'
  | 'operator'
  | 'aWrongKey'
  | 'aForgedToken'
  | 'aWrongOperatorKey'
  | 'basic'
  /** Tokens of the development issuer, by what they are made for. */
  | 'trustedService'
  | 'trustedOperator'
  | 'entraUser'
  | 'teamsUser';
const OPENS: Record<Route['access']['caller'], readonly Credential[]> = {
  nobody: [
    'nothing',
    'service',
    'user',
    'operator',
    'aWrongKey',
    'aForgedToken',
    'aWrongOperatorKey',
    'basic',
    'trustedService',
    'trustedOperator',
    'entraUser',
    'teamsUser',
  ],
  service: ['service', 'trustedService'],
  operator: ['operator', 'trustedOperator'],
  serviceOrOperator: ['service', 'operator', 'trustedService'],
  entraUser: ['entraUser', 'teamsUser'],
  user: ['user'],
};
const CREDENTIALS = OPENS.nobody;

/** To whom a route opens: of the routes for users of other directories, each takes tokens made for it. */
const opensTo = ({ access }: Route): readonly Credential[] =>
  access.caller === 'entraUser' ? [access.purpose === 'entraUser' ? 'entraUser' : 'teamsUser'] : OPENS[access.caller];

const REFUSALS: Partial<Record<Route['access']['caller'], typeof DENIED>> = { user: REFUSED, entraUser: INVALID };

/** Gets one token of each kind from the development issuer, and lets its users in. */
async function givenTrustedTokens(server: TestServer, trusted: Partial<Record<Credential, string>>): Promise<void> {
  const { issuer } = server.server;
  const [alice] = USERS;
  if (!issuer || !alice) throw new Error('there is no development issuer');
  const { service, app } = APPLICATIONS;
  const application = async (aud: string) => (await issuer.applicationToken(service, { aud })).jwt;
  const user = async (aud: string, ...permissions: string[]) => {
    const grant = { aud, permissions, scope: permissions.join(' '), openid: false, offline: false };
    return (await issuer.userToken(alice, app.clientId, grant)).jwt;
  };
  Object.assign(trusted, {
    trustedService: await application('https://communication.azure.com/'),
    trustedOperator: await application('https://management.azure.com/'),
    entraUser: await user('https://communication.azure.com/clients', 'Chat'),
    teamsUser: await user('https://auth.msft.communication.azure.com', 'TeamsExtension.ManageCalls'),
  });
  for (const [at, body] of [
    [`PUT /access/entra/assignments/${alice.objectId}`, { tenantId: DIRECTORY_TENANT, clientIds: [app.clientId] }],
    [`PUT /access/teamsExtension/tenants/${DIRECTORY_TENANT}/assignments/${alice.objectId}`, {}],
  ] as const) {
    const answer = await server.asService(`${at}?api-version=2025-03-02-preview`, { principalType: 'user', ...body });
    assert.equal(answer.status, 201, answer.text);
  }
}

/** Whether the door let the caller in, whatever came of it then. */
const letIn = ({ status, body }: Answer): boolean =>
  status < 500 && status !== 403 && (status !== 401 || body?.error.code === 'IdentityNotOwned');

const figures = { cells: 0, wrongCells: 0 };
let planted = false;
after(() =>
  writeResult({ id: 'T4', seed: 0, figures, passed: figures.wrongCells === 0 && figures.cells > 0, planted }),
);

describe('every route', () => {
  let server: TestServer;
  let token: string;
  const trusted: Partial<Record<Credential, string>> = {};
  shareServer(
    async (started) => {
      server = started;
      token = await server.givenToken(await server.givenIdentity());
      await givenTrustedTokens(server, trusted);
    },
    { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
  );

  async function ask(target: { port: number; host: string; key: string }, one: Route, credential: Credential) {
    const { method, target: path, body, type } = callOf(one);
    const signed = (key: string) => sign({ method, target: path, host: target.host, body, key });
    const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
    const proof: Record<Credential, () => Record<string, string>> = {
      nothing: () => ({}),
      service: () => signed(target.key),
      user: () => bearer(token),
      operator: () => bearer(OPERATOR_KEY),
      aWrongKey: () => signed(Buffer.alloc(64).toString('base64')),
      aForgedToken: () => bearer(`${token.slice(0, -8)}AAAAAAAA`),
      aWrongOperatorKey: () => bearer(`${OPERATOR_KEY}x`),
      trustedService: () => bearer(trusted.trustedService ?? ''),
      trustedOperator: () => bearer(trusted.trustedOperator ?? ''),
      entraUser: () => bearer(trusted.entraUser ?? ''),
      teamsUser: () => bearer(trusted.teamsUser ?? ''),
      basic: () => ({ Authorization: `Basic ${Buffer.from(`operator:${OPERATOR_KEY}`).toString('base64')}` }),
    };
    const headers = { 'Content-Type': type, ...OWN_HEADERS[one.at]?.(target), ...proof[credential]() };
    return send(target.port, { method, target: path, body, headers });
  }

  for (const one of routesOf('dev')) {
    test(`${one.at} opens to ${one.access.caller} and answers 401 to all others`, async () => {
      for (const credential of CREDENTIALS) {
        const answer = await ask(server, one, credential);
        figures.cells += 1;
        if (letIn(answer) !== opensTo(one).includes(credential)) figures.wrongCells += 1;
        if (opensTo(one).includes(credential)) {
          assert.ok(letIn(answer), `${credential}: ${answer.status} ${answer.text}`);
        } else if (one.at.startsWith('HEAD ')) assert.equal(answer.status, 401, credential);
        else assertError(answer, REFUSALS[one.access.caller] ?? DENIED, credential);
      }
    });
  }

  test('opens to the key of its own resource only as far as that resource goes', async () => {
    const neighbour = await givenResource(server);
    for (const one of routesOf('dev').filter(({ at }) => at.includes('/identities/{id}'))) {
      const { method, target, body, type } = callOf(one);
      const headers = {
        'Content-Type': type,
        ...sign({ method, target, host: server.host, body, key: neighbour.key }),
      };
      const answer = await server.send({ method, target, body, headers });
      assertError(answer, { status: 401, code: 'IdentityNotOwned' }, one.at);
    }
  });

  test('in production opens to the same callers, and metrics and the API document to the operator alone', async (t) => {
    const production = await startProduction(t, { LINARITE_OPERATOR_KEY: OPERATOR_KEY });
    for (const one of routesOf('production').filter(({ access }) => access.caller !== 'user')) {
      for (const credential of CREDENTIALS) {
        const answer = await ask(production, one, credential);
        const about = `${one.at} ${credential}: ${answer.status} ${answer.text}`;
        // Tokens of the development issuer are trusted by nobody in production.
        const isTrusted = Object.hasOwn(trusted, credential) && one.access.caller !== 'nobody';
        const opens = opensTo(one).includes(credential) && !isTrusted;
        figures.cells += 1;
        if (letIn(answer) !== opens) figures.wrongCells += 1;
        assert.equal(letIn(answer), opens, about);
      }
    }
    for (const name of ['getMetrics', 'getApiDocument'])
      assert.equal(routesOf('production').find(({ operation }) => operation === name)?.access.caller, 'operator');
  });

  test('is found out when it opens to another caller than its entry says', async (t) => {
    const routes = routesOf('dev');
    const mistaken = routes.map((one): Route => {
      const handle = () => ok({});
      if (one.operation === 'listKeys') return { ...one, handle, access: { caller: 'serviceOrOperator' } };
      if (one.operation === 'whoami') return { ...one, handle, access: { caller: 'nobody' } };
      return { ...one, handle };
    });
    const { tokens, resources } = server.server;
    const port = await givenPipeline(t, mistaken, {
      tokens,
      signatories: [resources.get(DEV_ID)],
      operatorKey: OPERATOR_KEY,
    });
    const victim = { port, host: `localhost:${port}`, key: server.key };
    const wrong = new Set<string>();
    for (const one of routes) {
      // Its pipeline knows no trusts.
      for (const credential of CREDENTIALS.filter((name) => !Object.hasOwn(trusted, name)))
        if (letIn(await ask(victim, one, credential)) !== opensTo(one).includes(credential)) wrong.add(one.operation);
    }
    assert.deepEqual([...wrong].sort(), ['listKeys', 'whoami']);
    planted = true;
  });

  test('refuses a token of the other mode: dev tokens open nothing in production', async (t) => {
    const production = await startProduction(t);
    assertError(await production.asUser(token), REFUSED);
  });
});

describe('the list of routes', () => {
  const routes = routesOf('dev');

  test('names each operation once, and each place once', () => {
    assert.equal(new Set(routes.map(({ operation }) => operation)).size, routes.length);
    assert.equal(new Set(routes.map(({ at }) => at.toLowerCase())).size, routes.length);
  });

  test('says about each what the reference page needs', () => {
    for (const { operation, summary, answers, versions, at } of routes) {
      assert.match(operation, /^[a-z][A-Za-z]+$/);
      assert.match(summary, /^[A-Z].*\.$/s, operation);
      assert.notEqual(Object.keys(answers).length, 0, operation);
      if (at.includes(' /identities')) assert.ok(versions, `${operation}: the identity plane has versions`);
    }
  });

  test('opens to callers without credentials, and to any scope, at these places only: a new one is a decision', () => {
    const openIn = (list: readonly Route[]) =>
      list
        .filter(({ access }) => access.caller === 'nobody')
        .map(({ at }) => at)
        .sort();
    assert.deepEqual(openIn(routes), [
      'GET /',
      'GET /-/ca.pem',
      'GET /-/devicelogin',
      'GET /-/health/live',
      'GET /-/health/ready',
      'GET /-/metrics', // in dev mode
      'GET /-/openapi.json', // in dev mode
      'GET /.well-known/jwks.json',
      'GET /.well-known/openid-configuration',
      'GET /common/userrealm/{user}',
      'GET /metadata/endpoints',
      'GET /metadata/identity/oauth2/token',
      'GET /metadata/identity/oauth2/token/',
      'GET /msi/token',
      'GET /{tenant}/.well-known/openid-configuration',
      'GET /{tenant}/discovery/v2.0/keys',
      'GET /{tenant}/v2.0/.well-known/openid-configuration',
      'POST /', // issues with the published key only
      'POST /-/devicelogin',
      'POST /adfs/oauth2/devicecode',
      'POST /adfs/oauth2/token',
      'POST /adfs/{tenant}/oauth2/v2.0/token',
      'POST /msi/token',
      'POST /{tenant}/oauth2/v2.0/devicecode',
      'POST /{tenant}/oauth2/v2.0/token', // takes secrets in its body, the operator key among them
    ]);
    assert.deepEqual(openIn(routesOf('production')), [
      'GET /-/ca.pem',
      'GET /-/health/live',
      'GET /-/health/ready',
      'GET /.well-known/jwks.json',
      'GET /.well-known/openid-configuration',
      'GET /metadata/endpoints',
      'GET /{tenant}/.well-known/openid-configuration',
      'GET /{tenant}/v2.0/.well-known/openid-configuration',
      'POST /adfs/{tenant}/oauth2/v2.0/token',
      'POST /{tenant}/oauth2/v2.0/token', // takes the operator key in its body
    ]);
    const any = routes.filter(({ access }) => access.caller === 'user' && access.requires === 'anyScope');
    assert.deepEqual(
      any.map(({ at }) => at),
      ['GET /-/whoami'],
    );
    const both = routes.filter(({ access }) => access.caller === 'serviceOrOperator').map(({ at }) => at);
    assert.deepEqual(both, ['POST /-/introspect']);
  });

  test('cannot hold a route for user tokens that names no capability', () => {
    const entry = { operation: 'x', summary: 'X.', at: 'GET /x', answers: {}, handle: () => ok({}) } as const;
    // @ts-expect-error a user route must say what it requires, or `anyScope`
    const forgotten = route({ ...entry, access: { caller: 'user' } });
    assert.throws(() => new RouteTable([apiOf([forgotten])]), /names no capability/);
    // @ts-expect-error and it must be a capability that exists
    route({ ...entry, access: { caller: 'user', requires: 'chat.thread.paint' } });
    // @ts-expect-error a route must say who may call it
    route(entry);
    for (const requires of ['anyScope', 'chat.thread.read'] satisfies (Capability | 'anyScope')[]) {
      new RouteTable([apiOf([route({ ...entry, access: { caller: 'user', requires } })])]);
    }
  });

  test('cannot hold two routes at one place', () => {
    const one = route({
      operation: 'x',
      summary: 'X.',
      at: 'GET /x/{id}',
      access: { caller: 'nobody' },
      answers: {},
      handle: () => ok({}),
    });
    const two = route({
      operation: 'y',
      summary: 'Y.',
      at: 'GET /X/{id}',
      access: { caller: 'nobody' },
      answers: {},
      handle: () => ok({}),
    });
    assert.throws(() => new RouteTable([apiOf([one, two])]));
  });
});

test('what ends access, or tells how the server is, has places of its own', () => {
  const urgent = (kind: string): string[] => {
    const routes = [...routesOf('dev'), ...routesOf('production')].filter((route) => typeof route.urgent === kind);
    return [...new Set(routes.map(({ operation }) => operation))].sort();
  };
  assert.deepEqual(urgent('boolean'), [
    'deleteCommunicationService',
    'deleteEntraAssignment',
    'deleteGrant',
    'deleteIdentity',
    'deleteResourceGroup',
    'deleteTeamsExtensionAssignment',
    'deleteTrust',
    'disableTrust',
    'getMetrics',
    'isLive',
    'isReady',
    'putTrust',
    'recover',
    'regenerateKey',
    'revokeAccessTokens',
    'updateIdentity',
  ]);
  // Their body, or what there is, tells whether they do.
  assert.deepEqual(urgent('object'), [
    'putCommunicationService',
    'putEntraAssignment',
    'putTeamsExtensionAssignment',
    'updateCommunicationService',
    'updateEntraAssignments',
  ]);
});
