import type { IdentityId, ResourceId } from '../callers.ts';
import type { Scope } from '../capabilities/tables.ts';
import type { ErrorName, Reason } from '../errors.ts';

/** Everything about one answered request that is worth a log line. No header value that proves anything is among it. */
export interface RequestFacts {
  readonly operation: string;
  readonly method: string;
  /** As sent, without the query; undefined where no request could be read. May hold anything: see {@link pathText}. */
  readonly path: string | undefined;
  /** Of the route, as the protocol writes it: `/identities/{id}`. */
  readonly pathPattern: string | undefined;
  readonly status: number;
  /** Without the time for which it was parked. */
  readonly durationMs: number;
  /** How long it waited without a place; undefined when it did not. */
  readonly parkedMs?: number | undefined;
  readonly clientRequestId: string | undefined;
  /** Correlation vector, as sent back in `MS-CV`. */
  readonly msCv: string;
  readonly apiVersion: string | undefined;
  readonly caller: string;
  readonly resourceId: ResourceId | undefined;
  readonly identityId: IdentityId | undefined;
  readonly reason: Reason | ErrorName | undefined;
  readonly detail: string | undefined;
  /** The unexpected thing that was thrown, for a 500. */
  readonly cause: unknown;
}

/** A socket that was open. */
export interface SocketFacts {
  readonly operation: string;
  readonly caller: string;
  readonly resourceId: ResourceId | undefined;
  readonly identityId: IdentityId | undefined;
  /** Close code (RFC 6455, section 7.4.1): that of the client, or ours. */
  readonly code: number;
  /** Why this side closed it; undefined when it did not. */
  readonly why: string | undefined;
  readonly durationMs: number;
  /** Messages from the client, and to it. */
  readonly received: number;
  readonly sent: number;
}

/**
 * One method per fact worth knowing. Each writes what belongs to it of log line and counter together, and never throws.
 * Counters get only attributes with few values; identifiers go to the log.
 */
export interface Events {
  requestAnswered(facts: RequestFacts): void;
  /** A socket is closed. That it was opened, a request with status 101 has told. */
  socketClosed(facts: SocketFacts): void;
  /** A request asked for an api-version newer than all known ones. */
  newerVersionServed(asked: string, served: string, operation: string): void;
  identityCreated(resourceId: ResourceId, identityId: IdentityId): void;
  /** A request to import identities was done: how many were new, there already, or refused. */
  identitiesImported(
    resourceId: ResourceId,
    counts: { readonly imported: number; readonly unchanged: number; readonly refused: number },
  ): void;
  tokenIssued(resourceId: ResourceId, identityId: IdentityId, scopes: readonly Scope[]): void;
  /** An event that ends tokens was committed at a position of the revocation log. */
  tokensEnded(kind: string, position: number, resourceId: ResourceId | undefined, subject: string | undefined): void;
  /** Something that was open for a user was ended. @param kind such as `socket` */
  sessionEnded(kind: string, reason: Reason | ErrorName, resourceId: ResourceId, identityId: IdentityId): void;
  signingKeyChanged(change: 'made' | 'activated' | 'retired' | 'gone' | 'killed', keyId: string): void;
  /** A token named a signing key that this node does not know, even after it looked again. */
  signingKeyUnknown(keyId: string): void;
  /** The server runs these chores after this. */
  choresStarted(chores: readonly string[]): void;
  /** A run of a chore ended on this node: it succeeded at an instant, or failed. */
  choreRan(chore: string, outcome: { readonly succeededAtMs: number } | { readonly cause: unknown }): void;
  /** Another node has the lease of a chore, or had it; its last run that succeeded. */
  choreRanElsewhere(chore: string, succeededAtMs: number): void;
  /** Something about the server itself: started, stopped, a warning. */
  notice(level: 'info' | 'warn' | 'error' | 'fatal', message: string, facts?: Record<string, unknown>): void;
}
