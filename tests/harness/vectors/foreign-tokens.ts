import { constants, createHmac, sign } from 'node:crypto';
import type { Reason } from '../../../src/errors.ts';
import type { Purpose } from '../../../src/trusts/trust.ts';
import { APPLICATION, KEYS, type KeyName, kidOf, type Provider, SECOND_TENANT, TENANT } from '../provider.ts';

export const USER = '0f5e2b1c-7a9d-4f2e-8c3b-6d1a9e4f7b20';
/** Neither the tenant nor the application nor the user of anything. */
export const UNKNOWN_ID = 'deadbeef-0000-4000-8000-000000000000';

/** A token about to be signed. Tests change one thing of it. */
export interface Draft {
  header: Record<string, unknown>;
  claims: Record<string, unknown>;
  /** In place of the header or the claims as JSON. */
  headerText?: string | Buffer;
  claimsText?: string | Buffer;
  key: KeyName;
  /** Overrides what the header's alg says is done. */
  signature?: (input: string) => string;
  /** Changes the finished text. */
  edit: (jwt: string) => string;
}

/** Claims by purpose: a user's, or for the planes an application's. */
const CLAIMS: Record<Purpose, object> = {
  service: { aud: 'https://communication.azure.com/', idtyp: 'app' },
  management: { aud: 'https://management.azure.com/', idtyp: 'app' },
  teamsUser: { aud: 'https://auth.msft.communication.azure.com', scp: 'Teams.ManageCalls Teams.ManageChats' },
  teamsExtension: { aud: 'https://auth.msft.communication.azure.com', scp: 'TeamsExtension.ManageCalls' },
  entraUser: { aud: 'https://communication.azure.com/clients', scp: 'Chat VoIP' },
};

/** A good token in the shape of Entra's version 2, as the trust of {@link Provider.wish} accepts it. */
export function goodDraft(provider: Provider, purpose: Purpose, nowMs: number): Draft {
  const now = Math.floor(nowMs / 1000);
  return {
    header: { typ: 'JWT', alg: 'RS256', kid: kidOf(provider.signing) },
    claims: {
      iss: provider.issuer(),
      iat: now - 60,
      nbf: now - 60,
      exp: now + 3600,
      azp: APPLICATION,
      azpacr: '1',
      oid: USER,
      sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ',
      tid: TENANT,
      uti: 'fqiBqXLPj0eQa82S-IYFAA',
      ver: '2.0',
      ...CLAIMS[purpose],
    },
    key: provider.signing,
    edit: (jwt) => jwt,
  };
}

/** Signs a draft, whatever is wrong with it. */
export function signed(draft: Draft): string {
  const part = (text: string | Buffer) => Buffer.from(text).toString('base64url');
  const header = part(draft.headerText ?? JSON.stringify(draft.header));
  const input = `${header}.${part(draft.claimsText ?? JSON.stringify(draft.claims))}`;
  const signature = draft.signature ? draft.signature(input) : signatureOf(draft, input);
  return draft.edit(`${input}.${signature}`);
}

function signatureOf({ header, key }: Draft, input: string): string {
  const { privateKey } = KEYS[key];
  const alg = String(header.alg);
  const hash = /384/.test(alg) ? 'sha384' : /512/.test(alg) ? 'sha512' : 'sha256';
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  const options = alg.startsWith('PS') ? pss : ({ dsaEncoding: 'ieee-p1363' } as const);
  return sign(hash, Buffer.from(input), { key: privateKey, ...options }).toString('base64url');
}

interface TokenContext {
  provider: Provider;
  nowMs: number;
  /** Origin of the server that the token is presented to, without a slash at the end. */
  endpoint: string;
}

/** The token of a vector. */
export function tokenOf({ purpose, change }: GoodToken, { provider, nowMs, endpoint }: TokenContext): string {
  const draft = goodDraft(provider, purpose, nowMs);
  change(draft, { provider, now: Math.floor(nowMs / 1000), endpoint });
  return signed(draft);
}

type Change = (draft: Draft, facts: { provider: Provider; now: number; endpoint: string }) => void;

/** A token that is accepted. */
export interface GoodToken {
  readonly name: string;
  readonly purpose: Purpose;
  readonly change: Change;
}

/** A token that is wrong in exactly one way, and the reason that is given; the status is 401. */
export interface WrongToken extends GoodToken {
  readonly reason: Reason;
}

const claims =
  (change: object): Change =>
  (draft) =>
    Object.assign(draft.claims, change);
const header =
  (change: object): Change =>
  (draft) =>
    Object.assign(draft.header, change);
const without =
  (...names: string[]): Change =>
  (draft) => {
    for (const name of names) delete draft.claims[name];
  };
const edit =
  (change: (jwt: string) => string): Change =>
  (draft) => {
    draft.edit = change;
  };
const times =
  (change: (now: number) => object): Change =>
  (draft, { now }) =>
    Object.assign(draft.claims, change(now));
const issuer =
  (change: (provider: Provider) => unknown): Change =>
  (draft, { provider }) => {
    draft.claims.iss = change(provider);
  };
/** A claim in the prototype of the parsed object, were it assigned to one. */
const inPrototype = (name: string): Change => {
  return (draft) => {
    const { [name]: value, ...others } = draft.claims;
    draft.claimsText = `{"__proto__":${JSON.stringify({ [name]: value })},${JSON.stringify(others).slice(1)}`;
  };
};

// biome-ignore format: a table
const GOOD: readonly (readonly [name: string, purpose: Purpose, change: Change])[] = [
  ['an application at the data plane', 'service', () => undefined],
  ['an application at the management plane', 'management', () => undefined],
  ['a user for Teams', 'teamsUser', () => undefined],
  ['a user of a Teams extension', 'teamsExtension', () => undefined],
  ['a user of Entra', 'entraUser', () => undefined],
  ['a user at the data plane', 'service', (draft) => { draft.claims.scp = 'user_impersonation'; draft.claims.idtyp = 'user'; }],
  ['the shape of Entra version 1', 'teamsUser', (draft, { provider }) => {
    delete draft.claims.azp;
    Object.assign(draft.claims, { iss: provider.issuerOfVersion1(), appid: APPLICATION, appidacr: '1', ver: '1.0', pft: 'x' });
    Object.assign(draft.header, { x5t: 'main' });
  }],
  ['azp and appid that agree', 'teamsUser', claims({ appid: APPLICATION })],
  ['another tenant of the trust', 'teamsUser', (draft, { provider }) => Object.assign(draft.claims, { iss: provider.issuer(SECOND_TENANT), tid: SECOND_TENANT })],
  ['ids in upper case', 'teamsUser', claims({ tid: TENANT.toUpperCase(), oid: USER.toUpperCase(), azp: APPLICATION.toUpperCase() })],
  ['an audience without its slash', 'service', claims({ aud: 'https://communication.azure.com' })],
  ['an audience with a slash more', 'entraUser', claims({ aud: 'https://communication.azure.com/clients/' })],
  ['an audience that is an application id', 'service', claims({ aud: '1fd5118e-2576-4263-8130-9503064c837a' })],
  ['a list of one audience', 'service', claims({ aud: ['https://communication.azure.com/'] })],
  ['a list of audiences with ours in it', 'service', claims({ aud: ['account', 'https://communication.azure.com'] })],
  ['the audience of the American cloud', 'teamsUser', claims({ aud: 'https://auth.msft.communication.azure.us' })],
  ['this server as the audience', 'management', (draft, { endpoint }) => { draft.claims.aud = endpoint; }],
  ['no typ', 'service', (draft) => { delete draft.header.typ; }],
  ['the typ of RFC 9068', 'service', header({ typ: 'at+jwt' })],
  ['members of the header that nobody knows', 'service', header({ x5t: 'x', nonce: 'x', new: [1] })],
  ['no nbf', 'service', without('nbf')],
  ['a clock that is five minutes ahead', 'service', times((now) => ({ iat: now + 300, nbf: now + 300 }))],
  ['the last second of its life', 'service', times((now) => ({ exp: now + 1 }))],
  ['scopes in a list', 'teamsUser', claims({ scp: ['Teams.ManageCalls'] })],
  ['roles and groups', 'service', claims({ roles: ['Contributor'], groups: ['a', 'b'] })],
  ['no idtyp', 'service', without('idtyp')],
  ['ES256', 'service', (draft) => { draft.key = 'ec'; Object.assign(draft.header, { alg: 'ES256', kid: kidOf('ec') }); }],
  ['two hundred groups', 'service', claims({ groups: Array.from({ length: 200 }, (_, n) => `${n}`.padStart(36, 'x')) })],
];

// biome-ignore format: a table
const WRONG: readonly (readonly [name: string, purpose: Purpose, reason: Reason, change: Change])[] = [
  // Form.
  ['nothing', 'service', 'foreign.malformed', edit(() => '')],
  ['two parts', 'service', 'foreign.malformed', edit((jwt) => jwt.split('.').slice(0, 2).join('.'))],
  ['four parts', 'service', 'foreign.malformed', edit((jwt) => `${jwt}.`)],
  ['five parts', 'service', 'foreign.malformed', edit((jwt) => `${jwt}.AA.AA`)],
  ['padding', 'service', 'foreign.malformed', edit((jwt) => `${jwt}==`)],
  ['a line break at its end', 'service', 'foreign.malformed', edit((jwt) => `${jwt}\n`)],
  ['a blank inside', 'service', 'foreign.malformed', edit((jwt) => jwt.replace('.', '. '))],
  ['stray bits at its end', 'service', 'foreign.malformed', edit((jwt) => jwt.slice(0, -1) + String.fromCharCode(jwt.charCodeAt(jwt.length - 1) + 1))],
  ['more than 16 KiB', 'service', 'foreign.malformed', claims({ filler: 'x'.repeat(12_500) })],
  ['a header that is a list', 'service', 'foreign.malformed', (draft) => { draft.headerText = JSON.stringify([draft.header]); }],
  ['a header that is no JSON', 'service', 'foreign.malformed', (draft) => { draft.headerText = `${JSON.stringify(draft.header)},`; }],
  ['no alg', 'service', 'foreign.malformed', header({ alg: undefined })],
  ['no kid', 'service', 'foreign.malformed', header({ kid: undefined })],
  ['a kid in a list', 'service', 'foreign.malformed', header({ kid: ['MAIN'] })],
  ['another typ', 'service', 'foreign.malformed', header({ typ: 'dpop+jwt' })],
  ['a typ of null', 'service', 'foreign.malformed', header({ typ: null })],
  ['jwk', 'service', 'foreign.malformed', header({ jwk: KEYS.main.publicKey.export({ format: 'jwk' }) })],
  ['jku', 'service', 'foreign.malformed', header({ jku: 'https://attacker.example/keys' })],
  ['x5u', 'service', 'foreign.malformed', header({ x5u: 'https://attacker.example/certificate' })],
  ['x5c', 'service', 'foreign.malformed', header({ x5c: ['MIIC'] })],
  ['crit', 'service', 'foreign.malformed', header({ crit: ['exp'], exp: 1 })],
  ['b64', 'service', 'foreign.malformed', header({ b64: true })],
  ['zip', 'service', 'foreign.malformed', header({ zip: 'DEF' })],
  ['claims that are a list', 'service', 'foreign.malformed', (draft) => { draft.claimsText = JSON.stringify([draft.claims]); }],
  ['claims that are null', 'service', 'foreign.malformed', (draft) => { draft.claimsText = 'null'; }],
  ['claims with a byte order mark', 'service', 'foreign.malformed', (draft) => { draft.claimsText = `\ufeff${JSON.stringify(draft.claims)}`; }],
  ['claims that are not UTF-8', 'service', 'foreign.malformed', (draft) => { draft.claimsText = Buffer.from(JSON.stringify({ ...draft.claims, x: 'ÿ' }), 'latin1'); }],

  // Algorithm.
  ['none', 'service', 'foreign.algorithm', (draft) => { draft.header.alg = 'none'; draft.signature = () => ''; }],
  ['HMAC with the public key', 'service', 'foreign.algorithm', (draft) => {
    draft.header.alg = 'HS256';
    const secret = KEYS.main.publicKey.export({ type: 'spki', format: 'pem' });
    draft.signature = (input) => createHmac('sha256', secret).update(input).digest('base64url');
  }],
  ['RS512', 'service', 'foreign.algorithm', header({ alg: 'RS512' })],
  ['PS256', 'service', 'foreign.algorithm', header({ alg: 'PS256' })],
  ['an algorithm in lower case', 'service', 'foreign.algorithm', header({ alg: 'rs256' })],
  ['ES256 by the key of RS256', 'service', 'foreign.algorithm', (draft) => { draft.header.alg = 'ES256'; draft.key = 'ec'; }],
  ['RS256 by the key of ES256', 'service', 'foreign.algorithm', header({ kid: kidOf('ec') })],

  // Key.
  ['a key that nobody has', 'service', 'foreign.keyUnknown', header({ kid: 'other' })],
  ['a kid in lower case', 'service', 'foreign.keyUnknown', header({ kid: 'main' })],
  ['a kid that every object has', 'service', 'foreign.keyUnknown', header({ kid: '__proto__' })],
  ['an empty kid', 'service', 'foreign.keyUnknown', header({ kid: '' })],
  ['the kid undefined', 'service', 'foreign.keyUnknown', header({ kid: 'undefined' })],
  ['a key for encryption', 'service', 'foreign.keyUnknown', header({ kid: 'encryption' })],
  ['a key for wrapping', 'service', 'foreign.keyUnknown', header({ kid: 'wrapping' })],
  ['a key for an algorithm that is not allowed', 'service', 'foreign.keyUnknown', header({ kid: 'rs512' })],
  ['a key of 1024 bits', 'service', 'foreign.keyUnknown', (draft) => { draft.header.kid = kidOf('weak'); draft.key = 'weak'; }],
  ['a key of exponent 3', 'service', 'foreign.keyUnknown', (draft) => { draft.header.kid = kidOf('cube'); draft.key = 'cube'; }],

  // Signature.
  ['a signature by a key that is not published', 'service', 'foreign.signature', (draft) => { draft.key = 'unpublished'; }],
  ['no signature', 'service', 'foreign.signature', (draft) => { draft.signature = () => ''; }],
  ['a signature that is cut', 'service', 'foreign.signature', edit((jwt) => jwt.slice(0, -2))],
  ['claims changed after signing', 'service', 'foreign.signature', edit((jwt) => {
    const [head, body = '', signature] = jwt.split('.');
    const changed = { ...JSON.parse(Buffer.from(body, 'base64url').toString()), roles: ['Owner'] };
    return `${head}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}.${signature}`;
  })],
  ['a header changed after signing', 'service', 'foreign.signature', edit((jwt) => {
    const [head = '', ...rest] = jwt.split('.');
    const changed = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), x: 1 };
    return [Buffer.from(JSON.stringify(changed)).toString('base64url'), ...rest].join('.');
  })],

  // Issuer.
  ['another issuer', 'service', 'foreign.issuer', issuer(() => 'https://attacker.example/v2.0')],
  ['no issuer', 'service', 'foreign.issuer', without('iss')],
  ['an issuer in a list', 'service', 'foreign.issuer', issuer((provider) => [provider.issuer()])],
  ['an issuer in the prototype', 'service', 'foreign.issuer', inPrototype('iss')],
  ['an issuer with a slash more', 'service', 'foreign.issuer', issuer((provider) => `${provider.issuer()}/`)],
  ['an issuer in upper case', 'service', 'foreign.issuer', issuer((provider) => provider.issuer().toUpperCase())],
  ['an issuer that begins like ours', 'service', 'foreign.issuer', issuer((provider) => `${provider.issuer()}.attacker.example`)],
  ['the issuer of a tenant that is not named', 'service', 'foreign.issuer', issuer((provider) => provider.issuer(UNKNOWN_ID))],
  ['the issuer as configured, placeholder and all', 'service', 'foreign.issuer', issuer((provider) => provider.issuer('{tenantId}'))],
  ['the issuer with a tenant and more in its place', 'service', 'foreign.issuer', issuer((provider) => provider.issuer(`${TENANT}/x`))],

  // Audience.
  ['another audience', 'service', 'foreign.audience', claims({ aud: 'https://graph.microsoft.com/' })],
  ['an audience of another purpose', 'service', 'foreign.audience', claims({ aud: 'https://management.azure.com/' })],
  ['a user’s audience at the data plane', 'service', 'foreign.audience', claims({ aud: 'https://communication.azure.com/clients' })],
  ['a service’s audience for a user', 'entraUser', 'foreign.audience', claims({ aud: 'https://communication.azure.com/' })],
  ['another server as the audience', 'management', 'foreign.audience', claims({ aud: 'https://localhost.example/' })],
  ['an audience with two slashes', 'service', 'foreign.audience', claims({ aud: 'https://communication.azure.com//' })],
  ['an audience in upper case', 'service', 'foreign.audience', claims({ aud: 'https://COMMUNICATION.azure.com/' })],
  ['an audience that begins like ours', 'service', 'foreign.audience', claims({ aud: 'https://communication.azure.com.attacker.example/' })],
  ['audiences without ours', 'service', 'foreign.audience', claims({ aud: ['account', 'https://graph.microsoft.com'] })],
  ['no audiences in the list', 'service', 'foreign.audience', claims({ aud: [] })],
  ['no audience', 'service', 'foreign.claims', without('aud')],
  ['an audience in the prototype', 'service', 'foreign.claims', inPrototype('aud')],
  ['an audience that is a number', 'service', 'foreign.claims', claims({ aud: 7 })],
  ['audiences of which one is no text', 'service', 'foreign.claims', claims({ aud: ['https://communication.azure.com/', 7] })],

  // Tenant.
  ['another tenant', 'service', 'foreign.tenant', claims({ tid: UNKNOWN_ID })],
  ['another tenant, for a user', 'teamsUser', 'foreign.tenant', claims({ tid: UNKNOWN_ID })],
  ['a tenant that is no GUID', 'service', 'foreign.tenant', claims({ tid: 'contoso.example' })],
  ['a tenant of the trust that is not the issuer’s', 'service', 'foreign.claims', claims({ tid: SECOND_TENANT })],
  ['no tenant', 'service', 'foreign.claims', without('tid')],
  ['a tenant in a list', 'service', 'foreign.claims', claims({ tid: [TENANT] })],

  // Times.
  ['an hour past its end', 'service', 'foreign.expired', times((now) => ({ iat: now - 7200, nbf: now - 7200, exp: now - 3600 }))],
  ['the second of its end', 'service', 'foreign.expired', times((now) => ({ exp: now }))],
  ['no end', 'service', 'foreign.claims', without('exp')],
  ['an end that is text', 'service', 'foreign.claims', times((now) => ({ exp: String(now + 3600) }))],
  ['an end that is null', 'service', 'foreign.claims', claims({ exp: null })],
  ['an end between two seconds', 'service', 'foreign.claims', times((now) => ({ exp: now + 3600.5 }))],
  ['an end that is no date', 'service', 'foreign.claims', claims({ exp: 1e300 })],
  ['an end before its beginning', 'service', 'foreign.claims', times((now) => ({ iat: now + 60, exp: now + 30 }))],
  ['valid in 301 seconds', 'service', 'foreign.notYetValid', times((now) => ({ nbf: now + 301 }))],
  ['issued in 301 seconds', 'service', 'foreign.notYetValid', times((now) => ({ iat: now + 301 }))],
  ['a beginning that is text', 'service', 'foreign.claims', claims({ nbf: '0' })],
  ['no time of issue', 'service', 'foreign.claims', without('iat')],
  ['a time of issue that is text', 'service', 'foreign.claims', claims({ iat: '0' })],

  // Who.
  ['no object id', 'service', 'foreign.claims', without('oid')],
  ['an object id that is a number', 'service', 'foreign.claims', claims({ oid: 7 })],
  ['an empty object id', 'service', 'foreign.claims', claims({ oid: '' })],
  ['an object id in the prototype', 'service', 'foreign.claims', inPrototype('oid')],
  ['an object id that is no GUID, for a user', 'teamsUser', 'foreign.claims', claims({ oid: 'somebody' })],
  ['azp and appid that differ', 'service', 'foreign.claims', claims({ appid: UNKNOWN_ID })],
  ['an application that is a number', 'service', 'foreign.claims', claims({ azp: 7 })],
  ['no application, for a user', 'teamsUser', 'foreign.claims', without('azp')],
  ['another application, for a Teams user', 'teamsUser', 'foreign.application', claims({ azp: UNKNOWN_ID })],
  ['another application, for a Teams extension', 'teamsExtension', 'foreign.application', claims({ azp: UNKNOWN_ID })],
  ['another application, for an Entra user', 'entraUser', 'foreign.application', claims({ azp: UNKNOWN_ID })],
  ['a subject that is a number', 'service', 'foreign.claims', claims({ sub: 7 })],

  // What for.
  ['scopes that are a number', 'teamsUser', 'foreign.claims', claims({ scp: 1792 })],
  ['scopes of which one is no text', 'teamsUser', 'foreign.claims', claims({ scp: ['Teams.ManageCalls', 7] })],
  ['roles that are text', 'service', 'foreign.claims', claims({ roles: 'Contributor' })],
  ['groups that are text', 'service', 'foreign.claims', claims({ groups: 'a' })],
  ['an application’s token with scopes', 'service', 'foreign.claims', claims({ scp: 'user_impersonation' })],
  ['an application’s token, for a Teams user', 'teamsUser', 'foreign.kind', without('scp')],
  ['an application’s token, for a Teams extension', 'teamsExtension', 'foreign.kind', without('scp')],
  ['an application’s token, for an Entra user', 'entraUser', 'foreign.kind', without('scp')],
  ['an ID token, by its nonce', 'entraUser', 'foreign.kind', claims({ nonce: 'x' })],
  ['an ID token, by at_hash', 'entraUser', 'foreign.kind', claims({ at_hash: 'x' })],
  ['an ID token, by c_hash', 'entraUser', 'foreign.kind', claims({ c_hash: 'x' })],
  ['an ID token, by its own word', 'entraUser', 'foreign.kind', claims({ typ: 'ID' })],
  ['a refresh token', 'entraUser', 'foreign.kind', claims({ typ: 'Refresh' })],
  ['a token bound to a key', 'service', 'foreign.kind', claims({ cnf: { jkt: 'x' } })],
];

export const GOOD_TOKENS: readonly GoodToken[] = GOOD.map(([name, purpose, change]) => ({ name, purpose, change }));

export const WRONG_TOKENS: readonly WrongToken[] = WRONG.map(([name, purpose, reason, change]) => ({
  name,
  purpose,
  reason,
  change,
}));
