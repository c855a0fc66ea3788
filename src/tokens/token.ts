import { isScope } from '../capabilities/capabilities.ts';
import type { Scope } from '../capabilities/tables.ts';
import { ServiceError } from '../errors.ts';
import { echo } from '../lib/echo.ts';

/** Bounds of a token's life, in minutes. */
export interface Lifetimes {
  readonly shortest: number;
  readonly longest: number;
  /** When the caller asks for none. */
  readonly usual: number;
}

/** What a caller asks of a token, after the rules have been checked. */
export interface TokenWish {
  readonly scopes: readonly Scope[];
  readonly minutes: number;
}

export interface IssuedToken {
  readonly jwt: string;
  /** The instant of the claim `exp`. */
  readonly expiresOnMs: number;
}

/** Scopes that came with `2023-10-01`; earlier callers know only the two others. */
const LATER_SCOPES: ReadonlySet<Scope> = new Set(['chat.join', 'chat.join.limited', 'voip.join']);

/**
 * Checks a lifetime. Also asked for when no token is: the original refuses a bad one on every create.
 * @throws ServiceError `LifetimeOutOfRange`
 */
export function lifetime(minutes: number | null | undefined, { shortest, longest, usual }: Lifetimes): number {
  if (minutes === undefined || minutes === null) return usual;
  if (minutes < shortest || minutes > longest) {
    throw new ServiceError('LifetimeOutOfRange', { values: { minutes, shortest, longest } });
  }
  return minutes;
}

/**
 * Checks scopes; repeats are dropped, the order stays, since clients compare what they get with what they asked for.
 * @param known what the api-version knows
 * @throws ServiceError `ScopesMissing`, `ScopeUnknown`
 */
export function scopeList(scopes: readonly string[], known: 'all' | 'first'): Scope[] {
  if (scopes.length === 0) throw new ServiceError('ScopesMissing');
  const checked = scopes.map((scope) => {
    if (!isScope(scope) || (known === 'first' && LATER_SCOPES.has(scope))) {
      throw new ServiceError('ScopeUnknown', { values: { scope: echo(scope) } });
    }
    return scope;
  });
  return [...new Set(checked)];
}
