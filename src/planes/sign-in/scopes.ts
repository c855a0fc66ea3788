import { ServiceError } from '../../errors.ts';
import { echo } from '../../lib/echo.ts';
import { type Audience, audiencesAt } from './directory.ts';

/** What a token is asked for, after the rules have been checked. */
export interface Grant {
  readonly aud: string;
  /** For users; none for applications. */
  readonly permissions: readonly string[];
  /** The granted scopes as they were spelt, for the answer. */
  readonly scope: string;
  /** Whether who signed in is to be told too (OpenID Connect Core, section 3.1.2.1). */
  readonly openid: boolean;
  /** Whether the client wants to come back without the user. */
  readonly offline: boolean;
}

const DEFAULT = '/.default';
/** About the user, not about an audience. */
const OPENID_SCOPES = ['openid', 'profile', 'email', 'offline_access'];
const LONGEST = 2048;

/**
 * Finds an audience by its address, with a slash at the end or without.
 * @throws ServiceError `AudienceUnknown`
 */
export function audienceOf(address: string, origin: string): Audience {
  const known = audiencesAt(origin);
  const found = known.find(({ aud }) => bare(aud) === bare(address));
  if (!found) {
    const values = { resource: echo(address), known: known.map(({ aud }) => aud).join(', ') };
    throw new ServiceError('AudienceUnknown', { values });
  }
  return found;
}

const bare = (address: string): string => address.replace(/\/$/, '').toLowerCase();

/**
 * Reads the scopes that an application asks for: one, `<audience>/.default`. MSAL for Java sends those of a user along.
 * @throws ServiceError `GrantScopeRefused`, `AudienceUnknown`
 */
export function applicationGrant(text: string, origin: string): Grant {
  const [scope = '', ...more] = scopesIn(text).filter(isOfAudience);
  if (!scope.endsWith(DEFAULT) || more.length > 0)
    throw refused(text, `an application must ask for exactly one scope, <resource>${DEFAULT}`);
  const { aud } = audienceOf(scope.slice(0, -DEFAULT.length), origin);
  return { aud, permissions: [], scope, openid: false, offline: false };
}

/**
 * Reads the scopes that are asked for a user: permissions `<audience>/<permission>` of one audience, or all of them,
 * `<audience>/.default`.
 * @throws ServiceError `GrantScopeRefused`, `AudienceUnknown`
 */
export function userGrant(text: string, origin: string): Grant {
  const asked = scopesIn(text);
  const parts = asked.filter(isOfAudience).map((scope) => partsOf(scope, origin));
  const [first] = parts;
  if (!first) throw refused(text, 'it names no audience');
  if (parts.some(({ audience }) => audience.aud !== first.audience.aud))
    throw refused(text, 'a token can have only one audience');
  const permissions = [...new Set(parts.flatMap(({ permissions }) => permissions))];
  const spelt = permissions.map((permission) => `${first.audience.aud.replace(/\/$/, '')}/${permission}`);
  return {
    aud: first.audience.aud,
    permissions,
    // Clients look in their cache for the very scopes that they asked for.
    scope: [...new Set([...asked, ...spelt])].join(' '),
    openid: asked.includes('openid'),
    offline: asked.includes('offline_access'),
  };
}

function scopesIn(text: string): string[] {
  if (text.length > LONGEST) throw refused(text, 'it is too long');
  return text.split(' ').filter(Boolean);
}

const isOfAudience = (scope: string): boolean => !OPENID_SCOPES.includes(scope);

function partsOf(scope: string, origin: string): { audience: Audience; permissions: readonly string[] } {
  const end = scope.lastIndexOf('/');
  const audience = audienceOf(scope.slice(0, Math.max(end, 0)), origin);
  if (scope.endsWith(DEFAULT)) return { audience, permissions: audience.permissions };
  const wanted = scope.slice(end + 1).toLowerCase();
  const permission = audience.permissions.find((known) => known.toLowerCase() === wanted);
  if (permission === undefined) throw refused(scope, `${audience.aud} has ${audience.permissions.join(', ')}`);
  return { audience, permissions: [permission] };
}

const refused = (scope: string, why: string): ServiceError =>
  new ServiceError('GrantScopeRefused', { values: { scope: echo(scope), why } });
