import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { describe, test } from 'node:test';
import type {
  Caller,
  IdentityId,
  ResourceId,
  ServiceCaller,
  TokenFacts,
  TrustId,
  UserCaller,
} from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { Admission } from '../../src/http/admission.ts';
import type { Api } from '../../src/http/dialect.ts';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import { HELD_MOST, Holds } from '../../src/http/holds.ts';
import { Pipeline } from '../../src/http/pipeline.ts';
import { RequestGuard } from '../../src/http/request-guard.ts';
import type { Access, Reply, Route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { listOf, object, optional, text, truth } from '../../src/http/schema.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { UNWATCHED } from '../../src/http/session.ts';
import type { RequestFacts } from '../../src/monitoring/events.ts';
import { IDENTITY_VERSIONS, versions } from '../../src/planes/identity/versions.ts';
import { oauthDialect } from '../../src/planes/sign-in/oauth-dialect.ts';
import { sign } from '../harness/sign.ts';
import { apiOf } from '../harness/test-pipeline.ts';
import { type WireDraft, wireRequest } from '../harness/wire-request.ts';

type Uses = ConstructorParameters<typeof Pipeline>[0];
type Options = ConstructorParameters<typeof Pipeline>[1];

const NOON = Date.UTC(2030, 0, 1, 12);
const DATE = 'Tue, 01 Jan 2030 12:00:00 GMT';
const KEY = Buffer.alloc(64, 1).toString('base64');
const RESOURCE = 'one' as ResourceId;
const OPERATOR_KEY = 'operator-key';
const SERVICE: ServiceCaller = {
  kind: 'service',
  resourceId: RESOURCE,
  credential: { kind: 'accessKey', slot: 'primary', version: 3 },
};
const FOREIGN: ServiceCaller = { ...SERVICE, credential: { kind: 'trust', trustId: 'T' as TrustId, version: 1 } };
const USER: UserCaller = {
  kind: 'user',
  resourceId: RESOURCE,
  identityId: 'me' as IdentityId,
  scopes: ['chat.join'],
  position: 1,
  expiresOnMs: NOON + 1,
};
const PROVEN = { caller: USER, token: {} as TokenFacts };

interface Given {
  /** Another route at the same path. */
  beside?: Route;
  uses?: Partial<Uses>;
  options?: Partial<Options>;
  api?: Partial<Api>;
  wellKnown?: boolean;
  /** What happens within the operation. */
  operation?: (input: Parameters<Route['handle']>[0]) => Reply | Promise<Reply>;
}

/** The request pipeline over one route, and everything that it did in order. */
function given(
  entry: Partial<Omit<Route, 'handle'>> & { access: Access },
  { beside, uses, options, api = { versions: IDENTITY_VERSIONS }, wellKnown = false, operation }: Given = {},
) {
  const steps: string[] = [];
  const facts: RequestFacts[] = [];
  const inputs: Parameters<Route['handle']>[0][] = [];
  const step = (...words: unknown[]): void => void steps.push(words.join(' '));
  const route: Route = {
    operation: 'operate',
    summary: 'Operates.',
    at: 'POST /things/{id}',
    answers: { 200: 'nothing' },
    ...entry,
    handle: (input) => {
      step('operate');
      inputs.push(input);
      return operation ? operation(input) : { status: 200 };
    },
  };
  let elapsed = 100;
  const clock = {
    now: () => NOON,
    elapsed: () => {
      elapsed += 7.6;
      return elapsed;
    },
  };
  const admission = {
    hasPlace: () => true,
    requirePlace: (lane: string, holder: string) => step('requirePlace', lane, holder),
    enter: (lane: string, holder: string) => {
      step('enter', lane, holder);
      return { grow: (places: number) => places > 1 && step('grow', places), leave: () => step('leave') };
    },
    openBody: (holder: string) => {
      step('openBody', holder);
      return { add: (bytes: number) => step('add', bytes), close: () => step('close') };
    },
  } as unknown as Admission;
  const { explains = true } = options ?? {};
  const all: Uses = {
    routes: new RouteTable([apiOf([route, ...(beside ? [beside] : [])], api)]),
    guard: new RequestGuard({
      local: explains,
      allowedHosts: explains ? [] : undefined,
      allowedOrigins: [],
      trustedProxies: [],
    }),
    signatures: new SignatureVerifier(
      {
        candidatesFor: () => [
          {
            resource: { id: RESOURCE },
            keys: [{ slot: 'primary', version: 3, secret: createSecretKey(Buffer.from(KEY, 'base64')), wellKnown }],
          },
        ],
        clock,
      },
      { windowMinutes: 5, wellKnownKey: 'everywhere' },
    ),
    userOf: async (jwt) => {
      step('userOf', jwt);
      return PROVEN;
    },
    userOfTicket: async () => PROVEN,
    isOperator: (secret) => secret === OPERATOR_KEY,
    principals: {
      serviceOf: async (...asked) => {
        step('serviceOf', ...asked);
        return FOREIGN;
      },
      operatorOf: async (...asked) => {
        step('operatorOf', ...asked);
        return { kind: 'operator', over: new Set([RESOURCE]) };
      },
      entraUserOf: async (...asked) => {
        step('entraUserOf', ...asked);
        return { kind: 'entraUser', resourceId: RESOURCE, user: {} } as unknown as Caller & { kind: 'entraUser' };
      },
    },
    admission,
    parked: new Holds(HELD_MOST),
    sockets: {} as Uses['sockets'],
    sessions: UNWATCHED,
    quotas: { count: (...asked: unknown[]) => step('count', ...asked) } as unknown as Uses['quotas'],
    requireFresh: async () => step('requireFresh'),
    isStoreFailure: (cause) => cause instanceof RangeError,
    clock,
    events: {
      requestAnswered: (told: RequestFacts) => facts.push(told),
      newerVersionServed: (...told: unknown[]) => step('newerVersionServed', ...told),
    } as unknown as Uses['events'],
    ...uses,
  };
  const pipeline = new Pipeline(all, { dialect: serviceDialect, explains, bodyBytesMost: 1000, ...options });
  const ask = async (draft: WireDraft = {}) => {
    const reply = await pipeline.answer(
      wireRequest({
        method: 'POST',
        target: '/things/1',
        ...draft,
        headers: { host: 'localhost:7417', ...draft.headers },
      }),
    );
    const body = reply.body?.toString();
    return { ...reply, body, reason: reply.headers['x-linarite-reason'], told: facts.at(-1) };
  };
  /** Asks with the headers of a signed request. */
  const askSigned = (draft: WireDraft = {}, signedBody = draft.body) => {
    const { method = 'POST', target = '/things/1' } = draft;
    const signed = sign({ method, target, host: 'localhost:7417', body: signedBody, key: KEY, date: DATE });
    return ask({ ...draft, headers: { ...signed, ...draft.headers } });
  };
  const askBearing = (token: string, draft: WireDraft = {}) =>
    ask({ ...draft, headers: { Authorization: `Bearer ${token}`, ...draft.headers } });
  return { pipeline, ask, askSigned, askBearing, steps, facts, inputs };
}

const NOBODY = { access: { caller: 'nobody' } } as const;
const JSON_BODY = { 'Content-Type': 'application/json' };
const BODY = { schema: object({ name: optional(text()) }), kind: 'json' } as const;

const failing = (error: ServiceError | Error): Given => ({
  operation: () => {
    throw error;
  },
});

describe('the request pipeline', () => {
  test('a request is answered with what its operation replies', async () => {
    const body = { a: 1 };
    const { ask, facts, inputs } = given(
      { ...NOBODY, query: { q: text() }, body: BODY },
      { operation: () => ({ status: 201, body, headers: { Location: '/x' } }) },
    );
    const reply = await ask({
      target: '/things/a%20b?q=1&r=2&q=3',
      body: '{"name":"x"}',
      headers: { ...JSON_BODY, 'x-ms-client-request-id': 'mine' },
    });
    const { 'MS-CV': msCv = '', ...headers } = reply.headers;
    assert.match(msCv, /^[A-Za-z0-9+/]{22}\.0$/);
    assert.deepEqual(headers, {
      'Content-Type': 'application/json; charset=utf-8',
      'x-ms-client-request-id': 'mine',
      'Request-Context': 'appId=',
      'X-Processing-Time': '8ms',
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
      Location: '/x',
    });
    assert.deepEqual([reply.status, reply.body, reply.chunked], [201, '{"a":1}', false]);
    const { durationMs, ...told } = facts[0] ?? assert.fail();
    assert.ok(Math.abs(durationMs - 7.6) < 0.001);
    assert.deepEqual(told, {
      operation: 'operate',
      method: 'POST',
      path: '/things/a%20b',
      pathPattern: '/things/{id}',
      status: 201,
      clientRequestId: 'mine',
      msCv,
      apiVersion: undefined,
      caller: 'nobody',
      resourceId: undefined,
      identityId: 'a b',
      reason: undefined,
      detail: undefined,
      cause: undefined,
    });
    const { header, signal, park: _, ...input } = inputs[0] ?? assert.fail();
    assert.equal(signal.aborted, false);
    assert.deepEqual(
      { ...input, path: { ...input.path } },
      {
        caller: { kind: 'nobody' },
        user: undefined,
        path: { id: 'a b' },
        query: { q: '1' },
        body: { name: 'x' },
        version: undefined,
      },
    );
    assert.equal(header('content-type'), 'application/json');
    assert.equal(header('x-other'), undefined);
  });

  test('an operation sees a header only where it is there once', async () => {
    const { ask, inputs } = given(NOBODY);
    await ask({ headers: { one: 'x', two: ['x', 'x'], none: [] } });
    const header = inputs[0]?.header ?? assert.fail();
    assert.deepEqual([header('one'), header('two'), header('none')], ['x', undefined, undefined]);
  });

  test('text goes as it is under its own type, and nothing as nothing', async () => {
    const plain = given(NOBODY, { operation: () => ({ status: 200, body: '{"x"', contentType: 'text/plain' }) });
    const reply = await plain.ask();
    assert.deepEqual([reply.body, reply.headers['Content-Type']], ['{"x"', 'text/plain']);
    const nothing = await given(NOBODY, { operation: () => ({ status: 204 }) }).ask();
    assert.equal(nothing.body, undefined);
    assert.ok(!('Content-Type' in nothing.headers));
  });

  test('a place is asked for, the body read, the place taken and given back, in this order', async () => {
    const usual = given({ ...NOBODY, body: BODY });
    await usual.ask({ body: '{}', headers: JSON_BODY, peer: '127.0.0.9' });
    const holder = 'nobody 127.0.0.9';
    assert.deepEqual(usual.steps, [
      `requirePlace usual ${holder}`,
      `openBody ${holder}`,
      'add 2',
      `enter usual ${holder}`,
      'operate',
      'leave',
      'close',
    ]);
    const urgent = given({ ...NOBODY, urgent: true }, failing(new Error('x')));
    await urgent.ask();
    const other = 'nobody 127.0.0.1';
    assert.deepEqual(urgent.steps, [
      `requirePlace urgent ${other}`,
      `openBody ${other}`,
      `enter urgent ${other}`,
      'operate',
      'leave',
      'close',
    ]);
  });

  test('a request takes more places for the entries of its body, before anything is done', async () => {
    const body = { schema: object({ names: listOf(text()) }), kind: 'json' } as const;
    const { ask, steps } = given({ ...NOBODY, body });
    const sent = (count: number): WireDraft => ({
      body: JSON.stringify({ names: Array(count).fill('x') }),
      headers: { 'content-type': 'application/json' },
    });
    await ask(sent(8));
    assert.ok(!steps.some((step) => step.startsWith('grow')));
    await ask(sent(161));
    assert.deepEqual(steps.slice(-4), ['grow 21', 'operate', 'leave', 'close']);
  });

  test('what costs more than there is room for is refused before anything is done', async () => {
    const body = { schema: object({ names: listOf(text()) }), kind: 'json' } as const;
    const admission = new Admission({ places: { usual: 256, urgent: 1 }, bodyBytes: 100_000 });
    const { ask, steps } = given({ ...NOBODY, body }, { uses: { admission } });
    const held = [1, 2].map(() => admission.enter('usual', 'nobody 127.0.0.1', 64));
    const many = {
      body: JSON.stringify({ names: Array(100).fill('x') }),
      headers: { 'content-type': 'application/json' },
    };
    const refused = await ask(many);
    assert.deepEqual([refused.status, refused.reason], [503, 'overload.usual']);
    assert.deepEqual([steps, admission.underWay.usual], [[], 128], 'what it had taken is given back');
    held[0]?.leave();
    assert.equal((await ask(many)).status, 200);
    assert.equal(admission.underWay.usual, 64);
  });

  test('a large body is read in a turn of the event loop of its own', async () => {
    const { ask } = given(
      { ...NOBODY, body: { schema: object({}), kind: 'json' } },
      { options: { bodyBytesMost: 1e6 } },
    );
    const large = { body: `{"a":"${'x'.repeat(9000)}"}`, headers: { 'content-type': 'application/json' } };
    const turnOf = async (draft: WireDraft): Promise<number> => {
      await ask(draft);
      return turns;
    };
    let turns = 0;
    const count = (): void => {
      turns += 1;
      if (turns < 50) setImmediate(count);
    };
    setImmediate(count);
    const [small, ...others] = await Promise.all([
      turnOf({ ...large, body: '{}' }),
      ...[1, 2, 3, 4].map(() => turnOf(large)),
    ]);
    assert.equal(small, 0);
    assert.equal(new Set(others).size, 4, `turns ${others}`);
  });

  test('what only may end access takes an urgent place where no other is left, and only if it does', async () => {
    const admission = new Admission({ places: { usual: 4, urgent: 8 }, bodyBytes: 1000 });
    const asked: unknown[] = [];
    const { ask, steps } = given(
      {
        ...NOBODY,
        body: { schema: object({ ends: truth() }), kind: 'json' },
        urgent: {
          bodyHas: 'ends',
          when: ({ body }) => {
            asked.push(body);
            return (body as { ends?: boolean }).ends === true;
          },
        },
      },
      { uses: { admission }, operation: () => ({ status: admission.underWay.urgent > 0 ? 201 : 200 }) },
    );
    const sent = (ends: boolean): WireDraft => ({
      body: JSON.stringify({ ends }),
      headers: { 'content-type': 'application/json' },
    });
    assert.equal((await ask(sent(true))).status, 200, 'a usual place');
    assert.deepEqual(asked, []);
    const held = [1, 2].map(() => admission.enter('usual', 'nobody 127.0.0.1'));
    assert.equal((await ask(sent(true))).status, 201, 'an urgent place');
    steps.length = 0;
    const refused = await ask(sent(false));
    assert.deepEqual([refused.status, refused.reason, steps], [503, 'overload.usual', []]);
    asked.length = 0;
    const unread = await ask({ ...sent(true), body: '{"other":true}' });
    assert.deepEqual([unread.status, unread.reason, asked], [503, 'overload.usual', []]);
    for (const place of held) place.leave();
    assert.deepEqual(admission.underWay, { usual: 0, urgent: 0 });
  });

  test('where there is no place no body is read', async () => {
    const { ask, steps } = given(NOBODY, {
      uses: { admission: new Admission({ places: { usual: 0, urgent: 1 }, bodyBytes: 100 }) },
    });
    const readBody = () => assert.fail('it was read');
    const reply = await ask({ body: 'x', readBody });
    assert.deepEqual([reply.status, reply.reason, reply.headers['Retry-After']], [503, 'overload.usual', '1']);
    assert.deepEqual(steps, []);
  });

  test('the bytes of a body are given back also when it cannot be read', async () => {
    const { ask, steps } = given(NOBODY);
    const readBody = async (limit: number) => {
      throw new ServiceError('BodyTooLarge', { values: { limit } });
    };
    const reply = await ask({ body: 'x', readBody });
    assert.equal(JSON.parse(reply.body ?? '').error.message, 'The request body is larger than 1000 bytes.');
    assert.deepEqual(steps.slice(1), ['openBody nobody 127.0.0.1', 'close']);
  });

  test('no body is read where none was announced, and none that is encoded', async () => {
    const { ask, steps } = given(NOBODY);
    await ask({ readBody: () => assert.fail('it was read'), headers: { 'content-encoding': 'gzip' } });
    assert.ok(steps.includes('operate'));
    const encoded = await ask({ body: 'x', headers: { 'content-encoding': 'gzip' } });
    assert.equal(encoded.status, 415);
  });
});

describe('the door', () => {
  test('takes plain http from afar in dev mode only', async () => {
    const far = { peer: '192.0.2.1' };
    assert.equal((await given(NOBODY).ask(far)).status, 200);
    const production = given(NOBODY, { options: { explains: false } });
    const refused = await production.ask(far);
    assert.deepEqual([refused.status, JSON.parse(refused.body ?? '').error.code], [403, 'HttpsRequired']);
    assert.equal((await production.ask({ ...far, secure: true })).status, 200);
  });

  test('answers for its own names', async () => {
    const reply = await given(NOBODY).ask({ headers: { host: 'elsewhere.example' } });
    assert.deepEqual([reply.status, reply.reason], [421, 'HostNotAllowed; see LINARITE_ALLOWED_HOSTS']);
  });

  test('answers the question that a browser asks, and no other OPTIONS', async () => {
    const { ask, steps } = given({ ...NOBODY, at: 'PUT /things/{id}' });
    const origin = 'http://localhost:3000';
    const asked = { Origin: origin, 'Access-Control-Request-Method': 'PUT' };
    const answer = await ask({ method: 'OPTIONS', headers: asked });
    assert.deepEqual(
      [answer.status, answer.headers['Access-Control-Allow-Origin'], answer.headers['Access-Control-Allow-Methods']],
      [204, origin, 'PUT'],
    );
    assert.deepEqual(steps, []);
    const unknown = { ...asked, 'Access-Control-Request-Method': 'GET' };
    assert.equal((await ask({ method: 'OPTIONS', headers: unknown })).status, 404);
    assert.equal((await ask({ method: 'OPTIONS' })).status, 405);
    const real = await ask({ method: 'PUT', headers: asked });
    assert.deepEqual([real.status, real.headers['Access-Control-Allow-Origin']], [200, origin]);
    assert.deepEqual(steps.filter((step) => step === 'operate').length, 1);
  });

  test('keeps other pages from the buttons of a page of ours', async () => {
    const { ask } = given({ access: { caller: 'nobody', pages: 'own' } });
    assert.equal((await ask({ headers: { Origin: 'http://evil.example' } })).status, 403);
    assert.equal((await ask({ headers: { Origin: 'http://localhost:7417' } })).status, 200);
  });

  test('tells a path that is unknown from a method that is', async () => {
    const { ask, steps, facts } = given(NOBODY);
    const unknown = await ask({ target: '/x' });
    assert.equal(unknown.body, '{"error":{"code":"NotFound","message":"There is no operation at this path."}}');
    assert.deepEqual([unknown.status, unknown.headers.Allow, unknown.chunked], [404, undefined, true]);
    const wrong = await ask({ method: 'DELETE' });
    assert.deepEqual([wrong.status, wrong.headers.Allow], [405, 'POST']);
    assert.deepEqual([facts[1]?.reason, facts[1]?.detail], ['MethodNotAllowed', 'allowed: POST']);
    assert.deepEqual([facts[1]?.operation, facts[1]?.method], ['none', 'DELETE']);
    assert.deepEqual(steps, []);
    const beside: Route = {
      operation: 'read',
      summary: '',
      at: 'GET /things/{id}',
      ...NOBODY,
      answers: {},
      handle: () => ({ status: 200 }),
    };
    const two = given(NOBODY, { beside });
    assert.equal((await two.ask({ method: 'DELETE' })).headers.Allow, 'GET, HEAD, POST');
    assert.equal(two.facts[0]?.detail, 'allowed: GET, HEAD, POST');
  });

  test('opens routes that give much to every caller from this machine only', async () => {
    const { ask } = given({ access: { caller: 'nobody', from: 'loopback' } });
    assert.equal((await ask()).status, 200);
    for (const draft of [{ peer: '192.0.2.1' }, { headers: { forwarded: 'for=x' } }]) {
      const reply = await ask(draft);
      assert.deepEqual([reply.status, reply.reason], [401, 'issuer.loopbackOnly']);
    }
    assert.equal(
      (await given({ access: { caller: 'nobody', from: 'anywhere' } }).ask({ peer: '192.0.2.1' })).status,
      200,
    );
  });
});

describe('a signed request', () => {
  const access = { caller: 'service' } as const;

  test('is its resource’s, once this node knows that its keys are current', async () => {
    const { askSigned, inputs, facts, steps } = given({ access });
    assert.equal((await askSigned()).status, 200);
    assert.deepEqual(inputs[0]?.caller, SERVICE);
    assert.deepEqual([facts[0]?.caller, facts[0]?.resourceId, facts[0]?.identityId], ['service', RESOURCE, '1']);
    assert.deepEqual(steps.slice(0, 2), ['requireFresh', 'requirePlace usual service one']);
    const stale = given({ access }, { uses: { requireFresh: () => Promise.reject(new ServiceError('NotFresh')) } });
    assert.equal((await stale.askSigned()).status, 503);
    assert.deepEqual(stale.steps, []);
  });

  test('has the body that was signed', async () => {
    const { askSigned, steps } = given({ access, body: BODY });
    assert.equal((await askSigned({ body: '{}', headers: JSON_BODY })).status, 200);
    steps.length = 0;
    for (const [sent, signed] of [
      ['{}', '{} '],
      ['', '{}'],
      ['{}', ''],
    ] as const) {
      const reply = await askSigned({ body: sent, headers: JSON_BODY }, signed);
      assert.deepEqual([reply.status, reply.reason], [401, 'contentHash.differs']);
    }
    assert.ok(!steps.includes('operate'));
    assert.equal(
      steps.filter((step) => step.startsWith('enter')).length,
      steps.filter((step) => step === 'leave').length,
    );
  });

  test('warns where the published key is taken from everywhere', async () => {
    const WARNING = 'x-linarite-warning';
    const far = { peer: '192.0.2.1' };
    assert.equal(
      (await given({ access }, { wellKnown: true }).askSigned(far)).headers[WARNING],
      'the published development key is accepted from everywhere',
    );
    assert.ok(!(WARNING in (await given({ access }, { wellKnown: true }).askSigned()).headers));
    assert.ok(!(WARNING in (await given({ access }).askSigned(far)).headers));
  });

  test('opens what services or the operator may do, and nothing for operators or users of others alone', async () => {
    assert.equal((await given({ access: { caller: 'serviceOrOperator' } }).askSigned()).status, 200);
    for (const caller of [{ caller: 'operator' }, { caller: 'entraUser', purpose: 'entraUser' }] as const) {
      const reply = await given({ access: caller }).askSigned();
      assert.deepEqual([reply.status, reply.reason], [401, 'authorization.scheme']);
    }
  });

  test('without a header of either scheme is refused as a signed one', async () => {
    for (const value of [undefined, 'Bearerx', 'x Bearer y', 'Basic x']) {
      const reply = await given({ access }).ask({ headers: { Authorization: value } });
      assert.equal(reply.reason?.split(';')[0], value === undefined ? 'authorization.missing' : 'authorization.scheme');
    }
    const unclear = await given({ access }).ask({ headers: { Authorization: 'HMAC-SHA256 Bearer x' } });
    assert.equal(unclear.reason, 'authorization.malformed');
  });
});

describe('the token of a user', () => {
  const access = { caller: 'user', requires: 'chat.participant.add' } as const;

  test('says who is asking, and must permit what is asked', async () => {
    const { askBearing, inputs, facts, steps } = given({ access });
    assert.equal((await askBearing('a.b.c')).status, 200);
    assert.deepEqual(inputs[0]?.caller, USER);
    assert.deepEqual([facts[0]?.caller, facts[0]?.resourceId, facts[0]?.identityId], ['user', RESOURCE, 'me']);
    assert.deepEqual(steps.slice(0, 2), ['userOf a.b.c', 'requirePlace usual user one']);
    const other = given({ access: { ...access, requires: 'chat.thread.create' } });
    const reply = await other.askBearing('a.b.c');
    assert.deepEqual([reply.status, reply.told?.reason, reply.told?.identityId], [403, 'scope.missing', 'me']);
    assert.deepEqual(other.steps, ['userOf a.b.c']);
    assert.equal((await given({ access: { ...access, requires: 'anyScope' } }).askBearing('a.b.c')).status, 200);
  });

  test('comes in one Authorization header of one form', async () => {
    for (const [value, reason] of [
      [undefined, 'authorization.missing'],
      ['', 'authorization.missing'],
      [['Bearer a', 'Bearer a'], 'header.repeated; authorization'],
      ['Bearer', 'authorization.scheme'],
      ['Bearer ', 'authorization.scheme'],
      ['Bearer a b', 'authorization.scheme'],
      ['Bearer  a', 'authorization.scheme'],
      ['Bearer a\x7f', 'authorization.scheme'],
      ['x Bearer a', 'authorization.scheme'],
      ['Basic a', 'authorization.scheme'],
    ] as const) {
      const reply = await given({ access }).ask({ headers: { Authorization: value } });
      assert.deepEqual([reply.status, reply.reason], [401, reason], String(value));
      assert.equal(JSON.parse(reply.body ?? '').error.code, 'Unauthorized');
    }
    assert.equal((await given({ access }).ask({ headers: { Authorization: 'bEARER !~' } })).status, 200);
  });

  test('does not expire while it is served', async () => {
    const expiring = (expiresOnMs: number) =>
      given({ access }, { uses: { userOf: async () => ({ ...PROVEN, caller: { ...USER, expiresOnMs } }) } });
    const { told, ...reply } = await expiring(NOON).askBearing('a');
    assert.equal(reply.status, 401);
    assert.deepEqual([told?.reason, told?.detail], ['token.expired', 'expired while the request was served']);
    assert.equal((await expiring(NOON + 1).askBearing('a')).status, 200);
  });
});

describe('the operator', () => {
  const access = { caller: 'operator' } as const;
  const scoped = { caller: 'operator', scoped: true } as const;

  test('is the one who has the key', async () => {
    for (const entry of [access, scoped, { caller: 'serviceOrOperator' } as const]) {
      const { askBearing, inputs, steps, facts } = given({ access: entry });
      assert.equal((await askBearing(OPERATOR_KEY)).status, 200);
      assert.deepEqual(inputs[0]?.caller, { kind: 'operator', over: 'everything' });
      assert.deepEqual([facts[0]?.caller, facts[0]?.resourceId], ['operator', undefined]);
      assert.equal(steps[0], 'requirePlace usual operator ');
      const wrong = await askBearing('another-key');
      assert.deepEqual([wrong.status, wrong.reason], [401, 'operatorKey.wrong']);
    }
    const service = given({ access: { caller: 'service' } });
    await service.askBearing(OPERATOR_KEY);
    assert.equal(service.steps[1], `serviceOf ${OPERATOR_KEY} localhost false`);
  });

  test('may be somebody whom a trust lets manage some resources, where the route sees to that', async () => {
    const { askBearing, steps, inputs } = given({ access: scoped });
    assert.equal((await askBearing('a.b.c')).status, 200);
    assert.deepEqual(inputs[0]?.caller, { kind: 'operator', over: new Set([RESOURCE]) });
    assert.deepEqual(steps.slice(0, 2), ['requireFresh', 'operatorOf a.b.c false']);
    const reply = await given({ access }).askBearing('a.b.c');
    assert.deepEqual([reply.status, reply.reason], [403, 'grant.missing; needs a grant for every resource']);
    const everything = given(
      { access },
      {
        uses: {
          principals: {
            operatorOf: async () => ({ kind: 'operator', over: 'everything' }),
          } as unknown as Uses['principals'],
        },
      },
    );
    assert.equal((await everything.askBearing('a.b.c')).status, 200);
  });
});

describe('the token of a trusted issuer', () => {
  test('makes a service, of the resource that the host may name', async () => {
    for (const caller of ['service', 'serviceOrOperator'] as const) {
      const { askBearing, inputs, steps } = given({ access: { caller } });
      assert.equal((await askBearing('a.b.c', { headers: { host: 'one.localhost:1' } })).status, 200);
      assert.deepEqual(inputs[0]?.caller, FOREIGN);
      assert.deepEqual(steps.slice(0, 2), ['requireFresh', 'serviceOf a.b.c one.localhost false']);
    }
  });

  test('is asked for more than reading by a route that changes something', async () => {
    for (const [at, reads, readsOnly] of [
      ['GET /things/{id}', undefined, true],
      ['HEAD /things/{id}', undefined, true],
      ['POST /things/{id}', undefined, false],
      ['DELETE /things/{id}', undefined, false],
      ['POST /things/{id}', true, true],
    ] as const) {
      const [method = '', target = ''] = at.replace('{id}', '1').split(' ');
      for (const [caller, asking] of [
        ['service', 'serviceOf a.b.c localhost'],
        ['operator', 'operatorOf a.b.c'],
      ] as const) {
        const access = caller === 'operator' ? ({ caller, scoped: true } as const) : { caller };
        const { askBearing, steps } = given({ access, at, ...(reads && { reads }) });
        await askBearing('a.b.c', { method, target });
        const asked = steps.find((step) => step.startsWith(asking));
        assert.equal(asked, `${asking} ${readsOnly}`, at);
      }
    }
  });

  test('makes a user of another directory, by its purpose', async () => {
    for (const purpose of ['entraUser', 'teamsExtension'] as const) {
      const { askBearing, ask, steps, inputs } = given({ access: { caller: 'entraUser', purpose } });
      assert.equal((await askBearing('no-dots')).status, 200);
      assert.equal(inputs[0]?.caller.kind, 'entraUser');
      assert.deepEqual(steps.slice(0, 2), ['requireFresh', `entraUserOf no-dots ${purpose} localhost`]);
      const missing = await ask();
      assert.deepEqual(
        [JSON.parse(missing.body ?? '').error.code, missing.reason],
        ['InvalidAccessToken', 'authorization.missing'],
      );
    }
  });

  test('that is missing or not of one form is denied', async () => {
    for (const access of [{ caller: 'operator' }, { caller: 'serviceOrOperator' }] as const) {
      const reply = await given({ access }).ask({ headers: { Authorization: 'Bearer' } });
      assert.deepEqual([JSON.parse(reply.body ?? '').error.code, reply.reason], ['Denied', 'authorization.scheme']);
    }
  });
});

describe('an api-version', () => {
  const versioned = { ...NOBODY, versions: versions('2023-10-01') };

  test('is settled, told to the operation, and listed in the answer', async () => {
    const { ask, inputs, facts } = given(versioned);
    const reply = await ask({ target: '/things/1?api-version=2023-10-01' });
    assert.equal(reply.headers['api-supported-versions'], versioned.versions.join(', '));
    assert.equal(
      (await ask({ target: '/things/1?api-version=2023-10-01' })).headers['api-supported-versions'],
      versioned.versions.join(', '),
    );
    assert.ok(!('x-linarite-api-version' in reply.headers));
    assert.deepEqual([inputs[0]?.version, facts[0]?.apiVersion], ['2023-10-01', '2023-10-01']);
    assert.ok(!('api-supported-versions' in (await given(NOBODY).ask()).headers));
  });

  test('is asked for, unless the route may do without', async () => {
    const { ask, inputs, facts } = given(versioned);
    const missing = await ask();
    assert.equal(JSON.parse(missing.body ?? '').error.code, 'ApiVersionUnspecified');
    assert.ok(!('api-supported-versions' in missing.headers), 'the door refused it');
    assert.deepEqual([inputs, facts[0]?.apiVersion], [[], undefined]);
    const lenient = given({ ...versioned, versionMayBeMissing: true });
    await lenient.ask();
    assert.equal(lenient.inputs[0]?.version, '2026-09-23');
  });

  test('newer than all known ones is served as the newest, which is told and noted', async () => {
    const { ask, steps } = given(versioned);
    const reply = await ask({ target: '/things/1?api-version=2099-01-01' });
    assert.equal(reply.headers['x-linarite-api-version'], '2026-09-23');
    assert.ok(steps.includes('newerVersionServed 2099-01-01 2026-09-23 operate'));
  });

  test('that is not supported is refused with the address, cut where it is long', async () => {
    const { ask } = given(versioned);
    const message = async (draft: WireDraft) => JSON.parse((await ask(draft)).body ?? '').error.message;
    const target = '/things/1?api-version=1';
    const text = (scheme: string) =>
      `The HTTP resource that matches the request URI '${scheme}://localhost:7417/things/1' does not support the API version '1'.`;
    assert.equal(await message({ target }), text('http'));
    assert.equal(await message({ target, secure: true }), text('https'));
    const long = await message({ target: `/things/${'x'.repeat(600)}?api-version=1` });
    assert.ok(long.includes(`'http://localhost:7417/things/${'x'.repeat(512 - 29)}'`), long);
    assert.ok('api-supported-versions' in (await ask({ target })).headers, 'it was raised inside the action');
  });
});

describe('a quota', () => {
  test('counts requests of resources, by name or by what the body says', async () => {
    const access = { caller: 'service' } as const;
    const named = given({ access, quota: 'issueToken' });
    await named.askSigned();
    assert.ok(named.steps.includes('count issueToken one'));
    const byBody = given({
      access,
      body: BODY,
      quota: (body) => ((body as { name?: string }).name ? 'issueToken' : 'createIdentity'),
    });
    await byBody.askSigned({ body: '{"name":"x"}', headers: JSON_BODY });
    await byBody.askSigned({ body: '{}', headers: JSON_BODY });
    assert.deepEqual(
      byBody.steps.filter((step) => step.startsWith('count')),
      ['count issueToken one', 'count createIdentity one'],
    );
  });

  test('counts nothing where none is named, or nobody’s', async () => {
    const without = given({ access: { caller: 'service' } });
    await without.askSigned();
    const nobody = given({ ...NOBODY, quota: 'issueToken' });
    await nobody.ask();
    for (const { steps } of [without, nobody]) {
      assert.ok(steps.includes('operate'));
      assert.ok(!steps.some((step) => step.startsWith('count')));
    }
  });
});

describe('a refusal', () => {
  const BASE = [
    'MS-CV',
    'Request-Context',
    'X-Processing-Time',
    'X-Content-Type-Options',
    'Cache-Control',
    'Content-Type',
  ];

  test('is in the envelope of the protocol, with the target where there is one', async () => {
    const withTarget = await given(NOBODY, failing(new ServiceError('ScopeUnknown', { values: { scope: 'x' } }))).ask();
    assert.equal(
      withTarget.body,
      `{"error":{"code":"ValidationError","message":"Invalid scopes - Scope 'x' is not supported.","target":"scopes"}}`,
    );
    const without = await given(NOBODY, failing(new ServiceError('IdentityNotFound'))).ask();
    assert.equal(without.body, '{"error":{"code":"IdentityNotFound","message":"Provided identity does not exist."}}');
    assert.deepEqual(
      [without.status, without.chunked, without.headers['Content-Type']],
      [404, true, 'application/json'],
    );
    assert.deepEqual(Object.keys(without.headers).sort(), [...BASE, 'x-linarite-reason'].sort());
  });

  test('says why in dev mode only, in visible characters, cut where it is long', async () => {
    const error = new ServiceError('Denied', { reason: 'grant.missing', detail: `é\n~ ${'x'.repeat(600)}` });
    const dev = await given(NOBODY, failing(error)).ask();
    assert.equal(dev.reason, `grant.missing; ??~ ${'x'.repeat(512 - 19)}`);
    assert.equal(
      (await given(NOBODY, failing(new ServiceError('Denied', { reason: 'trust.changed' }))).ask()).reason,
      'trust.changed',
    );
    const production = await given(NOBODY, { ...failing(error), options: { explains: false } }).ask();
    assert.deepEqual(Object.keys(production.headers).sort(), [...BASE].sort());
    assert.deepEqual([production.told?.reason, production.told?.detail], ['grant.missing', error.detail]);
    assert.ok(!('x-linarite-reason' in (await given(NOBODY).ask()).headers));
  });

  test('tells when to come again', async () => {
    const later = new ServiceError('TooManyRequests', { retryAfter: 17 });
    assert.equal((await given(NOBODY, failing(later)).ask()).headers['Retry-After'], '17');
    assert.ok(!('Retry-After' in (await given(NOBODY, failing(new ServiceError('Denied'))).ask()).headers));
  });

  test('by the store is told from a mistake of ours, and a caller without credentials sees no difference', async () => {
    const failed = new RangeError('disk');
    const store = await given(NOBODY, failing(failed)).ask();
    assert.deepEqual([store.status, store.reason, store.told?.cause], [503, 'store.failed', failed]);
    const mistake = new Error('secret');
    const ours = await given(NOBODY, failing(mistake)).ask();
    assert.deepEqual([ours.status, ours.reason, ours.told?.cause], [500, 'Internal', mistake]);
    assert.ok(!`${ours.body} ${JSON.stringify(ours.headers)}`.includes('secret'));
  });

  test('is explained to the log by its cause, or by itself where it is a mistake', async () => {
    const internal = new ServiceError('Internal');
    assert.equal((await given(NOBODY, failing(internal)).ask()).told?.cause, internal);
    assert.equal((await given(NOBODY, failing(new ServiceError('Denied'))).ask()).told?.cause, undefined);
    const cause = new Error('why');
    assert.equal((await given(NOBODY, failing(new ServiceError('Denied', { cause }))).ask()).told?.cause, cause);
  });

  test('of bytes that are no request has the same form', async () => {
    const { pipeline, facts } = given(NOBODY);
    const reply = pipeline.refuse(new ServiceError('RequestMalformed'));
    assert.deepEqual([reply.status, reply.chunked], [400, true]);
    assert.equal(
      reply.body,
      '{"error":{"code":"BadRequest","message":"The request is not a well-formed HTTP/1.1 request."}}',
    );
    assert.deepEqual(Object.keys(reply.headers).sort(), [...BASE, 'x-linarite-reason'].sort());
    const { durationMs, msCv, ...told } = facts[0] ?? assert.fail();
    assert.ok(Math.abs(durationMs - 7.6) < 0.001);
    assert.equal(msCv, reply.headers['MS-CV']);
    assert.deepEqual(told, {
      operation: 'none',
      method: 'none',
      path: undefined,
      pathPattern: undefined,
      status: 400,
      clientRequestId: undefined,
      apiVersion: undefined,
      caller: 'nobody',
      resourceId: undefined,
      identityId: undefined,
      reason: 'RequestMalformed',
      detail: undefined,
      cause: undefined,
    });
    assert.equal(pipeline.refuse(new ServiceError('MethodNotAllowed')).headers.Allow, undefined);
    const strange = new Error('x');
    assert.equal(pipeline.refuse(strange).status, 500);
    assert.equal(facts.at(-1)?.cause, strange);
    const production = given(NOBODY, { options: { explains: false } });
    assert.ok(!('Strict-Transport-Security' in production.pipeline.refuse(strange).headers));
  });

  test('keeps the id in the log short', async () => {
    const { facts, ask } = given(NOBODY);
    await ask({ target: `/things/${'x'.repeat(300)}` });
    assert.equal(facts[0]?.identityId, 'x'.repeat(256));
    const pathless = given({ ...NOBODY, at: 'POST /things' });
    assert.equal((await pathless.ask({ target: '/things' })).status, 200);
    assert.equal(pathless.facts[0]?.identityId, undefined);
  });
});

describe('at routes that speak OAuth', () => {
  const entry = { ...NOBODY, query: { q: text() } } as const;
  const oauth = (more: Given = {}) => given(entry, { api: { dialect: oauthDialect }, ...more });

  test('a refusal has their shape', async () => {
    for (const [error, status, name] of [
      [new ServiceError('ScopeUnknown', { values: { scope: 'x' } }), 400, 'invalid_request'],
      [new ServiceError('StoreUnavailable'), 503, 'server_error'],
      [new ServiceError('Internal'), 500, 'server_error'],
    ] as const) {
      const reply = await oauth(failing(error)).ask();
      assert.equal(reply.status, status);
      assert.deepEqual(JSON.parse(reply.body ?? ''), { error: name, error_description: error.message });
      assert.ok(!('WWW-Authenticate' in reply.headers));
    }
  });

  test('who tried the Authorization header in vain is told the scheme', async () => {
    const denied = failing(new ServiceError('Denied'));
    const headers = { Authorization: 'Basic x' };
    assert.equal((await oauth(denied).ask({ headers })).headers['WWW-Authenticate'], 'Basic realm="Linarite"');
    assert.ok(!('WWW-Authenticate' in (await oauth(denied).ask()).headers));
    const other = failing(new ServiceError('IdentityNotFound'));
    assert.ok(!('WWW-Authenticate' in (await oauth(other).ask({ headers })).headers));
    assert.ok(!('WWW-Authenticate' in (await given(NOBODY, denied).ask({ headers })).headers));
  });

  test('a parameter may not be there twice; elsewhere the first counts', async () => {
    const target = '/things/1?q=1&q=2';
    const reply = await oauth().ask({ target });
    assert.deepEqual([reply.status, reply.reason], [400, 'ParameterNotOnce']);
    assert.ok(reply.body?.includes(new ServiceError('ParameterNotOnce', { values: { name: 'q' } }).message));
    assert.equal((await oauth().ask({ target: '/things/1?q=1' })).status, 200);
    const lenient = given({ ...NOBODY, query: { q: text() } });
    await lenient.ask({ target });
    assert.deepEqual(lenient.inputs[0]?.query, { q: '1' });
  });
});

describe('the headers of an answer', () => {
  test('give back a request id that can be sent and logged', async () => {
    const id = async (value: string | string[]) => {
      const { headers, told } = await given(NOBODY).ask({ headers: { 'x-ms-client-request-id': value } });
      assert.equal(told?.clientRequestId, headers['x-ms-client-request-id']);
      return headers['x-ms-client-request-id'];
    };
    for (const value of [' ', '~', 'x'.repeat(128)]) assert.equal(await id(value), value);
    for (const value of ['', 'x'.repeat(129), 'é', 'a\nb', '\x7f', 'é ok', 'ok é'])
      assert.equal(await id(value), undefined);
    assert.equal(await id(['first', 'second']), 'first');
  });

  test('hold browsers to TLS in production, over TLS', async () => {
    const HSTS = 'Strict-Transport-Security';
    const production = given(NOBODY, { options: { explains: false } });
    assert.equal((await production.ask({ secure: true })).headers[HSTS], 'max-age=31536000');
    assert.ok(!(HSTS in (await production.ask()).headers));
    assert.ok(!(HSTS in (await given(NOBODY).ask({ secure: true })).headers));
  });

  test('differ in their correlation vector', async () => {
    const { ask } = given(NOBODY);
    assert.notEqual((await ask()).headers['MS-CV'], (await ask()).headers['MS-CV']);
  });
});
