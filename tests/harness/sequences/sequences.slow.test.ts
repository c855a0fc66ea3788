import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after as afterAll, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { KEY_SLOTS, type KeySlot } from '../../../src/callers.ts';
import { FIRST_SUBSCRIPTION } from '../../../src/planes/management/communication-service.ts';
import { inPath, unusedId } from '../resources.ts';
import { writeResult } from '../results.ts';
import type { TestServer } from '../server.ts';
import { shareServer } from '../shared.ts';
import { sign } from '../sign.ts';
import {
  type Answer,
  after,
  type Call,
  type Command,
  type Done,
  explanations,
  firstState,
  type State,
} from './resource-model.ts';

// A few dozen in every run of `npm run test:all`; `npm run harness -- model` for a release (security-and-reliability, A4).
const COUNT = Number(process.env.TEST_SEQUENCES ?? 60);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
const AT_ONCE = 24;
const OPERATOR_KEY = 'an-operator-key-for-the-sequences-01234567';
const GROUP = `/subscriptions/${FIRST_SUBSCRIPTION}/resourceGroups/model`;

// ── Sequences ───────────────────────────────────────────────────────────────────────────────────────────────────────

const slot = fc.constantFrom(...KEY_SLOTS);
const some = fc.nat({ max: 11 });
const customId = fc.constantFrom(undefined, undefined, undefined, 'alice', 'bob');

// biome-ignore format: a table
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('create' as const), slot, withToken: fc.boolean(), customId }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('issue' as const), slot, identity: some }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('whoami' as const), token: some }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('introspect' as const), slot, token: some }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('revoke' as const), slot, identity: some }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), slot, identity: some }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('validFrom' as const), slot, identity: some, when: fc.constantFrom('past', 'now', 'future') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('show' as const), slot, identity: some }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('list' as const, 'listWithFormerKey' as const), slot }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('regenerate' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('setKeysDisabled' as const), disabled: fc.oneof({ weight: 1, arbitrary: fc.constant(true) }, { weight: 3, arbitrary: fc.constant(false) }) }) },
);
const commandOrEnd: fc.Arbitrary<Command> = fc.oneof(
  { weight: 60, arbitrary: command },
  { weight: 1, arbitrary: fc.constant<Command>({ do: 'deleteResource' }) },
);

/** Up to 50 commands: one after another, then in up to three branches at once, then one after another. */
interface Sequence {
  first: Command[];
  branches: Command[][];
  last: Command[];
}
const sequence: fc.Arbitrary<Sequence> = fc.record({
  first: fc.array(commandOrEnd, { maxLength: 28, size: 'max' }),
  branches: fc.array(fc.array(commandOrEnd, { minLength: 1, maxLength: 4 }), { maxLength: 3 }),
  last: fc.array(commandOrEnd, { maxLength: 10 }),
});

// ── The real thing ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Sends a call to the server. Injected faults stand in between. */
type Perform = (call: Call) => Promise<Answer>;

/** Puts something between a client and the server. */
type FaultInjector = (perform: Perform) => Perform;

interface ClientOf {
  name: string;
  resourceId: string;
  keys: Readonly<Record<KeySlot, string>>;
  injector: FaultInjector;
}

/** A resource of its own on the server, and what a client of it knows. */
class Client {
  readonly #server: TestServer;
  readonly #name: string;
  /** A well-formed id of this resource that nobody has. */
  readonly #noId: string;
  readonly perform: Perform;
  readonly keys: Record<KeySlot, string>;
  readonly formerKeys: Record<KeySlot, string>;
  readonly ids: string[] = [];
  readonly jwts: string[] = [];

  constructor(server: TestServer, { name, resourceId, keys, injector }: ClientOf) {
    this.#server = server;
    this.#name = name;
    this.#noId = unusedId(resourceId);
    this.keys = { ...keys };
    this.formerKeys = {
      primary: Buffer.alloc(64, 1).toString('base64'),
      secondary: Buffer.alloc(64, 2).toString('base64'),
    };
    this.perform = injector((call) => this.#send(call));
  }

  async do(command: Command): Promise<Done> {
    const key =
      command.do === 'listWithFormerKey'
        ? this.formerKeys[command.slot]
        : 'slot' in command
          ? this.keys[command.slot]
          : '';
    const id = 'identity' in command ? (this.ids[command.identity % Math.max(1, this.ids.length)] ?? '') : '';
    const jwt = 'token' in command ? (this.jwts[command.token % Math.max(1, this.jwts.length)] ?? '') : '';
    const call: Call = { command, key, id: id || this.#noId, jwt: jwt || 'none' };
    const sentAt = performance.now();
    const answer = await this.perform(call);
    const cameAt = performance.now();
    this.#learn(command, answer);
    return { call, answer, sentAt, cameAt };
  }

  #learn(command: Command, { status, body }: Answer): void {
    if (command.do === 'create' && status === 201) {
      if (!this.ids.includes(body.identity.id)) this.ids.push(body.identity.id);
      if (body.accessToken) this.jwts.push(body.accessToken.token);
    }
    if (command.do === 'issue' && status === 200) this.jwts.push(body.token);
    if (command.do === 'regenerate' && status === 200) {
      this.formerKeys[command.slot] = this.keys[command.slot];
      this.keys[command.slot] = body[`${command.slot}Key`];
    }
  }

  #send({ command, key, id, jwt }: Call): Promise<Answer> {
    const service = (at: string, body?: object | string, type = 'application/json') =>
      this.#asService(at, key, body, type);
    switch (command.do) {
      case 'create':
        return service('POST /identities?api-version=2025-03-02-preview', {
          ...(command.withToken && { createTokenWithScopes: ['chat', 'voip'] }),
          ...(command.customId !== undefined && { customId: command.customId }),
        });
      case 'issue':
        return service(`POST ${inPath(id)}/:issueAccessToken?api-version=2023-10-01`, { scopes: ['chat'] });
      case 'revoke':
        return service(`POST ${inPath(id)}/:revokeAccessTokens?api-version=2023-10-01`);
      case 'delete':
        return service(`DELETE ${inPath(id)}?api-version=2023-10-01`);
      case 'show':
        return service(`GET /-${inPath(id)}`);
      case 'list':
      case 'listWithFormerKey':
        return service('GET /-/identities?pageSize=1000');
      case 'validFrom': {
        const at = Date.now() + { past: -3_600_000, now: 0, future: 3_600_000 }[command.when];
        return service(`PATCH ${inPath(id)}?api-version=2020-07-20-preview2`, {
          tokensValidFrom: new Date(at).toISOString(),
        });
      }
      case 'introspect':
        return service('POST /-/introspect', `token=${jwt}`, 'application/x-www-form-urlencoded');
      case 'whoami':
        return this.#server.asUser(jwt);
      case 'regenerate':
        return this.asOperator('POST', '/regenerateKey', { keyType: command.slot });
      case 'setKeysDisabled':
        return this.asOperator('PATCH', '', { properties: { disableLocalAuth: command.disabled } });
      case 'deleteResource':
        return this.asOperator('DELETE', '');
    }
  }

  /** The host begins with the name of the resource, so that no other key is tried. */
  #asService(at: string, key: string, body: object | string | undefined, type: string): Promise<Answer> {
    const [method = '', target = ''] = at.split(' ');
    const host = `${this.#name}.localhost:${this.#server.port}`;
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    const headers = { Host: host, 'Content-Type': type, ...sign({ method, target, host, body: text, key }) };
    return this.#server.send({ method, target, body: text, headers });
  }

  asOperator(method: string, path: string, body?: object): Promise<Answer> {
    return asOperator(this.#server, method, `${serviceAt(this.#name)}${path}?api-version=2023-03-31`, body);
  }
}

const serviceAt = (name: string): string => `${GROUP}/providers/Microsoft.Communication/communicationServices/${name}`;
const asOperator = (server: TestServer, method: string, target: string, body?: object): Promise<Answer> =>
  server.send({
    method,
    target,
    body: body && JSON.stringify(body),
    headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/json' },
  });

let names = 0;

async function givenClient(server: TestServer, injector: FaultInjector): Promise<Client> {
  const name = `model${names++}`;
  const target = `${serviceAt(name)}?api-version=2023-03-31`;
  const made = await asOperator(server, 'PUT', target, { location: 'global', properties: { dataLocation: 'Europe' } });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const { body } = await asOperator(server, 'POST', `${serviceAt(name)}/listKeys?api-version=2023-03-31`);
  return new Client(server, {
    name,
    resourceId: made.body.properties.immutableResourceId,
    keys: { primary: body.primaryKey, secondary: body.secondaryKey },
    injector,
  });
}

// ── The comparison ──────────────────────────────────────────────────────────────────────────────────────────────────

let commands = 0;

const told = ({ call, answer }: Done): string =>
  `${JSON.stringify(call.command)} on ${call.id.slice(-12)} ${call.jwt.slice(-8)}: ${answer.status} ${JSON.stringify(answer.body)?.slice(0, 200)}`;

/** The states that explain an answer to a single call. @throws AssertionError when none does */
function explained(states: readonly State[], done: Done, history: readonly Done[]): State[] {
  const results = states.map((state) => after(state, done.call, done.answer));
  const next = results.filter((result) => typeof result !== 'string');
  if (next.length === 0) assert.fail(`expected ${results.join(' or ')}:\n${[...history, done].map(told).join('\n')}`);
  return next;
}

/** Runs a sequence against the server and the model. @throws AssertionError at the first difference */
async function compare(
  server: TestServer,
  { first, branches, last }: Sequence,
  injector: FaultInjector,
): Promise<void> {
  const client = await givenClient(server, injector);
  const history: Done[] = [];
  let states = [firstState(client.keys)];
  const one = async (command: Command): Promise<void> => {
    const done = await client.do(command);
    states = explained(states, done, history);
    history.push(done);
    commands += 1;
  };
  for (const command of first) await one(command);

  if (branches.length > 0) {
    const done = await Promise.all(
      branches.map(async (branch) => {
        const results: Done[] = [];
        for (const command of branch) results.push(await client.do(command));
        return results;
      }),
    );
    commands += done.flat().length;
    states = states.flatMap((state) => explanations(state, done));
    const story = done.map(
      (branch, index) =>
        `branch ${index}:\n${branch.map((entry) => `${entry.sentAt.toFixed(1)}-${entry.cameAt.toFixed(1)} ${told(entry)}`).join('\n')}`,
    );
    if (states.length === 0) assert.fail(`no order explains:\n${history.map(told).join('\n')}\n${story.join('\n')}`);
    history.push(...done.flat());
  }

  for (const command of last) await one(command);
  // What was never asked may differ as well.
  for (let token = 0; token < client.jwts.length; token++) await one({ do: 'whoami', token });
  await one({ do: 'list', slot: 'primary' });
  await one({ do: 'deleteResource' });
  for (let token = 0; token < client.jwts.length; token++) await one({ do: 'whoami', token });
}

/** Runs so many sequences, several at once. @returns the differences found, one at most from each runner */
async function differences(server: TestServer, count: number, injector?: FaultInjector): Promise<string[]> {
  const runners = Math.min(AT_ONCE, count);
  const results = await Promise.allSettled(
    Array.from({ length: runners }, (_, index) => {
      const property = fc.asyncProperty(sequence, (one) => compare(server, one, injector ?? ((perform) => perform)));
      const numRuns = Math.floor((count + index) / runners);
      return fc.assert(property, { seed: SEED + index, numRuns, endOnFailure: injector !== undefined });
    }),
  );
  return results.flatMap((result) =>
    result.status === 'rejected' ? [`${result.reason}\n${result.reason.cause}`] : [],
  );
}

describe('a resource', () => {
  let server: TestServer;
  const seen: string[] = [];
  let found: string[] | undefined;
  let compared = 0;
  shareServer(
    (started) => {
      server = started;
    },
    { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY, LINARITE_SIGNING_ALGORITHM: 'ES256' } },
  );
  before(async () => {
    assert.equal((await asOperator(server, 'PUT', GROUP, { location: 'global' })).status, 201);
  });

  test(`behaves as the model does in ${COUNT} sequences, one after another and in parallel`, {
    timeout: 1_200_000,
  }, async (t) => {
    found = await differences(server, COUNT);
    compared = commands;
    t.diagnostic(`seed ${SEED}, ${commands} commands`);
    assert.deepEqual(found, []);
  });

  const FAULTS: Record<string, FaultInjector> = {
    'a revocation that is answered and not made': (perform) => async (call) =>
      call.command.do === 'revoke' ? { status: 204, body: undefined } : perform(call),
    'a revocation that is answered a moment before it is made': (perform) => async (call) => {
      if (call.command.do !== 'revoke') return perform(call);
      void sleep(20).then(() => perform(call));
      return { status: 204, body: undefined };
    },
    'a verdict on a token that is remembered': (perform) => {
      const verdicts = new Map<string, Answer>();
      return async (call) => {
        if (call.command.do !== 'whoami') return perform(call);
        const verdict = verdicts.get(call.jwt) ?? (await perform(call));
        verdicts.set(call.jwt, verdict);
        return verdict;
      };
    },
    'a key that stays good': (perform) => (call) =>
      perform(
        call.command.do === 'listWithFormerKey' ? { ...call, command: { ...call.command, do: 'list' }, key: '' } : call,
      ).then((answer) => (call.command.do === 'listWithFormerKey' ? { status: 200, body: { value: [] } } : answer)),
    'a custom id that is given twice': (perform) => (call) =>
      perform(call.command.do === 'create' ? { ...call, command: { ...call.command, customId: undefined } } : call),
  };

  for (const [fault, injector] of Object.entries(FAULTS)) {
    test(`and the comparison reports ${fault}`, async () => {
      const reports = await differences(server, 40, injector);
      assert.notDeepEqual(reports, []);
      seen.push(fault);
    });
  }

  afterAll(() =>
    writeResult({
      id: 'A4',
      seed: SEED,
      figures: { sequences: COUNT, commands: compared, differences: found?.length ?? Number.NaN },
      passed: found?.length === 0,
      planted: seen.length === Object.keys(FAULTS).length,
    }),
  );
});
