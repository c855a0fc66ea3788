import { hash, timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller, IdentityId, ProvenUser, ResourceId, UserCaller } from '../callers.ts';
import { requireCapability } from '../capabilities/capabilities.ts';
import { type ErrorName, ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/random.ts';
import { waitForTimeSlice } from '../lib/time-slice.ts';
import type { Events } from '../monitoring/events.ts';
import { type Admission, type BodyAccount, holderOf, type Lane, placesFor, refusalDelayMs } from './admission.ts';
import { Authentication, type CallerSources, NOBODY } from './authentication.ts';
import { type BodyReader, bodyReader, requireNoEncoding } from './body.ts';
import type { Api, Dialect } from './dialect.ts';
import { isKnown } from './entity-tag.ts';
import { hostOf } from './hmac.ts';
import type { Holds } from './holds.ts';
import { nothingAt } from './not-offered.ts';
import type { Quotas } from './quotas.ts';
import type { RequestGuard } from './request-guard.ts';
import { RequestScope } from './request-scope.ts';
import { ReturnQueue } from './return-queue.ts';
import type { Reply, Route, SocketOptions } from './route.ts';
import { type Match, pathOf, queryOf, type RouteTable } from './routes.ts';
import type { Sessions } from './session.ts';
import type { Sockets } from './sockets.ts';
import { type ApiVersion, settleVersion } from './versions.ts';
import type { RequestHandler, Takeover, WireReply, WireRequest } from './wire.ts';

interface Uses extends CallerSources {
  routes: RouteTable;
  guard: RequestGuard;
  admission: Admission;
  /** Bounds the parked requests. */
  parked: Holds;
  sockets: Sockets;
  /** Ends what stays open when its user's access ends. */
  sessions: Sessions;
  quotas: Quotas;
  /** Tells a failing store from a mistake of ours. */
  isStoreFailure: (cause: unknown) => boolean;
  clock: Clock;
  events: Events;
}

interface Options {
  /** How a refusal is told where the API is not known yet. */
  dialect: Dialect;
  /** Whether answers say why. Without it they stay as bare as the original's. */
  explains: boolean;
  bodyBytesMost: number;
}

/** What is learnt about a request on its way, for the log and the reply's headers. */
interface Trace {
  api: Api | undefined;
  route: Route | undefined;
  caller: Caller;
  /** The caller of a route for users. */
  user: ProvenUser | undefined;
  apiVersion: string | undefined;
  identityId: IdentityId | undefined;
  parkedMs: number;
  headers: Record<string, string>;
}

type Input = Parameters<Route['handle']>[0];

/** A reply, or what goes on with the connection in its place. */
type Answered = Reply & { readonly takeover?: Takeover };

const newTrace = (): Trace => ({
  api: undefined,
  route: undefined,
  caller: NOBODY,
  user: undefined,
  apiVersion: undefined,
  identityId: undefined,
  parkedMs: 0,
  headers: {},
});

const REFUSED_FOR_LOAD: ReadonlySet<ErrorName> = new Set(['Overloaded', 'TooManyRequests']);

/**
 * The request pipeline. Its steps: host → route → caller → capability → body → place → version → operation → reply.
 * A body is read only for callers who proved who they are and for whom there is a place, and nothing happens before all
 * of it has arrived.
 */
export class Pipeline implements RequestHandler {
  readonly #uses: Uses;
  readonly #options: Options;
  readonly #authentication: Authentication;
  readonly #readers: ReadonlyMap<Route, BodyReader>;
  readonly #scopeUses: ConstructorParameters<typeof RequestScope>[0];

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    this.#authentication = new Authentication(uses);
    const { admission, parked, sessions, clock } = uses;
    this.#scopeUses = { parked, sessions, clock, returns: new ReturnQueue(admission, clock) };
    this.#readers = new Map(
      uses.routes.routes.flatMap((route) => (route.body ? [[route, bodyReader(route.body)]] : [])),
    );
  }

  async answer(request: WireRequest): Promise<WireReply> {
    const started = this.#uses.clock.elapsed();
    const trace = newTrace();
    let reply: Answered;
    let error: ServiceError | undefined;
    try {
      reply = unlessKnown(await this.#walk(request, trace), request);
    } catch (cause) {
      error = this.#asServiceError(cause);
      reply = this.#dialectOf(trace).refusal(error, request);
    }
    const answer = this.#finish(request, trace, reply, error, started);
    if (error && REFUSED_FOR_LOAD.has(error.error)) await sleep(refusalDelayMs(placesFor(announcedBytes(request))));
    return answer;
  }

  refuse(cause: unknown): WireReply {
    const error = this.#asServiceError(cause);
    const trace = newTrace();
    return this.#finish(
      undefined,
      trace,
      this.#dialectOf(trace).refusal(error, undefined),
      error,
      this.#uses.clock.elapsed(),
    );
  }

  offersSocket(target: string): boolean {
    return this.#uses.routes.match('GET', target)?.route.socket !== undefined;
  }

  async #walk(request: WireRequest, trace: Trace): Promise<Answered> {
    const { routes, guard } = this.#uses;
    guard.requireTransport(request);
    guard.requireHost(request);
    if (request.method === 'OPTIONS' && request.header('access-control-request-method').length > 0)
      return guard.preflight(request, (method) => routes.match(method, request.target)?.route);

    const match = routes.match(request.method, request.target);
    if (!match) throw this.#noRoute(request);
    const { api, route } = match;
    trace.api = api;
    trace.route = route;
    guard.requirePage(request, route);
    Object.assign(trace.headers, guard.originHeaders(request, route, api.dialect.exposedHeaders));
    if (route.socket) guard.requireSocketPage(request, route);

    const bodyHash = await this.#admit(request, match, trace);

    if (route.socket && !request.upgrades) throw new ServiceError('UpgradeRequired');
    const { admission } = this.#uses;
    const holder = holderOf(trace.caller, request.peer);
    admission.requirePlace(this.#laneOf(route, holder, 1), holder);
    const account = admission.openBody(holder);
    const { caller, user } = trace;
    const scope = new RequestScope(this.#scopeUses, { request, caller, user, holder });
    let answered: Answered | undefined;
    try {
      const waits = !request.complete;
      const bytes = await this.#bodyOf(request, account);
      // Its sender decides how long a body takes, and what was proven before it may have been ended meanwhile.
      if (waits) await this.#admit(request, match, trace);
      const first = placesFor(bytes.length); // before anything is done with them: to be refused must cost little
      const lane = this.#laneOf(route, holder, first, bytes);
      let place = admission.enter(lane, holder, first);
      scope.enter(place, lane);
      if (first > 1) await waitForTimeSlice(holder); // to read a large body takes a millisecond or more
      if (bodyHash) requireHash(bytes, bodyHash);
      const input = this.#inputOf(request, match, bytes, trace, scope);
      const places = placesFor(bytes.length, route.body?.schema.entries(input.body));
      if (lane === 'urgent' && !(await isUrgent(route, input))) {
        place = admission.enter('usual', holder, places);
        scope.enter(place, 'usual');
      }
      place.grow(places);
      answered = route.socket
        ? await this.#openSocket(route, route.socket, input, request, scope, trace)
        : await this.#serve(route, input, scope);
      // The session of a user has seen to that; who else waited is asked for the same as at the beginning.
      if (scope.parkedMs > 0 && trace.user === undefined) await this.#admit(request, match, trace);
      return answered;
    } finally {
      trace.parkedMs = scope.parkedMs;
      if (answered?.takeover) scope.leave();
      else scope.close();
      account.close();
    }
  }

  /** Counts the socket first, and has its session before its handler knows of it. */
  async #openSocket(
    route: Route,
    options: SocketOptions,
    input: Input,
    request: WireRequest,
    scope: RequestScope,
    trace: Trace,
  ): Promise<Answered> {
    const { sockets } = this.#uses;
    const hold = sockets.holds.take(trace.caller, request.peer);
    try {
      scope.watch('socket');
      await sockets.prepare(options);
      const reply = await this.#serve(route, input, scope);
      if (!reply.socket) throw new Error(`${route.operation} is for sockets and opened none`);
      const { caller, identityId } = trace;
      const facts = { operation: route.operation, caller: caller.kind, resourceId: resourceOf(caller), identityId };
      const renew = (jwt: string) => this.#renew(jwt, route, request, scope);
      const takeover = sockets.takeover({ options, handler: reply.socket, scope, hold, renew, facts });
      return { status: 101, takeover };
    } catch (cause) {
      hold.release();
      throw cause;
    }
  }

  /** A socket goes on with a newer token, which is asked for the same as the first one. */
  async #renew(jwt: string, { access }: Route, request: WireRequest, scope: RequestScope): Promise<UserCaller> {
    if (access.caller !== 'user') throw new Error('only the sockets of users have tokens');
    const user = await this.#uses.userOf(jwt, hostOf(request));
    if (access.requires !== 'anyScope') requireCapability(user.caller.scopes, access.requires);
    await scope.renew(user);
    return user.caller;
  }

  /** What may end access takes an urgent place where there is no other. Whether it does end access, its body tells. */
  #laneOf({ urgent }: Route, holder: string, places: number, body?: Buffer): Lane {
    if (urgent === true) return 'urgent';
    if (urgent === undefined || this.#uses.admission.hasPlace('usual', holder, places)) return 'usual';
    const { bodyHas } = urgent;
    return body === undefined || bodyHas === undefined || body.includes(bodyHas) ? 'urgent' : 'usual';
  }

  /** Finds out who is asking, and whether they may. @returns the hash that the body must have, when the caller signed one */
  async #admit(request: WireRequest, match: Match, trace: Trace): Promise<Buffer | undefined> {
    const { route, path } = match;
    const bodyHash = await this.#identify(request, match, trace);
    const { caller } = trace;
    if (route.access.caller === 'operator' && caller.kind === 'operator') {
      if (caller.over !== 'everything' && !route.access.scoped)
        throw new ServiceError('GrantMissing', { reason: 'grant.missing', detail: 'needs a grant for every resource' });
    }
    if (route.access.caller === 'user' && caller.kind === 'user') {
      trace.identityId = caller.identityId;
      if (route.access.requires !== 'anyScope') requireCapability(caller.scopes, route.access.requires);
    } else if (path.id !== undefined) {
      trace.identityId = path.id.slice(0, 256) as IdentityId;
    }
    return bodyHash;
  }

  #inputOf(request: WireRequest, match: Match, bytes: Buffer, trace: Trace, scope: RequestScope): Input {
    const { api, route, path } = match;
    const { caller, user } = trace;
    const search = queryOf(request.target);
    const version = this.#settleVersion(request, match, search, trace);
    const query = Object.fromEntries(
      Object.keys(route.query ?? {}).map((name) => [name, parameter(search, name, api.dialect)]),
    );
    const body = this.#readers.get(route)?.(request, bytes);
    this.#countAgainstQuota(route, caller, body);
    const header = (name: string) => only(request, name);
    return new HandlerInput({ caller, user, path, query, header, body, version }, scope);
  }

  async #serve(route: Route, input: Input, scope: RequestScope): Promise<Reply> {
    const { caller } = input;
    const reply = await route.handle(input);
    await scope.requireAccess(reply.status);
    if (caller.kind === 'user' && caller.expiresOnMs <= this.#uses.clock.now()) {
      throw new ServiceError('TokenRefused', {
        reason: 'token.expired',
        detail: 'expired while the request was served',
      });
    }
    return reply;
  }

  /** @returns as {@link #admit} */
  async #identify(request: WireRequest, match: Match, trace: Trace): Promise<Buffer | undefined> {
    const { caller, user, bodyHash, exposed } = await this.#authentication.callerOf(request, match);
    trace.caller = caller;
    trace.user = user;
    if (exposed) trace.headers['x-linarite-warning'] = 'the published development key is accepted from everywhere';
    return bodyHash;
  }

  async #bodyOf(request: WireRequest, account: BodyAccount): Promise<Buffer> {
    if (!request.hasBody) return Buffer.alloc(0);
    requireNoEncoding(request);
    return request.readBody(this.#options.bodyBytesMost, (bytes) => account.add(bytes));
  }

  #countAgainstQuota({ quota }: Route, caller: Caller, body: unknown): void {
    if (quota === undefined || !('resourceId' in caller)) return;
    this.#uses.quotas.count(typeof quota === 'function' ? quota(body) : quota, caller.resourceId);
  }

  #settleVersion(
    request: WireRequest,
    { api, route }: Match,
    search: URLSearchParams,
    trace: Trace,
  ): ApiVersion | undefined {
    if (!route.versions) return undefined;
    const host = request.header('host')[0] ?? '';
    const uri = `${request.secure ? 'https' : 'http'}://${host}${pathOf(request.target)}`.slice(0, 512);
    const asked = search.getAll('api-version');
    const { version, standsInFor } = settleVersion(
      asked,
      { supported: route.versions, newest: api.versions?.at(-1), mayBeMissing: route.versionMayBeMissing },
      uri,
    );
    trace.apiVersion = version;
    if (standsInFor !== undefined) {
      trace.headers['x-linarite-api-version'] = version;
      this.#uses.events.newerVersionServed(standsInFor, version, route.operation);
    }
    return version;
  }

  #noRoute(request: WireRequest): ServiceError {
    const allowed = this.#uses.routes.methodsAt(request.target);
    if (allowed.length === 0) return new ServiceError(nothingAt(request.target));
    return new ServiceError('MethodNotAllowed', { detail: `allowed: ${allowed.join(', ')}` });
  }

  #dialectOf({ api }: Trace): Dialect {
    return api?.dialect ?? this.#options.dialect;
  }

  #asServiceError(cause: unknown): ServiceError {
    if (cause instanceof ServiceError) return cause;
    if (this.#uses.isStoreFailure(cause))
      return new ServiceError('StoreUnavailable', { reason: 'store.failed', cause });
    return new ServiceError('Internal', { cause });
  }

  #finish(
    request: WireRequest | undefined,
    trace: Trace,
    reply: Answered,
    error: ServiceError | undefined,
    started: number,
  ): WireReply {
    const { clock, events } = this.#uses;
    const { route, caller, apiVersion, identityId, parkedMs } = trace;
    const durationMs = clock.elapsed() - started - parkedMs;
    const msCv = correlationVector();
    const clientRequestId = printable(request?.header('x-ms-client-request-id')[0]);
    const body = bodyOf(reply);

    const all: Record<string, string> = { ...trace.headers };
    if (body !== undefined) all['Content-Type'] = reply.contentType ?? 'application/json; charset=utf-8';
    const facts = { route, error, clientRequestId, correlationVector: msCv, durationMs };
    Object.assign(all, this.#dialectOf(trace).headers(facts), this.#commonHeaders(request, error), reply.headers);

    events.requestAnswered({
      operation: route?.operation ?? 'none',
      method: request?.method ?? 'none',
      path: request && pathOf(request.target),
      pathPattern: route && placeOf(route),
      status: reply.status,
      durationMs,
      ...(parkedMs > 0 && { parkedMs }),
      clientRequestId,
      msCv,
      apiVersion,
      caller: caller.kind,
      resourceId: resourceOf(caller),
      identityId,
      reason: error?.reason,
      detail: error?.detail,
      cause: error && unexpected(error),
    });
    return { status: reply.status, headers: all, body, chunked: error !== undefined, takeover: reply.takeover };
  }

  /** What holds in every dialect. */
  #commonHeaders(request: WireRequest | undefined, error: ServiceError | undefined): Record<string, string> {
    const { explains } = this.#options;
    const headers: Record<string, string> = { 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store' };
    if (!explains && request?.secure) headers['Strict-Transport-Security'] = 'max-age=31536000';
    if (error?.error === 'MethodNotAllowed' && request)
      headers.Allow = this.#uses.routes.methodsAt(request.target).join(', ');
    if (error?.error === 'UpgradeRequired') Object.assign(headers, UPGRADE);
    if (error?.retryAfter !== undefined) headers['Retry-After'] = String(error.retryAfter);
    if (explains && error) headers['x-linarite-reason'] = reasonHeader(error);
    return headers;
  }
}

/** What a handler is given. What only few handlers ask for is made when it is asked for. */
class HandlerInput implements Input {
  readonly caller: Input['caller'];
  readonly user: Input['user'];
  readonly path: Input['path'];
  readonly query: Input['query'];
  readonly header: Input['header'];
  readonly body: Input['body'];
  readonly version: Input['version'];
  readonly #scope: RequestScope;

  constructor(known: Omit<Input, 'signal' | 'park'>, scope: RequestScope) {
    this.caller = known.caller;
    this.user = known.user;
    this.path = known.path;
    this.query = known.query;
    this.header = known.header;
    this.body = known.body;
    this.version = known.version;
    this.#scope = scope;
  }

  get signal(): AbortSignal {
    return this.#scope.signal;
  }

  get park(): Input['park'] {
    return (wait) => this.#scope.park(wait);
  }
}

/** @throws ServiceError `BodyHashDiffers` */
function requireHash(bytes: Buffer, bodyHash: Buffer): void {
  if (!timingSafeEqual(hash('sha256', bytes, 'buffer'), bodyHash))
    throw new ServiceError('BodyHashDiffers', { reason: 'contentHash.differs' });
}

const isUrgent = async ({ urgent }: Route, input: Input): Promise<boolean> =>
  typeof urgent === 'object' ? urgent.when(input) : urgent === true;

/** What the request says of the length of its body. */
const announcedBytes = (request: WireRequest): number => Number(request.header('content-length')[0] ?? 0) || 0;

/** What the log tells of an error in more than a word: of a refusal that says what it is, only what caused it. */
const unexpected = (error: ServiceError): unknown => error.cause ?? (error.shape.status === 500 ? error : undefined);

/** Where a route is: its path as the protocol writes it. */
const placeOf = ({ at }: Route): string => at.slice(at.indexOf(' ') + 1);

function parameter(search: URLSearchParams, name: string, { repeatedParameters }: Dialect): string | undefined {
  const [value, ...more] = search.getAll(name);
  if (repeatedParameters === 'refused' && more.length > 0)
    throw new ServiceError('ParameterNotOnce', { values: { name } });
  return value;
}

/** A header that is there once; of two, nobody knows which one counts. */
function only(request: WireRequest, name: string): string | undefined {
  const [value, ...more] = request.header(name);
  return more.length === 0 ? value : undefined;
}

/** What a client of a socket's path must do (RFC 9110, section 7.8; RFC 6455, section 4.4). */
const UPGRADE = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' };

const resourceOf = (caller: Caller): ResourceId | undefined => ('resourceId' in caller ? caller.resourceId : undefined);

const bodyOf = ({ body }: Reply): string | Uint8Array | undefined =>
  typeof body !== 'object' || body instanceof Uint8Array ? body : JSON.stringify(body);

/** Names the version of what is sent, and sends nothing to a client that has this version. */
function unlessKnown(reply: Answered, request: WireRequest): Answered {
  const { status, etag, headers } = reply;
  if (etag === undefined) return reply;
  const known = status === 200 && isKnown(etag, request.header('if-none-match'));
  const named = { ...headers, ETag: etag };
  return known ? { status: 304, headers: named } : { ...reply, headers: named };
}

/** A header value that a caller chose, if it may be sent back and logged: visible ASCII, not long. */
const printable = (text: string | undefined): string | undefined =>
  text !== undefined && /^[\x20-\x7e]{1,128}$/.test(text) ? text : undefined;

const reasonHeader = ({ reason, detail }: ServiceError): string =>
  (detail === undefined ? reason : `${reason}; ${detail}`).replace(/[^\x20-\x7e]/g, '?').slice(0, 512);

/** A correlation vector of the original's shape: 22 base64 characters and a first element. */
const correlationVector = (): string => `${randomId('base64').slice(0, 22)}.0`;
