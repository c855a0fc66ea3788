import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Capability } from '../../src/capabilities/tables.ts';
import { ok, type Route, route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { type RouteParts, routeList } from '../../src/routes.ts';
import { assertError } from '../harness/envelope.ts';
import { type Answer, send } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { DEV_ID, givenResource, unusedId } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { givenRoad } from '../harness/road.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';

/** The entries alone; none of their handlers is called here. */
const routesOf = (mode: 'dev' | 'production'): Route[] => routeList({ mode } as unknown as RouteParts);

const OPERATOR_KEY = 'an-operator-key-for-the-route-walk-01234';
const DENIED = { status: 401, code: 'Denied', message: 'Denied by the resource provider.' };
const REFUSED = { status: 401, code: 'Unauthorized', message: 'The access token is not valid.' };

/** Method and target of a route, filled in so that an accepted call would be a good one. */
function callOf({ at, versions, body }: Route): { method: string; target: string; body?: string; type: string } {
  const [method = '', path = ''] = at.split(' ');
  const version = versions?.at(-1);
  const target = `${path.replaceAll(/\{\w+\}/g, encodeURIComponent(unusedId()))}${version ? `?api-version=${version}` : ''}`;
  const form = body?.kind === 'form';
  return {
    method,
    target,
    ...(body && { body: form ? 'token=x' : '{"scopes":["chat"],"tokensValidFrom":"2020-01-01T00:00:00Z"}' }),
    type: form ? 'application/x-www-form-urlencoded' : 'application/json',
  };
}

/** Who a caller may be, and which routes open to them. The cross product is security-and-reliability, T4. */
type Credential =
  | 'nothing'
  | 'service'
  | 'user'
  | 'operator'
  | 'aWrongKey'
  | 'aForgedToken'
  | 'aWrongOperatorKey'
  | 'basic';
const OPENS: Record<Route['access']['caller'], readonly Credential[]> = {
  nobody: ['nothing', 'service', 'user', 'operator', 'aWrongKey', 'aForgedToken', 'aWrongOperatorKey', 'basic'],
  service: ['service'],
  operator: ['operator'],
  serviceOrOperator: ['service', 'operator'],
  user: ['user'],
};
const CREDENTIALS = OPENS.nobody;

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
  shareServer(
    async (started) => {
      server = started;
      token = await server.givenToken(await server.givenIdentity());
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
      basic: () => ({ Authorization: `Basic ${Buffer.from(`operator:${OPERATOR_KEY}`).toString('base64')}` }),
    };
    return send(target.port, { method, target: path, body, headers: { 'Content-Type': type, ...proof[credential]() } });
  }

  for (const one of routesOf('dev')) {
    test(`${one.at} opens to ${one.access.caller} and answers 401 to all others`, async () => {
      for (const credential of CREDENTIALS) {
        const answer = await ask(server, one, credential);
        figures.cells += 1;
        if (letIn(answer) !== OPENS[one.access.caller].includes(credential)) figures.wrongCells += 1;
        if (OPENS[one.access.caller].includes(credential)) {
          assert.ok(letIn(answer), `${credential}: ${answer.status} ${answer.text}`);
        } else if (one.at.startsWith('HEAD ')) assert.equal(answer.status, 401, credential);
        else assertError(answer, one.access.caller === 'user' ? REFUSED : DENIED, credential);
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
        figures.cells += 1;
        if (letIn(answer) !== OPENS[one.access.caller].includes(credential)) figures.wrongCells += 1;
        assert.equal(letIn(answer), OPENS[one.access.caller].includes(credential), about);
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
    const port = await givenRoad(t, mistaken, {
      tokens,
      signatories: [resources.get(DEV_ID)],
      operatorKey: OPERATOR_KEY,
    });
    const victim = { port, host: `localhost:${port}`, key: server.key };
    const wrong = new Set<string>();
    for (const one of routes) {
      for (const credential of CREDENTIALS)
        if (letIn(await ask(victim, one, credential)) !== OPENS[one.access.caller].includes(credential))
          wrong.add(one.operation);
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

  test('opens to strangers, and to any scope, at these places only: a new one is a decision', () => {
    const open = routes.filter(({ access }) => access.caller === 'nobody').map(({ at }) => at);
    assert.deepEqual(open.sort(), [
      'GET /-/ca.pem',
      'GET /-/health/live',
      'GET /-/health/ready',
      'GET /-/metrics', // in dev mode
      'GET /-/openapi.json', // in dev mode
      'GET /.well-known/jwks.json',
      'GET /.well-known/openid-configuration',
      'GET /adfs/.well-known/openid-configuration',
      'POST /adfs/oauth2/v2.0/token', // takes the operator key in its body
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
    assert.throws(() => new RouteTable([forgotten]), /names no capability/);
    // @ts-expect-error and it must be a capability that exists
    route({ ...entry, access: { caller: 'user', requires: 'chat.thread.paint' } });
    // @ts-expect-error a route must say who may call it
    route(entry);
    for (const requires of ['anyScope', 'chat.thread.read'] satisfies (Capability | 'anyScope')[]) {
      new RouteTable([route({ ...entry, access: { caller: 'user', requires } })]);
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
    assert.throws(() => new RouteTable([one, two]));
  });
});
