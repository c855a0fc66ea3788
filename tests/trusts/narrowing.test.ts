import assert from 'node:assert/strict';
import { generateKeyPairSync, randomInt, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { ForeignTokens } from '../../src/trusts/foreign-tokens.ts';
import { fillIn } from '../../src/trusts/issuers.ts';
import type { ForeignKey } from '../../src/trusts/key-set.ts';
import {
  type Algorithm,
  audiencesFor,
  ENTRA_CLAIMS,
  narrows,
  PURPOSES,
  type Purpose,
  type TrustDefinition,
} from '../../src/trusts/trust.ts';

// Some hundred pairs in every test run.
const PAIRS = Number(process.env.TEST_NARROWING ?? 600);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));

const NOW_MS = Date.parse('2026-03-01T12:00:00Z');
const [A, B, C] = [
  'aaaaaaaa-0000-4000-8000-00000000000a',
  'bbbbbbbb-0000-4000-8000-00000000000b',
  'cccccccc-0000-4000-8000-00000000000c',
] as const;
const ENDPOINT = `https://${C}.example`;

const KEYS = {
  EdDSA: generateKeyPairSync('ed25519'),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
type Kind = keyof typeof KEYS;
const KINDS = Object.keys(KEYS) as Kind[];

const AUTHORITY = 'a certificate authority';
/** Where keys are: at a private address or not, and whose certificate is shown there. */
const PROVIDERS: Record<string, { private: boolean; authority: string | undefined }> = {
  'https://one.example/keys': { private: false, authority: undefined },
  'https://two.example/keys': { private: true, authority: undefined },
  'https://three.example/keys': { private: true, authority: AUTHORITY },
  [`https://four.example/${A}`]: { private: false, authority: undefined },
  [`https://four.example/${B}`]: { private: true, authority: undefined },
};

/** Stands for {@link KeySets}: what a trust's addresses lead to, without the network. */
async function findKey(
  { definition }: { definition: TrustDefinition },
  tenantId: string | undefined,
  kid: string,
): Promise<ForeignKey | undefined> {
  const { keySet, metadata, privateAddresses, certificateAuthority } = definition;
  const provider = PROVIDERS[fillIn(keySet ?? metadata, { endpoint: ENDPOINT, tenantId })];
  if (!provider || (provider.private && !privateAddresses) || provider.authority !== certificateAuthority)
    throw new ServiceError('ProviderUnavailable');
  const kind = KINDS.find((name) => name === kid);
  return kind && { publicKey: KEYS[kind].publicKey, algorithms: [kind] };
}

const listOf = <T>(...values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 4 });
const someOf = <T>(...values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1 });

/** Texts that overlap in every way that placeholders allow, and `*`, which older stores may hold anywhere. */
const MEMBERS = {
  issuers: someOf(
    'https://id.example',
    'https://id.example/{tenantId}',
    `https://id.example/${A}`,
    `https://id.example/${B}`,
    `https://id.example/{tenantId}/${B}`,
    `https://id.example/${A}/{tenantId}`,
    '{endpoint}',
    `https://{tenantId}.example`,
    '*',
  ),
  tenants: listOf<string>(A, B, C),
  applications: listOf('app', 'other', '*'),
  algorithms: someOf<Algorithm>(...KINDS),
  audiences: fc.record(
    Object.fromEntries(
      PURPOSES.map((purpose) => [purpose, listOf('a', 'a/', 'b', '{endpoint}', ENDPOINT, '*')]),
    ) as Record<Purpose, fc.Arbitrary<string[]>>,
    { requiredKeys: [] },
  ),
  metadata: fc.constantFrom(...Object.keys(PROVIDERS), 'https://four.example/{tenantId}'),
  keySet: fc.constantFrom(undefined, ...Object.keys(PROVIDERS), 'https://four.example/{tenantId}'),
  privateAddresses: fc.boolean(),
  certificateAuthority: fc.constantFrom(undefined, AUTHORITY),
  claims: fc.record({
    objectId: fc.constantFrom('oid', 'sub'),
    tenantId: fc.constantFrom('tid', null),
    applicationId: fc.constantFrom(null, 'azp'),
    scopes: fc.constantFrom('scp', 'scope'),
    roles: fc.constantFrom('roles', '*'),
    groups: fc.constant('groups'),
  }),
} satisfies { [Member in keyof TrustDefinition]: fc.Arbitrary<TrustDefinition[Member]> };

/** Definitions that let tokens in often: keys can be read, claims are Entra's. */
const usual: TrustDefinition = {
  issuers: ['https://id.example/{tenantId}'],
  metadata: 'https://one.example/keys',
  keySet: undefined,
  tenants: [A, B],
  audiences: {},
  applications: ['app'],
  algorithms: [...KINDS],
  claims: ENTRA_CLAIMS,
  privateAddresses: false,
  certificateAuthority: undefined,
};

const anything: fc.Arbitrary<TrustDefinition> = fc.record(MEMBERS);
const membersOf = (least: number, most: number) =>
  fc.subarray(Object.keys(MEMBERS) as (keyof TrustDefinition)[], { minLength: least, maxLength: most });
const near = fc
  .record({ other: anything, names: membersOf(0, 4) })
  .map(({ names, other }) => ({ ...usual, ...Object.fromEntries(names.map((name) => [name, other[name]])) }));

/** A former definition, and one that differs from it in some members, by new values or by more of the same. */
const pairs = fc.oneof({ weight: 1, arbitrary: anything }, { weight: 4, arbitrary: near }).chain((former) =>
  fc
    .record({
      other: anything,
      names: membersOf(1, 3),
      adds: fc.boolean(),
      backwards: fc.boolean(),
    })
    .map(({ other, names, adds, backwards }) => {
      const member = (name: keyof TrustDefinition): unknown => {
        const [before, after] = [former[name], other[name]];
        if (!adds || !Array.isArray(before) || !Array.isArray(after)) return after;
        return [...new Set(backwards ? [...after, ...before] : [...before, ...after])];
      };
      const next: TrustDefinition = { ...former, ...Object.fromEntries(names.map((name) => [name, member(name)])) };
      return { former, next };
    }),
);

interface Draft {
  readonly purpose: Purpose;
  readonly jwt: string;
}

/** Tokens that a definition may accept. */
function draftsFor(definition: TrustDefinition): Draft[] {
  const tenants = [...definition.tenants, A];
  const issuers = definition.issuers.flatMap((issuer) =>
    tenants.map((tenantId) => fillIn(issuer, { endpoint: ENDPOINT, tenantId })),
  );
  return [...new Set(issuers)].flatMap((iss, index) =>
    [...new Set(tenants)].map((tid, turn) => {
      const purpose = PURPOSES[(index + turn) % PURPOSES.length] ?? 'service';
      const kind = definition.algorithms[(index + turn) % definition.algorithms.length] as Kind;
      const audiences = audiencesFor(definition, purpose);
      const aud = fillIn(audiences[(index * 7 + turn) % audiences.length] ?? '', { endpoint: ENDPOINT });
      const now = NOW_MS / 1000;
      const user = purpose !== 'service' && purpose !== 'management' && { scp: 'x', scope: 'x' };
      return {
        purpose,
        jwt: signed(kind, { iss, aud, iat: now, exp: now + 3600, oid: A, sub: B, tid, azp: 'app', ...user }),
      };
    }),
  );
}

function signed(kind: Kind, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg: kind, kid: kind, typ: 'JWT' })}.${part(claims)}`;
  const { privateKey: key } = KEYS[kind];
  const hash = kind === 'ES256' ? 'sha256' : null;
  return `${input}.${sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

async function accepts(definition: TrustDefinition, { jwt, purpose }: Draft): Promise<boolean> {
  const trust = {
    id: 'trust' as TrustId,
    name: 'trust',
    enabled: true,
    version: 1,
    definition,
    grants: [],
    createdAtMs: 0,
    changedAtMs: 0,
  };
  const tokens = new ForeignTokens({
    trusts: () => [trust],
    keySets: { find: findKey },
    clock: { now: () => NOW_MS, elapsed: () => 0 },
    endpoint: ENDPOINT,
  });
  try {
    await tokens.verify(jwt, purpose, 'Denied');
    return true;
  } catch (cause) {
    if (cause instanceof ServiceError) return false;
    throw cause;
  }
}

test('a definition that refuses a token which the former one accepted narrows it', { timeout: 110_000 }, async (t) => {
  const seen = { accepted: 0, refusedThen: 0, wider: 0 };
  await fc.assert(
    fc.asyncProperty(pairs, async ({ former, next }) => {
      const wider = !narrows(former, next);
      for (const draft of draftsFor(former)) {
        if (!(await accepts(former, draft))) continue;
        seen.accepted += 1;
        if (await accepts(next, draft)) continue;
        seen.refusedThen += 1;
        assert.equal(wider, false, 'it takes a token back, and is not said to');
      }
      seen.wider += Number(wider);
    }),
    { seed: SEED, numRuns: PAIRS },
  );
  t.diagnostic(`seed ${SEED}, ${JSON.stringify(seen)}`);
  // Otherwise nothing was tried.
  assert.ok(
    seen.accepted > PAIRS / 4 && seen.refusedThen > PAIRS / 20 && seen.wider > PAIRS / 50,
    JSON.stringify(seen),
  );
});
