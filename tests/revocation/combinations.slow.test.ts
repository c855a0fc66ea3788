import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { KeySlot, ResourceId } from '../../src/callers.ts';
import { APPLICATIONS, DIRECTORY_TENANT, USERS } from '../../src/planes/sign-in/directory.ts';
import { REASON_OF, type RevocationKind } from '../../src/revocation/event.ts';
import { STORES } from '../harness/postgres.ts';
import { accessKeyOf, inPath } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

/** 1,000 for a release. */
const SEQUENCES = Number(process.env.TEST_REVOCATION_SEQUENCES ?? 40);
const SEED = Number(process.env.TEST_REVOCATION_SEED ?? Date.now() % 1_000_000);
const STEPS = 12;

const WAYS = ['primary', 'secondary', 'trust'] as const;
/** What a token is asked for with: a key, a trusted service's token; or the user's own, for users of the directory. */
type Way = (typeof WAYS)[number];

interface Owner {
  readonly resource: ResourceId;
  readonly identity: string;
  /** A user of the development directory, who exchanges a token of theirs. */
  readonly isForeign: boolean;
}

interface Token extends Owner {
  readonly jwt: string;
  /** Undefined for one that came by an assignment. */
  readonly way: Way | undefined;
  readonly kid: string;
  /** How many events there had been. */
  readonly after: number;
}

interface Event {
  readonly kind: RevocationKind;
  readonly resource?: ResourceId;
  readonly identity?: string;
  readonly slot?: KeySlot;
  readonly kid?: string;
}

const inPast = '2020-01-01T00:00:00Z';
const inFuture = '2040-01-01T00:00:00Z';

const OPERATOR_KEY = 'an-operator-key-for-the-combinations-0123';
const TRUST = 'combined';
const [ALICE] = USERS;
const ASSIGNMENT = `/access/entra/assignments/${ALICE?.objectId}?api-version=2025-03-02-preview`;

/** Does things to a server over HTTP, and knows what must come of them. */
class Play {
  readonly #server: TestServer;
  readonly events: Event[] = [];
  readonly tokens: Token[] = [];
  readonly #bounds = new Map<string, string>();

  constructor(server: TestServer) {
    this.#server = server;
  }

  async newResource(): Promise<ResourceId> {
    const { id } = await this.#server.server.resources.create({ name: `r-${crypto.randomUUID()}` });
    return id;
  }

  async #asOperator(at: string, body?: object): Promise<void> {
    const [method = '', target = ''] = at.split(' ');
    const headers = { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/json' };
    const answer = await this.#server.send({ method, target, headers, body: body && JSON.stringify(body) });
    assert.ok(answer.status < 300, `${at}: ${answer.text}`);
  }

  /** The one trust that the server has, fresh for this play. */
  async newTrust(): Promise<void> {
    for (const name of ['dev', TRUST]) await this.#asOperator(`DELETE /-/trusts/${name}`);
    const issuers = [`{endpoint}/${DIRECTORY_TENANT}/v2.0`];
    await this.#asOperator(`PUT /-/trusts/${TRUST}`, { issuers, tenants: [DIRECTORY_TENANT], applications: ['*'] });
    const principal = { kind: 'objectId', value: APPLICATIONS.service.objectId };
    await this.#asOperator(`PUT /-/trusts/${TRUST}/grants/all`, { principal, right: 'data', resource: '*' });
  }

  /** Lets Alice of the development directory in. */
  async newForeignOwner(resource: ResourceId): Promise<Owner> {
    await this.#assign(resource);
    const identity = `8:acs:${resource}_wf_${DIRECTORY_TENANT}_${ALICE?.objectId}`;
    const owner = { resource, identity, isForeign: true };
    await this.#exchange(owner); // after this there is a row that can be revoked
    return owner;
  }

  async #assign(resource: ResourceId): Promise<void> {
    const body = { tenantId: DIRECTORY_TENANT, principalType: 'user', clientIds: [APPLICATIONS.app.clientId] };
    const answer = await this.#server.asService(`PUT ${ASSIGNMENT}`, body, {
      key: accessKeyOf(this.#server, 'primary', resource),
    });
    assert.equal(answer.status, 201, answer.text);
  }

  /** Host by which a resource is meant where no key tells. */
  #hostOf(resource: ResourceId): string {
    return `${this.#server.server.resources.get(resource).resource.name}.${this.#server.host}`;
  }

  async #exchange({ resource }: Owner): Promise<string> {
    const { issuer } = this.#server.server;
    if (!issuer || !ALICE) throw new Error('there is no development issuer');
    const grant = { aud: 'https://communication.azure.com/clients', permissions: ['Chat'], scope: '' };
    const { jwt } = await issuer.userToken(ALICE, APPLICATIONS.app.clientId, {
      ...grant,
      openid: false,
      offline: false,
    });
    const answer = await this.#server.send({
      method: 'POST',
      target: '/access/entra/:exchangeAccessToken?api-version=2025-03-02-preview',
      headers: { Authorization: `Bearer ${jwt}`, Host: this.#hostOf(resource) },
    });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.accessToken.token;
  }

  async #issueThroughTrust({ resource, identity }: Owner): Promise<string> {
    const aud = 'https://communication.azure.com/';
    const proof = await this.#server.server.issuer?.applicationToken(APPLICATIONS.service, { aud });
    const answer = await this.#server.send({
      method: 'POST',
      target: `${inPath(identity)}/:issueAccessToken?api-version=2023-10-01`,
      headers: {
        Authorization: `Bearer ${proof?.jwt}`,
        Host: this.#hostOf(resource),
        'Content-Type': 'application/json',
      },
      body: '{"scopes":["chat"]}',
    });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.token;
  }

  async newOwner(resource: ResourceId): Promise<Owner> {
    const key = accessKeyOf(this.#server, 'primary', resource);
    const answer = await this.#server.asService('POST /identities', undefined, { key });
    assert.equal(answer.status, 201, answer.text);
    return { resource, identity: answer.body.identity.id, isForeign: false };
  }

  /** Whether tokens can still be issued for it. */
  lives({ resource, identity }: Owner): boolean {
    return !this.events.some(
      (event) =>
        (event.kind === 'identityDeleted' && event.identity === identity) ||
        (event.kind === 'resource' && event.resource === resource),
    );
  }

  async issue(owner: Owner, way: Way): Promise<void> {
    if (!this.lives(owner)) return;
    const { kid } = this.#server.server.keys.active;
    const jwt = owner.isForeign ? await this.#exchange(owner) : await this.#issueBy(way, owner);
    const after = this.events.length;
    this.tokens.push({ ...owner, jwt, way: owner.isForeign ? undefined : way, kid, after });
  }

  async #issueBy(way: Way, owner: Owner): Promise<string> {
    if (way === 'trust') return this.#issueThroughTrust(owner);
    const key = accessKeyOf(this.#server, way, owner.resource);
    const at = `POST ${inPath(owner.identity)}/:issueAccessToken`;
    const answer = await this.#server.asService(at, { scopes: ['chat'] }, { key });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.token;
  }

  async end(kind: RevocationKind, owner: Owner, way: Way): Promise<void> {
    const { resource, identity } = owner;
    const { resources, keys, revocations } = this.#server.server;
    const isAboutOwner = kind !== 'all' && kind !== 'signingKey' && kind !== 'trust';
    if (isAboutOwner && !this.lives(owner)) return;
    const slot = way === 'trust' ? 'primary' : way;
    const call = async (at: string, body?: object): Promise<void> => {
      const answer = await this.#server.asService(at, body, { key: accessKeyOf(this.#server, 'primary', resource) });
      assert.equal(answer.status, 204, answer.text);
    };
    switch (kind) {
      case 'identity':
        await call(`POST ${inPath(identity)}/:revokeAccessTokens`);
        this.events.push({ kind, identity });
        return;
      case 'identityDeleted':
        await call(`DELETE ${inPath(identity)}`);
        this.events.push({ kind, identity });
        return;
      case 'validFrom': {
        // First one that concerns no token, then one that concerns them all.
        const bound = this.#bounds.get(identity) === undefined ? inPast : inFuture;
        await call(`PATCH ${inPath(identity)}?api-version=2020-07-20-preview1`, { tokensValidFrom: bound });
        this.#bounds.set(identity, bound);
        if (bound === inFuture) this.events.push({ kind: 'identity', identity });
        return;
      }
      case 'trust':
        await this.#asOperator(`POST /-/trusts/${TRUST}/:disable`);
        await this.#asOperator(`POST /-/trusts/${TRUST}/:enable`);
        this.events.push({ kind });
        return;
      case 'assignment':
        if (!owner.isForeign) return;
        await call(`DELETE ${ASSIGNMENT}`);
        await this.#assign(resource);
        this.events.push({ kind, resource });
        return;
      case 'key':
        await resources.regenerateKey(resource, slot);
        this.events.push({ kind, resource, slot });
        return;
      case 'resource':
        await resources.delete(resource);
        this.events.push({ kind, resource });
        return;
      case 'signingKey': {
        const { kid } = keys.active;
        await keys.kill(kid);
        this.events.push({ kind, kid });
        return;
      }
      case 'all':
        await revocations.record({ kind });
        this.events.push({ kind });
        return;
    }
  }

  /** Why a token must be refused now, or undefined when it must be accepted. */
  expected(token: Token): string | undefined {
    const concerning = this.events.filter((event, index) => index >= token.after && concerns(event, token));
    if (concerning.some(({ kind }) => kind === 'signingKey')) return REASON_OF.signingKey; // not even looked into
    const newest = concerning.at(-1);
    if (newest) return REASON_OF[newest.kind];
    return this.#bounds.get(token.identity) === inFuture ? REASON_OF.validFrom : undefined;
  }

  /** Every request is tried against the keys of every resource, so those that are not needed any more go. */
  async leave(resources: readonly ResourceId[]): Promise<void> {
    for (const id of resources) {
      if (this.#server.server.resources.has(id)) await this.#server.server.resources.delete(id);
    }
  }

  /** Differences between the server and the model. */
  async differences(tokens: readonly Token[] = this.tokens): Promise<string[]> {
    const found = await Promise.all(
      tokens.map(async (token) => {
        const { status, headers } = await this.#server.asUser(token.jwt);
        const reason = status === 200 ? undefined : String(headers['x-linarite-reason']).split(';')[0];
        const expected = this.expected(token);
        return reason === expected
          ? []
          : [
              `token ${this.tokens.indexOf(token)} issued after ${token.after} of ${this.#story()}: ${reason}, not ${expected}`,
            ];
      }),
    );
    return found.flat();
  }

  #story(): string {
    return JSON.stringify(this.events);
  }
}

const concerns = (event: Event, token: Token): boolean =>
  event.kind === 'all' ||
  (event.identity !== undefined && event.identity === token.identity) ||
  (event.kind === 'key' && event.resource === token.resource && event.slot === token.way) ||
  (event.kind === 'trust' && (token.isForeign || token.way === 'trust')) ||
  (event.kind === 'assignment' && token.isForeign && event.resource === token.resource) ||
  (event.kind === 'resource' && event.resource === token.resource) ||
  (event.kind === 'signingKey' && event.kid === token.kid);

const KINDS = Object.keys(REASON_OF) as RevocationKind[];

for (const store of STORES) {
  describe(`events that end tokens, combined on ${store}`, () => {
    let server: TestServer;
    shareServer(
      (started) => {
        server = started;
      },
      { store, env: { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
    );

    const figures = { pairs: 0, sequences: 0, verdicts: 0, differences: 0 };
    let planted = false;
    after(() => {
      const id = store === 'sqlite' ? 'R6' : 'R6-postgres';
      const passed = figures.pairs === KINDS.length ** 2 && figures.sequences > 0 && figures.differences === 0;
      writeResult({ id, seed: SEED, figures, passed, planted });
    });
    const compare = async (play: Play, about: string, tokens?: readonly Token[]): Promise<void> => {
      const found = await play.differences(tokens);
      figures.verdicts += (tokens ?? play.tokens).length;
      figures.differences += found.length;
      assert.deepEqual(found, [], about);
    };

    for (const first of KINDS) {
      test(`${first} with each of the others after it`, async () => {
        for (const second of KINDS) {
          const play = new Play(server);
          const [here, elsewhere] = [await play.newResource(), await play.newResource()];
          await play.newTrust();
          const [native, foreign] = [await play.newOwner(here), await play.newForeignOwner(here)];
          const subjectOf = (kind: RevocationKind) => (kind === 'assignment' ? foreign : native);
          const owners = [native, foreign, await play.newOwner(here), await play.newOwner(elsewhere)];
          const issue = async (): Promise<void> => {
            for (const owner of owners) for (const way of WAYS) await play.issue(owner, way);
          };
          await issue();
          await play.end(first, subjectOf(first), 'primary');
          await issue();
          await compare(play, first);
          await play.end(second, subjectOf(second), 'primary');
          await issue();
          await compare(play, `${first}, ${second}`);
          figures.pairs += 1;
          await play.leave([here, elsewhere]);
        }
      });
    }

    const sequences = store === 'sqlite' ? SEQUENCES : Math.ceil(SEQUENCES / 4);
    test(`${sequences} random sequences from seed ${SEED} on do as the model does`, async (t) => {
      t.diagnostic(`TEST_REVOCATION_SEED=${SEED}`);
      for (let seed = SEED; seed < SEED + sequences; seed += 1) {
        const random = new Random(seed);
        const play = new Play(server);
        const resources = [await play.newResource(), await play.newResource()];
        const owners: Owner[] = [];
        await play.newTrust();
        for (const resource of resources)
          owners.push(
            await play.newOwner(resource),
            await play.newOwner(resource),
            await play.newForeignOwner(resource),
          );
        for (let step = 0; step < STEPS; step += 1) {
          const [owner, way] = [random.pick(owners), random.pick(WAYS)];
          if (random.chance(0.6)) await play.issue(owner, way);
          else await play.end(random.pick(KINDS), owner, way);
          if (play.tokens.length > 0) {
            const some = [random.pick(play.tokens), random.pick(play.tokens)];
            await compare(play, `seed ${seed}`, some);
          }
        }
        await compare(play, `seed ${seed}`);
        figures.sequences += 1;
        await play.leave(resources);
      }
    });

    test('the model reports one level that hides another', async (t) => {
      const { revocations } = server.server;
      const { check } = revocations;
      t.after(() => {
        revocations.check = check;
      });
      // The newest event alone decides, and it is not about this identity: as if it had taken the place of the other.
      revocations.check = (token) => check.call(revocations, { ...token, fingerprint: new Uint32Array(4) });
      const play = new Play(server);
      const owner = await play.newOwner(await play.newResource());
      await play.issue(owner, 'primary');
      await play.end('identity', owner, 'primary');
      await play.end('key', owner, 'secondary');
      assert.equal((await play.differences()).length, 1);
      planted = true;
    });
  });
}
