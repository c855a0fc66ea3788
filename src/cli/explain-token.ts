import { CAPABILITIES, grantOf, isScope } from '../capabilities/capabilities.ts';
import { fromBase64url } from '../lib/bytes.ts';
import { CommandError } from './exit.ts';

/** What a server says of a token (RFC 7662), with the reason that only its operator is told. */
export interface Introspection {
  readonly active: boolean;
  readonly inactive_reason?: string;
  readonly sub?: string;
  readonly scope?: string;
  readonly exp?: number;
}

export type ServerAnswer =
  | { readonly asked: 'operator' | 'resource'; readonly answer: Introspection }
  | { readonly asked: 'nobody'; readonly problem: string };

type Members = Readonly<Record<string, unknown>>;

/** What there is to know about a token, without the one part of it that makes it worth stealing. */
export interface Explanation {
  readonly header: Members;
  readonly claims: Members;
  readonly issuedAt: string | null;
  readonly expiresOn: string | null;
  readonly expired: boolean | null;
  /** Scope → capabilities; those that a role in a room decides about are marked. */
  readonly permits: Readonly<Record<string, readonly string[]>>;
  readonly server: {
    /** Null: nobody could be asked. */
    readonly active: boolean | null;
    readonly asked: ServerAnswer['asked'];
    readonly reason?: string;
    readonly problem?: string;
  };
}

/**
 * Explains a token. Nothing here is verified: that is for the server to say.
 * @throws CommandError when the text is no token
 */
export function explainToken(jwt: string, said: ServerAnswer, nowMs: number): Explanation {
  const [header, claims, signature, ...more] = jwt.split('.');
  if (signature === undefined || more.length > 0)
    throw new CommandError('not a token: expected three parts separated by dots');
  const read = { header: membersOf(header, 'header'), claims: membersOf(claims, 'payload') };
  const { exp, iat, acsScope } = read.claims;
  const scopes = typeof acsScope === 'string' ? acsScope.split(',') : [];
  return {
    ...read,
    issuedAt: instant(iat),
    expiresOn: instant(exp),
    expired: typeof exp === 'number' ? exp * 1000 <= nowMs : null,
    permits: Object.fromEntries(scopes.map((scope) => [scope, permittedBy(scope)])),
    server: serverPart(said),
  };
}

function serverPart(said: ServerAnswer): Explanation['server'] {
  if (said.asked === 'nobody') return { active: null, asked: 'nobody', problem: said.problem };
  const { active, inactive_reason: reason } = said.answer;
  return { active, asked: said.asked, ...(reason !== undefined && { reason }) };
}

function membersOf(part: string | undefined, name: string): Members {
  try {
    const members: unknown = JSON.parse(fromBase64url(part ?? '')?.toString('utf8') ?? '');
    if (typeof members === 'object' && members !== null && !Array.isArray(members)) return members as Members;
  } catch {
    // said below
  }
  throw new CommandError(`not a token: its ${name} is not a JSON object in base64url`);
}

const permittedBy = (scope: string): string[] =>
  isScope(scope)
    ? CAPABILITIES.flatMap((capability) => {
        const grant = grantOf(scope, capability);
        return grant === 'denied' ? [] : [grant === 'byRole' ? `${capability} (by role)` : capability];
      })
    : [];

/** Seconds since 1970 in words; what is no such number is left to the claims. */
function instant(seconds: unknown): string | null {
  const at = new Date(typeof seconds === 'number' ? seconds * 1000 : Number.NaN);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}
