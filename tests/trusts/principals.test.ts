import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResourceId, TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import type { ForeignToken } from '../../src/trusts/foreign-token.ts';
import { Principals } from '../../src/trusts/principals.ts';
import { type Grant, type Trust, trustDefinition } from '../../src/trusts/trust.ts';

const [ONE, TWO, THREE] = ['one', 'two', 'three'] as ResourceId[] as [ResourceId, ResourceId, ResourceId];
const OBJECT = 'aaaaaaaa-0000-4000-8000-000000000001';
const APPLICATION = 'bbbbbbbb-0000-4000-8000-000000000002';
const CREDENTIAL = { kind: 'trust', trustId: 'T' as TrustId, version: 7 } as const;

const granting = (
  right: Grant['right'],
  resource: Grant['resource'],
  kind: Grant['principal']['kind'],
  value: string,
) => ({ name: 'grant', principal: { kind, value }, right, resource }) satisfies Grant;

const toObject = (right: Grant['right'], resource: Grant['resource']): Grant =>
  granting(right, resource, 'objectId', OBJECT);

const tokenWith = (grants: readonly Grant[], more: Partial<ForeignToken> = {}): ForeignToken => ({
  trust: {
    id: CREDENTIAL.trustId,
    name: 'directory',
    enabled: true,
    version: CREDENTIAL.version,
    definition: trustDefinition({ issuers: ['https://id.example.org'] }, { plainHttp: false }),
    grants,
    createdAtMs: 0,
    changedAtMs: 0,
  } satisfies Trust,
  tenantId: 'tenant',
  objectId: OBJECT,
  applicationId: APPLICATION,
  scopes: ['Teams.ManageCalls'],
  roles: ['reader'],
  groups: ['group'],
  isApplication: false,
  issuedAtSeconds: 100,
  expSeconds: 200,
  tokenId: 'uti',
  platform: undefined,
  ...more,
});

interface Given {
  resources?: readonly ResourceId[];
  usualResource?: ResourceId;
}

/** Whom a token makes, with every call of the verifier noted down. */
function given(token: ForeignToken, { resources = [ONE, TWO], usualResource }: Given = {}) {
  const verified: unknown[] = [];
  const principals = new Principals(
    {
      tokens: {
        verify: async (...asked) => {
          verified.push(asked);
          return token;
        },
      },
      resources: {
        list: () => resources.map((id) => ({ id })),
        namedBy: (host: string) => {
          const id = resources.find((name) => host === `${name}.example`);
          return id && { resource: { id } };
        },
      } as unknown as ConstructorParameters<typeof Principals>[0]['resources'],
    },
    { usualResource },
  );
  return { principals, verified };
}

const reason = (cause: unknown): string => {
  if (!(cause instanceof ServiceError)) throw cause;
  return `${cause.error} ${cause.reason}`;
};
const NOT_GRANTED = 'GrantMissing grant.missing';
const UNNAMED = 'Denied resource.unnamed';

describe('on the data plane, a token of a trusted issuer', () => {
  const serviceOf = async (
    grants: readonly Grant[],
    host: string,
    reads = false,
    more?: Partial<ForeignToken>,
    place?: Given,
  ) => {
    try {
      const { principals } = given(tokenWith(grants, more), place);
      const { kind, resourceId, credential } = await principals.serviceOf('jwt', host, reads);
      assert.deepEqual([kind, credential], ['service', CREDENTIAL]);
      return resourceId;
    } catch (cause) {
      return reason(cause);
    }
  };

  test('is verified as a service’s, and refused as such', async () => {
    const { principals, verified } = given(tokenWith([toObject('data', ONE)]));
    await principals.serviceOf('jwt', 'one.example', false);
    assert.deepEqual(verified, [['jwt', 'service', 'Denied']]);
  });

  test('opens the resource that the host names, where a grant does, and no other', async () => {
    assert.equal(await serviceOf([toObject('data', ONE)], 'one.example'), ONE);
    assert.equal(await serviceOf([toObject('data', ONE)], 'two.example'), NOT_GRANTED);
    assert.equal(await serviceOf([toObject('data', '*')], 'two.example'), TWO);
    assert.equal(await serviceOf([toObject('data', ONE), toObject('data', TWO)], 'two.example'), TWO);
    for (const host of ['one.example', 'localhost']) assert.equal(await serviceOf([], host), NOT_GRANTED);
  });

  test('opens the one resource that can be meant where the host names none', async () => {
    assert.equal(await serviceOf([toObject('data', TWO)], 'localhost'), TWO);
    assert.equal(await serviceOf([toObject('data', '*')], 'localhost'), UNNAMED);
    assert.equal(await serviceOf([toObject('data', '*')], 'localhost', false, {}, { resources: [TWO] }), TWO);
    assert.equal(await serviceOf([toObject('data', ONE), toObject('data', TWO)], 'localhost'), UNNAMED);
    assert.equal(await serviceOf([toObject('data', THREE)], 'localhost'), UNNAMED, 'it is gone');
  });

  test('opens the usual resource where several could be meant, if that is one of them', async () => {
    const usual = (grants: readonly Grant[], usualResource: ResourceId) =>
      serviceOf(grants, 'localhost', false, {}, { resources: [ONE, TWO, THREE], usualResource });
    assert.equal(await usual([toObject('data', '*')], TWO), TWO);
    assert.equal(await usual([toObject('data', ONE), toObject('data', TWO)], TWO), TWO);
    assert.equal(await usual([toObject('data', ONE), toObject('data', THREE)], TWO), UNNAMED);
    assert.equal(await usual([toObject('data', ONE)], TWO), ONE);
  });

  test('may read by a grant to read, and change nothing', async () => {
    assert.equal(await serviceOf([toObject('read', ONE)], 'one.example', true), ONE);
    assert.equal(await serviceOf([toObject('read', ONE)], 'one.example', false), NOT_GRANTED);
    assert.equal(await serviceOf([toObject('data', ONE)], 'one.example', true), ONE);
    for (const reads of [true, false])
      assert.equal(await serviceOf([toObject('management', ONE)], 'one.example', reads), NOT_GRANTED);
    // What may be read does not widen what may be changed.
    assert.equal(await serviceOf([toObject('read', '*'), toObject('data', ONE)], 'two.example', false), NOT_GRANTED);
  });

  test('stands for a principal by its object id, in whatever case', async () => {
    const to = (value: string) => [granting('data', ONE, 'objectId', value)];
    assert.equal(await serviceOf(to(OBJECT.toUpperCase()), 'one.example'), ONE);
    assert.equal(await serviceOf(to(OBJECT), 'one.example', false, { objectId: OBJECT.toUpperCase() }), ONE);
    assert.equal(await serviceOf(to(APPLICATION), 'one.example'), NOT_GRANTED);
  });

  test('stands for an application only where that acts for itself', async () => {
    const to = (value: string) => [granting('data', ONE, 'applicationId', value)];
    assert.equal(await serviceOf(to(APPLICATION), 'one.example'), NOT_GRANTED);
    const itself = { isApplication: true };
    assert.equal(await serviceOf(to(APPLICATION.toUpperCase()), 'one.example', false, itself), ONE);
    const upper = { ...itself, applicationId: APPLICATION.toUpperCase() };
    assert.equal(await serviceOf(to(APPLICATION), 'one.example', false, upper), ONE);
    assert.equal(await serviceOf(to(OBJECT), 'one.example', false, itself), NOT_GRANTED);
    const nameless = { ...itself, applicationId: undefined };
    assert.equal(await serviceOf(to(APPLICATION), 'one.example', false, nameless), NOT_GRANTED);
  });

  test('stands for a role that it carries, spelt exactly', async () => {
    const to = (value: string) => [granting('data', ONE, 'role', value)];
    assert.equal(await serviceOf(to('reader'), 'one.example'), ONE);
    for (const role of ['Reader', 'writer', 'group'])
      assert.equal(await serviceOf(to(role), 'one.example'), NOT_GRANTED);
  });

  test('without a grant is refused in words for the log: the trust, and the object as far as it is not long', async () => {
    const { principals } = given(tokenWith([], { objectId: 'x'.repeat(100) }));
    await assert.rejects(principals.serviceOf('jwt', 'one.example', false), {
      error: 'GrantMissing',
      detail: `trust directory, object ${'x'.repeat(64)}`,
    });
  });
});

describe('on the management plane, a token of a trusted issuer', () => {
  const over = async (grants: readonly Grant[], reads = false) => {
    const { principals, verified } = given(tokenWith(grants));
    const caller = await principals.operatorOf('jwt', reads).catch(reason);
    assert.deepEqual(verified, [['jwt', 'management', 'Denied']]);
    if (typeof caller === 'string') return caller;
    assert.equal(caller.kind, 'operator');
    return caller.over === 'everything' ? caller.over : [...caller.over];
  };

  test('manages the resources that its grants name, or everything', async () => {
    assert.deepEqual(await over([toObject('management', ONE), toObject('management', TWO)]), [ONE, TWO]);
    assert.equal(await over([toObject('management', ONE), toObject('management', '*')]), 'everything');
    assert.deepEqual(await over([toObject('management', ONE), toObject('data', TWO)]), [ONE]);
    for (const grants of [[], [toObject('data', '*')], [toObject('read', '*')]])
      assert.equal(await over(grants), NOT_GRANTED);
  });

  test('may read by a grant to read', async () => {
    assert.deepEqual(await over([toObject('management', ONE), toObject('read', TWO)], true), [ONE, TWO]);
    assert.equal(await over([toObject('read', '*')], true), 'everything');
    assert.equal(await over([toObject('data', '*')], true), NOT_GRANTED);
  });
});

describe('a user of another directory', () => {
  const USER = {
    credential: CREDENTIAL,
    tenantId: 'tenant',
    objectId: OBJECT,
    applicationId: APPLICATION,
    permissions: ['Teams.ManageCalls'],
    groups: ['group'],
    issuedAtSeconds: 100,
    expSeconds: 200,
    tokenId: 'uti',
  };

  test('is what the token says, with the object id in lower case', async () => {
    const { principals, verified } = given(tokenWith([], { objectId: OBJECT.toUpperCase() }));
    assert.deepEqual(await principals.userOf('jwt', 'teamsUser'), USER);
    assert.deepEqual(verified, [['jwt', 'teamsUser', 'InvalidAccessToken']]);
    const bare = given(tokenWith([], { tenantId: undefined, applicationId: undefined, tokenId: undefined }));
    assert.deepEqual(await bare.principals.userOf('jwt', 'entraUser'), {
      ...USER,
      tenantId: '',
      applicationId: '',
      tokenId: undefined,
    });
  });

  test('asks the resource that the host names, or the only one there is, without any grant', async () => {
    const { principals, verified } = given(tokenWith([]));
    const caller = { kind: 'entraUser', resourceId: TWO, user: USER };
    assert.deepEqual(await principals.entraUserOf('jwt', 'teamsExtension', 'two.example'), caller);
    assert.deepEqual(verified, [['jwt', 'teamsExtension', 'InvalidAccessToken']]);
    await assert.rejects(principals.entraUserOf('jwt', 'entraUser', 'localhost'), { reason: 'resource.unnamed' });
    const alone = given(tokenWith([]), { resources: [TWO] });
    assert.deepEqual(await alone.principals.entraUserOf('jwt', 'entraUser', 'localhost'), caller);
  });
});
