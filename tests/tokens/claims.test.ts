import assert from 'node:assert/strict';
import { generateKeyPairSync, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { AssignmentId, IdentityId, PresentedUser, ResourceId, TrustId } from '../../src/callers.ts';
import { SCOPES } from '../../src/capabilities/tables.ts';
import { type Reason, ServiceError } from '../../src/errors.ts';
import type { JsonObject } from '../../src/lib/compact-jws.ts';
import { type CheckedClaims, readClaims, requireUnexpired, writeClaims } from '../../src/tokens/claims.ts';
import { signJws, verifyingKey, verifyJws } from '../../src/tokens/jws.ts';
import { writeResult } from '../harness/results.ts';

// `npm run harness -- tokens` for a release (security-and-reliability, T3).
const COUNT = Number(process.env.TEST_CLAIMS ?? 3000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));

const NOW_MS = Date.UTC(2030, 0, 1);
const NOW = NOW_MS / 1000;
const RESOURCE = '11111111-2222-3333-4444-555555555555' as ResourceId;
const OTHER_RESOURCE = '99999999-2222-3333-4444-555555555555';
const IDENTITY = `8:acs:${RESOURCE}_00000029-3a5f-a900-80f5-8b3a0d003502` as IdentityId;
const ISSUER = 'https://localhost:7417';

const TRUST = '0c94ed58-5d91-4016-a4e9-a4e6dca63d22' as TrustId;
const ASSIGNMENTS = [`entra/${OTHER_RESOURCE}`, `teamsExtension/${OTHER_RESOURCE}/${RESOURCE}`] as AssignmentId[];
const TEAMS_USER: PresentedUser = {
  credential: { kind: 'trust', trustId: TRUST, version: 1 },
  tenantId: OTHER_RESOURCE,
  objectId: OTHER_RESOURCE,
  applicationId: RESOURCE,
  permissions: ['Teams.ManageCalls'],
  groups: [],
  issuedAtSeconds: NOW - 300,
  expSeconds: NOW + 3600,
  tokenId: 'uti',
};

const facts: Parameters<typeof writeClaims>[0] = {
  identityId: IDENTITY,
  resourceId: RESOURCE,
  scopes: ['chat.join', 'voip'],
  region: 'amer',
  location: 'unitedstates',
  issuedAtMs: NOW_MS,
  lifetimeSeconds: 3600,
  position: 2 ** 45,
  keySlot: 'secondary',
  trustId: undefined,
  assignmentId: undefined,
  teamsUser: undefined,
  issuer: ISSUER,
  tokenId: '0HN5Q2J3K4L5M6N7',
};
const expected = { nowMs: NOW_MS, lifetimeMinutesLongest: 1440, isIssuer: (iss: string) => iss === ISSUER };

const claims = { ...writeClaims(facts) } as Record<string, unknown>;
const read = (payload: JsonObject, nowMs = NOW_MS): CheckedClaims => readClaims(payload, { ...expected, nowMs });
const refuses = (payload: JsonObject, reason: Reason, nowMs?: number) =>
  assert.throws(() => read(payload, nowMs), { name: 'ServiceError', error: 'TokenRefused', reason });

test('the claims are written in the order of the original, then ours', () => {
  const literal = JSON.parse(readFileSync(new URL('../harness/vectors/literal-token.json', import.meta.url), 'utf8'));
  assert.equal(JSON.stringify(writeClaims(facts)), literal.payload);
});

test('without an access key there is no ks', () => {
  const written = writeClaims({ ...facts, keySlot: undefined });
  assert.equal('ks' in written, false);
  assert.equal(read({ ...written }).keySlot, undefined);
});

test('a token lives exactly as long as was asked, in whole seconds', () => {
  const { iat, exp, csi } = writeClaims({ ...facts, issuedAtMs: NOW_MS + 999, lifetimeSeconds: 86400 });
  assert.deepEqual({ iat, exp, csi }, { iat: NOW, exp: NOW + 86400, csi: String(NOW) });
});

test('what was written is read', () => {
  const anything = fc.record({
    scopes: fc.uniqueArray(fc.constantFrom(...SCOPES), { minLength: 1 }),
    issuedAtMs: fc.integer({ min: NOW_MS - 59 * 60_000, max: NOW_MS + 5000 }),
    lifetimeSeconds: fc.integer({ min: 3600, max: 86400 }),
    position: fc.maxSafeNat(),
    keySlot: fc.constantFrom('primary', 'secondary', undefined),
    trustId: fc.constantFrom(TRUST, undefined),
    assignmentId: fc.constantFrom(...ASSIGNMENTS, undefined),
    tokenId: fc.string({ minLength: 1, maxLength: 64 }),
    identityId: fc.constantFrom(
      IDENTITY,
      `8:gcch-acs:${RESOURCE}_a`,
      `8:dod-acs:${RESOURCE}_a`,
      `8:acs:${RESOURCE}_wf_${OTHER_RESOURCE}_${OTHER_RESOURCE}`,
      `8:orgid:${OTHER_RESOURCE}`,
    ),
  });
  fc.assert(
    fc.property(anything, (some) => {
      const { scopes, position, keySlot, trustId, assignmentId, tokenId, issuedAtMs, lifetimeSeconds } = some;
      const identityId = some.identityId as IdentityId;
      const teamsUser = identityId.startsWith('8:orgid:') ? TEAMS_USER : undefined;
      const written = writeClaims({ ...facts, ...some, identityId, teamsUser } as typeof facts);
      const payload = JSON.parse(JSON.stringify(written));
      const iatSeconds = Math.floor(issuedAtMs / 1000);
      const expSeconds = iatSeconds + lifetimeSeconds;
      assert.deepEqual(read(payload), {
        identityId,
        resourceId: RESOURCE,
        scopes,
        position,
        keySlot,
        trustId,
        assignmentId,
        expSeconds,
        iatSeconds,
        tokenId,
        issuer: ISSUER,
      });
    }),
    { seed: SEED },
  );
});

test('a Teams user’s token says what the original’s does, in its order', () => {
  const identityId = `8:orgid:${OTHER_RESOURCE}` as IdentityId;
  const written = writeClaims({ ...facts, identityId, teamsUser: TEAMS_USER, scopes: ['voip', 'chat'] });
  const { rv, ks, jti, iss, aud, sub, ...wire } = written;
  assert.deepEqual(Object.entries(wire), [
    ['skypeid', `orgid:${OTHER_RESOURCE}`],
    ['scp', 1024],
    ['csi', String(NOW - 300)],
    ['exp', NOW + 3600],
    ['rgn', 'amer'],
    ['acsScope', 'voip,chat'],
    ['resourceId', RESOURCE],
    ['tid', OTHER_RESOURCE],
    ['aad_iat', String(NOW - 300)],
    ['aad_uti', 'uti'],
    ['aad_appid', RESOURCE],
    ['iat', NOW],
  ]);
  const payload = { ...written } as Record<string, unknown>;
  assert.ok(read(payload));
  for (const wrong of [
    { scp: 1792 },
    { csi: String(NOW) },
    { aad_iat: undefined },
    { tid: undefined },
    { sub: IDENTITY, skypeid: IDENTITY.slice(2) },
  ])
    refuses({ ...payload, ...wrong }, 'token.claims');
});

test('a trust and an assignment are named in their own form only', () => {
  const good = { ...claims, tr: TRUST, as: ASSIGNMENTS[0] };
  assert.equal(read(good).trustId, TRUST);
  const bad = ['', 'x', 1, null, [TRUST], TRUST.toUpperCase(), `${TRUST} `];
  for (const tr of bad) refuses({ ...good, tr }, 'token.claims');
  for (const as of [...bad, TRUST, 'entra/', `teams/${TRUST}`, `teamsExtension/${TRUST}`])
    refuses({ ...good, as }, 'token.claims');
});

test('a token ends with the second of exp, without grace', () => {
  const lastMs = NOW_MS + 3_600_000 - 1;
  assert.ok(read(claims, lastMs));
  refuses(claims, 'token.expired', lastMs + 1);
  requireUnexpired(NOW, NOW_MS - 1);
  assert.throws(() => requireUnexpired(NOW, NOW_MS), { reason: 'token.expired' });
});

test('a token may come from a clock that is up to five seconds ahead', () => {
  assert.ok(read(claims, NOW_MS - 5000));
  refuses(claims, 'token.notYetValid', NOW_MS - 5001);
  assert.ok(read({ ...claims, nbf: NOW + 5 }));
  refuses({ ...claims, nbf: NOW + 6 }, 'token.notYetValid');
  refuses({ ...claims, nbf: NOW - 60 }, 'token.notYetValid', NOW_MS - 5001);
});

test('a token lives at most as long as this server lets it, and five seconds', () => {
  assert.ok(read({ ...claims, exp: NOW + 1440 * 60 + 5 }));
  refuses({ ...claims, exp: NOW + 1440 * 60 + 6 }, 'token.claims');
  refuses({ ...claims, exp: NOW }, 'token.claims');
});

test('a token of another server is refused', () => {
  for (const iss of ['https://localhost:7418', `${ISSUER}/`, '', 'constructor']) {
    refuses({ ...claims, iss }, 'token.issuer');
  }
});

test('claims that contradict each other are refused', () => {
  const other = IDENTITY.replace(RESOURCE, OTHER_RESOURCE);
  const contradictions = [
    { resourceId: OTHER_RESOURCE },
    { aud: OTHER_RESOURCE },
    { resourceId: OTHER_RESOURCE, aud: OTHER_RESOURCE },
    { sub: other },
    { skypeid: other.slice(2) },
    { sub: other, skypeid: other.slice(2) },
    { csi: String(NOW + 1) },
    { iat: NOW - 1 },
    { scp: 1024 },
  ];
  for (const contradiction of contradictions) refuses({ ...claims, ...contradiction }, 'token.claims');
});

const malformed: Record<string, Record<string, unknown>[]> = {
  times: [
    { exp: NOW + 60.5 },
    { exp: Number.POSITIVE_INFINITY },
    { exp: [NOW + 60] },
    { iat: NOW - 0.5, csi: String(NOW - 0.5) },
    { iat: NOW - 0.5, csi: String(NOW - 0.5), nbf: NOW },
    { iat: String(NOW), csi: String(NOW) },
    { nbf: null },
    { nbf: NOW - 0.5 },
  ],
  iss: [{ iss: [ISSUER] }, { iss: undefined }],
  resourceId: [
    // Where the identity is of Teams, nothing but the form itself can tell that it is no resource's id.
    { resourceId: 'x', aud: 'x', sub: `8:orgid:${RESOURCE}`, skypeid: `orgid:${RESOURCE}` },
    { resourceId: [RESOURCE], aud: [RESOURCE] },
  ],
  acsScope: ['', 'chat,', ',chat', 'chat, voip', 'chat,chat', 'voip,chat,voip', 'Chat', 'admin', ['chat'], null].map(
    (acsScope) => ({ acsScope }),
  ),
  rv: [-1, 1.5, '1', 2 ** 53, null, [1]].map((rv) => ({ rv })),
  ks: ['Primary', '', null, 0, ['primary'], 'toString'].map((ks) => ({ ks })),
  jti: ['', 'x'.repeat(65), 1, ['x'], null].map((jti) => ({ jti })),
};

for (const [what, changes] of Object.entries(malformed)) {
  test(`claims are of exactly the right form: ${what}`, () => {
    const believing = { ...expected, isIssuer: () => true };
    for (const change of changes) {
      const payload = { ...claims, ...change };
      assert.throws(() => readClaims(payload, believing), { reason: 'token.claims' }, JSON.stringify(change));
    }
  });
}

test('ids of no known form are refused, in whatever the claims agree', () => {
  const upper = RESOURCE.replaceAll('1', 'A');
  const ids = [
    `8:spool:${RESOURCE}_a`,
    `8:acs:${RESOURCE}`,
    `8:acs:${RESOURCE}_`,
    `8:acs:${RESOURCE}_a\n`,
    `8:acs:${RESOURCE}_a:b`,
    `8:acs:${RESOURCE}_${'a'.repeat(129)}`,
    `28:acs:${RESOURCE}_a`,
    `4:${RESOURCE}`,
    `8:orgid:${RESOURCE}_a`,
    `acs:${RESOURCE}_a`,
    '8:',
  ];
  for (const sub of ids) refuses({ ...claims, sub, skypeid: sub.slice(2) }, 'token.claims');
  const sub = `8:acs:${upper}_a`;
  refuses({ ...claims, resourceId: upper, aud: upper, sub, skypeid: sub.slice(2) }, 'token.claims');
});

test('inherited claims are none', () => {
  refuses(Object.create(claims), 'token.claims');
  for (const name of Object.keys(claims).filter((claim) => claim !== 'ks')) {
    const { [name]: value, ...rest } = claims;
    const heir = Object.assign(Object.create({ [name]: value }), rest);
    refuses(heir, 'token.claims');
  }
});

// One claim is changed at random and the token signed properly. What may then be accepted is said here a second time.

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isScopeList = (value: unknown) =>
  typeof value === 'string' &&
  /^(chat|chat\.join|chat\.join\.limited|voip|voip\.join)(,(chat|chat\.join|chat\.join\.limited|voip|voip\.join))*$/.test(
    value,
  ) &&
  !/(^|,)([^,]+),(.*,)?\2(,|$)/.test(value);
const isName = (value: unknown) => typeof value === 'string' && value.length > 0;

/** What else a claim may say while all others stay. Claims that are not named here may say nothing else. */
const mayAlsoBe: Record<string, (value: unknown) => boolean> = {
  exp: (value) => isWhole(value) && value > NOW && value <= NOW + 86400 + 5,
  nbf: (value) => value === undefined || (isWhole(value) && value <= NOW + 5),
  rgn: isName,
  resourceLocation: isName,
  acsScope: isScopeList,
  rv: isWhole,
  ks: (value) => value === undefined || value === 'primary' || value === 'secondary',
  jti: (value) => isName(value) && String(value).length <= 64,
  unknown: () => true,
};

const CLAIMS = [...Object.keys(claims), 'nbf', 'unknown'];

/** Values as JSON text, so that what JSON can say and JavaScript can't is among them. */
function mutation(claim: string): fc.Arbitrary<string | undefined> {
  const genuine = JSON.stringify(claims[claim] ?? NOW);
  const near = fc.constantFrom(
    `[${genuine}]`,
    `{"0":${genuine}}`,
    `{"toString":${genuine}}`,
    JSON.stringify(genuine),
    JSON.stringify(`${claims[claim]} `),
    JSON.stringify(String(claims[claim]).toUpperCase()),
    JSON.stringify(String(claims[claim]).replaceAll('1', '2')),
  );
  const numbers = fc.oneof(
    fc.integer({ min: NOW - 100_000, max: NOW + 100_000 }).map(String),
    fc.constantFrom(
      '0',
      '-0',
      '-1',
      '1e400',
      '-1e400',
      `${NOW}.5`,
      `${NOW + 60}.5`,
      `${NOW}e0`,
      `${NOW + 60}.0`,
      '1792',
      '1024',
    ),
    fc.constantFrom('9007199254740991', '9007199254740992', '1e300', '5e-324'),
  );
  const names = fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'primary',
    'Primary',
    '',
    'x',
  );
  const lists = fc.array(fc.constantFrom(...SCOPES, '', 'Chat', ' chat', 'admin', 'constructor'), { maxLength: 4 });
  const texts = fc.oneof(names, lists.map(String), fc.string({ maxLength: 70 })).map((text) => JSON.stringify(text));
  const removed = fc.constant(undefined);
  return fc.oneof(near, numbers, texts, removed, fc.constantFrom('null', 'true', 'false', '[]', '{}'), fc.json());
}

const mutated = fc
  .constantFrom(...CLAIMS)
  .chain((claim) => fc.tuple(fc.constant(claim), mutation(claim), fc.boolean(), fc.boolean()));

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signing = { kid: 'K', x5t: 'x', alg: 'ES256', privateKey } as const;
const key = verifyingKey('K', 'ES256', publicKey);

/** The claims as JSON text with one of them saying something else; twice over when asked, the changed one last. */
function textWith(claim: string, value: string | undefined, twice: boolean): string {
  const others = Object.entries(claims).filter(([name]) => name !== claim || (twice && value !== undefined));
  const members = others.map(([name, said]) => `${JSON.stringify(name)}:${JSON.stringify(said)}`);
  if (value !== undefined) members.push(`${JSON.stringify(claim)}:${value}`);
  return `{${members.join(',')}}`;
}

type Reader = (payload: JsonObject, nowMs?: number) => unknown;

/** Whether a token with that payload is accepted. A refusal must be one that a token may meet. */
async function accepts(payloadText: string, reader: Reader): Promise<boolean> {
  const token = await signJws(signing, payloadText);
  try {
    reader(verifyJws(token, () => key).payload);
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof ServiceError, `${thrown}`);
    assert.equal(thrown.error, 'TokenRefused');
    assert.match(thrown.reason, /^token\.(claims|expired|notYetValid|issuer)$/);
    return false;
  }
}

/** Tokens with one changed claim that a reader judged otherwise than the list above; how many it took. */
async function misjudged(reader: Reader, count: number): Promise<{ wrong: string[]; accepted: number }> {
  const wrong: string[] = [];
  let accepted = 0;
  for (const [claim, value, twice, inProto] of fc.sample(mutated, { seed: SEED, numRuns: count })) {
    const text = textWith(claim, value, twice);
    // A claim in a member called __proto__ is a claim of another object.
    const payload = inProto ? text.replace(/}$/, `,"__proto__":${JSON.stringify(claims)}}`) : text;
    const said = value === undefined ? undefined : JSON.parse(value);
    const legitimate = said === claims[claim] || (mayAlsoBe[claim]?.(said) ?? false);
    const taken = await accepts(payload, reader).catch((cause: unknown) => String(cause));
    if (taken !== legitimate) wrong.push(`seed ${SEED}, ${claim}: ${value}: ${taken}`);
    if (taken === true) accepted += 1;
  }
  return { wrong, accepted };
}

let figures: Record<string, number> = {};
const caught = new Set<string>();

test(`${COUNT} tokens with one changed claim are accepted exactly when the claim may say that`, async (t) => {
  const { wrong, accepted } = await misjudged(read, COUNT);
  figures = { claimSets: COUNT, accepted, judgedWrongly: wrong.length };
  t.diagnostic(`seed ${SEED}, ${accepted} of ${COUNT} accepted`);
  assert.deepEqual(wrong.slice(0, 10), []);
});

/** Readers with one mistake each. */
const mistaken: Record<string, Reader> = {
  'takes a number in quotes': (payload) => read({ ...payload, exp: Number(payload.exp) }),
  'does not look at the scopes': (payload) => read({ ...payload, acsScope: 'chat' }),
  'does not look at the position': (payload) => read({ ...payload, rv: 7 }),
  'does not look at the issuer': (payload) => read({ ...payload, iss: ISSUER }),
  'reads inherited members': (payload) =>
    read(Object.assign({}, Object.getPrototypeOf(payload) ?? {}, claims, payload)),
  'throws what is no refusal': (payload) => read({ ...payload, jti: (payload.jti as string).trim() }),
};

for (const [mistake, reader] of Object.entries(mistaken)) {
  test(`the changed claims find a reader that ${mistake}`, async () => {
    assert.notDeepEqual((await misjudged(reader, 1500)).wrong, []);
    caught.add(mistake);
  });
}

after(() =>
  writeResult({
    id: 'T3',
    seed: SEED,
    figures,
    passed: figures.judgedWrongly === 0,
    planted: caught.size === Object.keys(mistaken).length,
  }),
);

/** A claim that is wrong, and what the log says of it. */
const WRONG_CLAIMS: readonly (readonly [claim: string, value: unknown])[] = [
  ['iss', 1],
  ['rv', '1'],
  ['jti', ''],
  ['jti', 'x'.repeat(65)],
  ['exp', 'x'],
  ['iat', 'x'],
  ['nbf', 'x'],
  ['exp', NOW],
  ['resourceId', 1],
  ['aud', 'x'],
  ['sub', 1],
  ['sub', ['8:orgid:11111111-2222-3333-4444-555555555555']],
  ['sub', 'x'],
  ['skypeid', 'x'],
  ['scp', 1],
  ['csi', 'x'],
  ['rgn', 1],
  ['resourceLocation', ''],
  ['acsScope', 1],
  ['acsScope', 'x'],
  ['ks', 'third'],
];

for (const [claim, value] of WRONG_CLAIMS) {
  test(`a refusal names the claim that is wrong: ${claim} ${JSON.stringify(value)}`, () => {
    assert.throws(() => read({ ...claims, [claim]: value } as JsonObject), {
      reason: 'token.claims',
      detail: `the claim ${claim} is missing, malformed or contradicts another`,
    });
  });
}

test('a refusal says what is wrong with issuer and times', () => {
  const detailOf = (payload: JsonObject, nowMs?: number): string | undefined => {
    try {
      read(payload, nowMs);
    } catch (cause) {
      return (cause as ServiceError).detail;
    }
    return undefined;
  };
  assert.equal(detailOf({ ...claims, iss: 'https://x' }), 'iss does not name this server');
  assert.equal(detailOf(claims, NOW_MS + 3_600_000), 'exp is not in the future');
  assert.equal(detailOf(claims, NOW_MS - 5001), 'iat or nbf is in the future');
});

test('a life of one second and a token id of 64 characters are the edges', () => {
  assert.ok(read({ ...claims, exp: NOW + 1 }));
  refuses({ ...claims, exp: NOW }, 'token.claims');
  assert.ok(read({ ...claims, jti: 'x'.repeat(64) }));
  assert.ok(read({ ...claims, jti: 'x' }));
});
