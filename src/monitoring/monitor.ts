import type { IdentityId, ResourceId } from '../callers.ts';
import type { Scope } from '../capabilities/tables.ts';
import type { Events, RequestFacts, SocketFacts } from './events.ts';
import type { Log } from './log.ts';
import { pathText } from './path-text.ts';
import { callerText } from './safe-text.ts';
import type { ServerMetrics } from './server-metrics.ts';

/** A caller may invent versions; the log names each of this many once. */
const MOST_NEWER_VERSIONS = 32;

/** Writes the events of the server to its log and its counters. A failing log never fails a request. */
export class Monitor implements Events {
  readonly #log: Log;
  readonly #metrics: ServerMetrics;
  readonly #noteRequest: (facts: RequestFacts) => void;
  readonly #newerVersions = new Set<string>();

  /** @param noteRequest told of every answered request, too */
  constructor(log: Log, metrics: ServerMetrics, noteRequest: (facts: RequestFacts) => void = () => undefined) {
    this.#log = log;
    this.#metrics = metrics;
    this.#noteRequest = noteRequest;
    metrics.watch({ logLinesDropped: () => log.dropped });
  }

  requestAnswered(facts: RequestFacts): void {
    this.#safely(() => {
      const { operation, status, durationMs, caller, reason } = facts;
      this.#metrics.requests.add(operation, String(status), caller);
      this.#metrics.durations.observe(durationMs / 1000, operation);
      if (reason !== undefined) this.#metrics.refusals.add(reason);
      this.#log.write(status >= 500 ? 'error' : 'info', 'request', requestLine(facts));
      this.#noteRequest(facts);
    });
  }

  socketClosed(facts: SocketFacts): void {
    this.#safely(() => {
      this.#metrics.socketsClosed.add(facts.operation, String(facts.code));
      this.#log.write('info', 'socket closed', socketLine(facts));
    });
  }

  newerVersionServed(asked: string, served: string, operation: string): void {
    this.#safely(() => {
      this.#metrics.newerVersions.add();
      const version = callerText(asked);
      if (this.#newerVersions.has(version) || this.#newerVersions.size >= MOST_NEWER_VERSIONS) return;
      this.#newerVersions.add(version);
      this.#log.write('warn', 'newer api-version served as the newest known', { asked: version, served, operation });
    });
  }

  identityCreated(resourceId: ResourceId, identityId: IdentityId): void {
    this.#safely(() => {
      this.#metrics.identities.add();
      if (this.#log.keeps('debug')) this.#log.write('debug', 'identity created', { resourceId, identityId });
    });
  }

  identitiesImported(
    resourceId: ResourceId,
    { imported, unchanged, refused }: Parameters<Events['identitiesImported']>[1],
  ): void {
    this.#safely(() => {
      this.#log.write('info', 'identities imported', { resourceId, imported, unchanged, refused });
    });
  }

  tokenIssued(resourceId: ResourceId, identityId: IdentityId, scopes: readonly Scope[]): void {
    this.#safely(() => {
      for (const scope of scopes) this.#metrics.tokens.add(scope);
      if (this.#log.keeps('debug')) this.#log.write('debug', 'token issued', { resourceId, identityId, scopes });
    });
  }

  tokensEnded(kind: string, position: number, resourceId: ResourceId | undefined, subject: string | undefined): void {
    this.#safely(() => {
      this.#metrics.revocations.add(kind);
      this.#log.write('info', 'tokens ended', { kind, position, resourceId, subject });
    });
  }

  sessionEnded(kind: string, reason: string, resourceId: ResourceId, identityId: IdentityId): void {
    this.#safely(() => {
      this.#metrics.sessionsEnded.add(kind, reason);
      this.#log.write('info', 'session ended', { kind, reason, resourceId, identityId });
    });
  }

  signingKeyChanged(change: 'made' | 'activated' | 'retired' | 'gone' | 'killed', keyId: string): void {
    this.#safely(() => {
      this.#log.write(change === 'killed' ? 'warn' : 'info', `signing key ${change}`, { keyId });
    });
  }

  signingKeyUnknown(keyId: string): void {
    this.#safely(() => {
      this.#metrics.unknownKeys.add();
      this.#log.write('debug', 'signing key unknown', { keyId: callerText(keyId) });
    });
  }

  choresStarted(chores: readonly string[]): void {
    this.#safely(() => this.#metrics.showChores(chores));
  }

  choreRan(chore: string, outcome: Parameters<Events['choreRan']>[1]): void {
    this.#safely(() => {
      this.#metrics.choreRuns.add(chore);
      if ('succeededAtMs' in outcome) return this.#metrics.choreSucceeded(chore, outcome.succeededAtMs / 1000);
      this.#metrics.choreFailures.add(chore);
      this.#log.write('error', `${chore} failed`, { cause: outcome.cause });
    });
  }

  choreRanElsewhere(chore: string, succeededAtMs: number): void {
    this.#safely(() => this.#metrics.choreSucceeded(chore, succeededAtMs / 1000));
  }

  notice(level: 'info' | 'warn' | 'error' | 'fatal', message: string, facts?: Record<string, unknown>): void {
    this.#safely(() => this.#log.write(level, message, facts));
  }

  #safely(write: () => void): void {
    try {
      write();
    } catch {
      this.#metrics.monitoringFailures.add();
    }
  }
}

/** The path segment where an identity id belongs may hold anything, also a secret that somebody put there by mistake. */
const identityText = (id: string): string => (/^8:[a-z-]+:/.test(id) ? callerText(id) : '[no identity id]');

/** Field by field, so that a field added to the facts is not logged before somebody thought about it. */
const requestLine = (facts: RequestFacts): Record<string, unknown> => ({
  operation: callerText(facts.operation),
  method: callerText(facts.method),
  path: facts.path === undefined ? undefined : pathText(facts.path, facts.pathPattern),
  status: facts.status,
  durationMs: Math.round(facts.durationMs * 1000) / 1000,
  parkedMs: facts.parkedMs && Math.round(facts.parkedMs),
  clientRequestId: facts.clientRequestId && callerText(facts.clientRequestId),
  msCv: callerText(facts.msCv),
  apiVersion: facts.apiVersion && callerText(facts.apiVersion),
  caller: facts.caller,
  resourceId: facts.resourceId,
  identityId: facts.identityId && identityText(facts.identityId),
  reason: facts.reason,
  detail: facts.detail && callerText(facts.detail),
  cause: facts.status >= 500 ? facts.cause : undefined,
});

const socketLine = (facts: SocketFacts): Record<string, unknown> => ({
  operation: callerText(facts.operation),
  caller: facts.caller,
  resourceId: facts.resourceId,
  identityId: facts.identityId && identityText(facts.identityId),
  code: facts.code,
  why: facts.why && callerText(facts.why),
  openMs: Math.round(facts.durationMs),
  received: facts.received,
  sent: facts.sent,
});
