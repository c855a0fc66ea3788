import { hash } from 'node:crypto';
import type { AssignmentId, IdentityId, ResourceId, TrustId } from '../../src/callers.ts';
import type { RevocationEvent } from '../../src/revocation/event.ts';

/** What a long log is made of, twenty events at a time; `rising` are bounds of one identity, each higher than the last. */
const MIX = [
  ...['identity', 'validFrom', 'identity', 'assignment', 'identity', 'identityDeleted', 'identity', 'rising'],
  ...['identity', 'few', 'identity', 'validFrom', 'identity', 'assignment', 'identity', 'identity', 'identity'],
  ...['identity', 'identity', 'identity'],
] as const;
const FEW = ['key', 'trust', 'resource', 'signingKey'] as const;
const FEW_SUBJECTS = 100;

/** A GUID that a number stands for. */
export function guidOf(text: string): string {
  const hex = hash('sha1', text);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface Mixed {
  readonly resourceId: ResourceId;
  /** The identity of an event. */
  readonly identity: (n: number) => IdentityId;
  /** Bounds rise from here on, milliseconds since 1970. */
  readonly firstBoundMs: number;
}

/**
 * Event `n` of a long log: every kind but the end of everything. Of twenty, thirteen revoke an identity of their own and one
 * deletes it, two bind one, two end an assignment, one raises the bound of an identity that has it raised all the time, and
 * one is about a hundred access keys, trusts, other resources and signing keys.
 */
export function mixedEvent(n: number, { resourceId, identity, firstBoundMs }: Mixed): RevocationEvent {
  const what = MIX[n % MIX.length] ?? 'identity';
  switch (what) {
    case 'identity':
    case 'identityDeleted':
      return { kind: what, resourceId, identityId: identity(n) };
    case 'validFrom':
      return { kind: 'validFrom', resourceId, identityId: identity(n), validFromMs: firstBoundMs + n };
    case 'rising':
      return { kind: 'validFrom', resourceId, identityId: risingIdentity(resourceId), validFromMs: firstBoundMs + n };
    case 'assignment':
      return { kind: 'assignment', resourceId, assignmentId: `entra/${guidOf(`assignment ${n}`)}` as AssignmentId };
    case 'few':
      return oneOfFew(Math.floor(n / MIX.length));
  }
}

/** Whether memory holds an entry for event `n` alone. */
export const isAboutOne = (n: number): boolean => !['rising', 'few'].includes(MIX[n % MIX.length] ?? '');

export const risingIdentity = (resourceId: ResourceId): IdentityId => `8:acs:${resourceId}_rising` as IdentityId;

function oneOfFew(n: number): RevocationEvent {
  const kind = FEW[n % FEW.length] ?? 'key';
  const subject = guidOf(`${kind} ${Math.floor(n / FEW.length) % FEW_SUBJECTS}`);
  switch (kind) {
    case 'key':
      return { kind, resourceId: subject as ResourceId, slot: 'primary' };
    case 'trust':
      return { kind, trustId: subject as TrustId };
    case 'resource':
      return { kind, resourceId: subject as ResourceId };
    case 'signingKey':
      return { kind, kid: subject };
  }
}
