import { hash, timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Caller,
  EntraUserCaller,
  IdentityId,
  OperatorCaller,
  ResourceId,
  ServiceCaller,
  UserCaller,
} from '../callers.ts';
import { requireCapability } from '../capabilities/capabilities.ts';
import { type ErrorName, ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/random.ts';
import { turnForLongWork } from '../lib/time-slice.ts';
import type { Events } from '../monitoring/events.ts';
import { type Admission, type BodyAccount, holderOf, keepBackMs, type Lane, placesFor } from './admission.ts';
import { type BodyReader, bodyReader, requireNoEncoding } from './body.ts';
import { isKnown } from './entity-tag.ts';
import { hostName, type SignatureVerifier } from './hmac.ts';
import type { Holds } from './holds.ts';
import { nothingAt } from './not-offered.ts';
import { isLocal } from './peer.ts';
import type { Quotas } from './quotas.ts';
import type { Doorkeeper } from './request-guard.ts';
import { RequestScope } from './request-scope.ts';
import { ReturnQueue } from './return-queue.ts';
import type { Access, Reply, Route, SocketOptions } from './route.ts';
import { type Match, pathOf, type RouteTable } from './routes.ts';
import type { ProvenUser, Sessions } from './session.ts';
import type { Sockets } from './sockets.ts';
import { type ApiVersion, settleVersion } from './versions.ts';
import type { Road, Takeover, WireReply, WireRequest } from './wire.ts';

interface Uses {
  routes: RouteTable;
  doorkeeper: Doorkeeper;
  signatures: SignatureVerifier;
  /** Verifies a user's token. @param host host name without port, which may name the resource. @throws ServiceError `TokenRefused` */
  userOf: (jwt: string, host: string) => Promise<ProvenUser>;
  /** The same for a ticket, which is used up by it. */
  userOfTicket: (ticket: string, purpose: string, host: string) => Promise<ProvenUser>;
  isOperator: (secret: string) => boolean;
  principals: Principals;
  admission: Admission;
  /** Bounds the parked requests. */
  parked: Holds;
  sockets: Sockets;
  /** Ends what stays open when its user's access ends. */
  sessions: Sessions;
  quotas: Quotas;
  /** Insists that what this node knows of keys is current. @throws ServiceError `NotFresh` */
  requireFresh: () => Promise<void>;
  /** Tells a failing store from a mistake of ours. */
  isStoreFailure: (cause: unknown) => boolean;
  clock: Clock;
  events: Events;
}

/**
 * Those who come with a token of a trusted issuer. All of these throw ServiceError: `Denied` or `InvalidAccessToken` for a
 * token that is not good, `GrantMissing` when nothing permits what is asked, `ProviderUnavailable`.
 */
interface Principals {
  /** @param host host name without port, which may name the resource. @param reads whether nothing will be changed */
  serviceOf(jwt: string, host: string, reads: boolean): Promise<ServiceCaller>;
  operatorOf(jwt: string, reads: boolean): Promise<OperatorCaller>;
  entraUserOf(jwt: string, purpose: 'entraUser' | 'teamsExtension', host: string): Promise<EntraUserCaller>;
}

interface Options {
  /** In dev mode answers say why. Production answers stay as bare as the original's. */
  mode: 'dev' | 'production';
  bodyBytesMost: number;
}

/** What is learnt about a request on its way, for the log and the reply's headers. */
interface Trace {
  route: Route | undefined;
  caller: Caller;
  /** The caller of a route for users. */
  user: ProvenUser | undefined;
  apiVersion: string | undefined;
  identityId: IdentityId | undefined;
  parkedMs: number;
  headers: Record<string, string>;
}

const newTrace = (): Trace => ({
  route: undefined,
  caller: NOBODY,
  user: undefined,
  apiVersion: undefined,
  identityId: undefined,
  parkedMs: 0,
  headers: {},
});

type Input = Parameters<Route['handle']>[0];

/** A reply, or what goes on with the connection in its place. */
type Answered = Reply & { readonly takeover?: Takeover };

const NOBODY = { kind: 'nobody' } as const;

const REFUSED_FOR_LOAD: ReadonlySet<ErrorName> = new Set(['Overloaded', 'TooManyRequests']);

/**
 * The one road that every request takes: host → route → caller → capability → body → place → version → operation → reply.
 * A body is read only for callers who proved who they are and for whom there is a place, and nothing happens before all
 * of it has arrived.
 */
export class Pipeline implements Road {
  readonly #uses: Uses;
  readonly #options: Options;
  readonly #readers: ReadonlyMap<Route, BodyReader>;
  readonly #returns: ReturnQueue;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    this.#returns = new ReturnQueue(uses.admission, uses.clock);
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
      reply = trace.route?.errors === 'oauth' ? oauthReply(error, request) : errorReply(error);
    }
    const answer = this.#finish(request, trace, reply, error, started);
    if (error && REFUSED_FOR_LOAD.has(error.error)) await sleep(keepBackMs(placesFor(announcedBytes(request))));
    return answer;
  }

  refuse(cause: unknown): WireReply {
    const error = this.#asServiceError(cause);
    const trace = newTrace();
    return this.#finish(undefined, trace, errorReply(error), error, this.#uses.clock.elapsed());
  }

  offersSocket(target: string): boolean {
    return this.#uses.routes.match('GET', target)?.route.socket !== undefined;
  }

  async #walk(request: WireRequest, trace: Trace): Promise<Answered> {
    const { routes, doorkeeper } = this.#uses;
    doorkeeper.requireTransport(request);
    doorkeeper.requireHost(request);
    if (request.method === 'OPTIONS' && request.header('access-control-request-method').length > 0)
      return doorkeeper.preflight(request, (method) => routes.match(method, request.target)?.route);

    const match = routes.match(request.method, request.target);
    if (!match) throw this.#noRoute(request);
    const { route } = match;
    trace.route = route;
    doorkeeper.requirePage(request, route);
    Object.assign(trace.headers, doorkeeper.originHeaders(request, route));
    if (route.socket) doorkeeper.requireSocketPage(request, route);

    const bodyHash = await this.#admit(request, match, trace);

    if (route.socket && !request.upgrades) throw new ServiceError('UpgradeRequired');
    const { admission } = this.#uses;
    const holder = holderOf(trace.caller, request.peer);
    admission.requirePlace(this.#laneOf(route, holder, 1), holder);
    const account = admission.openBody(holder);
    const scope = this.#scopeOf(request, trace, holder);
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
      if (first > 1) await turnForLongWork(holder); // to read a large body takes a millisecond or more
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

  #scopeOf(request: WireRequest, { caller, user }: Trace, holder: string): RequestScope {
    const { parked, sessions, clock } = this.#uses;
    return new RequestScope({ parked, returns: this.#returns, sessions, clock }, { request, caller, user, holder });
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
      const { caller, identityId, headers } = trace;
      const facts = { operation: route.operation, caller: caller.kind, resourceId: resourceOf(caller), identityId };
      const renew = (jwt: string) => this.#renew(jwt, route, request, scope);
      const takeover = sockets.takeover({ options, handler: reply.socket, scope, hold, renew, facts, headers });
      return { status: 101, takeover };
    } catch (cause) {
      hold.release();
      throw cause;
    }
  }

  /** A socket goes on with a newer token, which is asked for the same as the first one. */
  async #renew(jwt: string, { access }: Route, request: WireRequest, scope: RequestScope): Promise<UserCaller> {
    if (access.caller !== 'user') throw new Error('only the sockets of users have tokens');
    const user = await this.#uses.userOf(jwt, hostName(request.header('host')[0] ?? ''));
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
  async #admit(request: WireRequest, { route, path }: Match, trace: Trace): Promise<Buffer | undefined> {
    const bodyHash = await this.#identify(request, route, trace);
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

  #inputOf(request: WireRequest, { route, path }: Match, bytes: Buffer, trace: Trace, scope: RequestScope): Input {
    const { caller, user } = trace;
    const search = new URLSearchParams(request.target.slice(pathOf(request.target).length));
    const version = this.#settleVersion(request, route, search, trace);
    const query = Object.fromEntries(
      Object.keys(route.query ?? {}).map((name) => [name, parameter(search, name, route)]),
    );
    const body = this.#readers.get(route)?.(request, bytes);
    this.#countAgainstQuota(route, caller, body);
    return {
      caller,
      user,
      path,
      query,
      header: (name) => only(request, name),
      body,
      version,
      get signal() {
        return scope.signal;
      },
      park: (wait) => scope.park(wait),
    };
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
  async #identify(request: WireRequest, route: Route, trace: Trace): Promise<Buffer | undefined> {
    const { signatures, requireFresh } = this.#uses;
    const { access } = route;
    if (access.caller === 'nobody') {
      if (access.from === 'loopback' && !isLocal(request))
        throw new ServiceError('Denied', { reason: 'issuer.loopbackOnly' });
      return undefined;
    }
    if (access.caller === 'user') {
      trace.user = await this.#userOf(request, access);
      trace.caller = trace.user.caller;
      return undefined;
    }
    if (access.caller !== 'operator' && access.caller !== 'entraUser' && !isBearer(request)) {
      await requireFresh(); // a node that was cut off may still know keys that were replaced, and not know the new ones
      const { caller, bodyHash, exposed } = signatures.verify(request);
      trace.caller = caller;
      if (exposed) trace.headers['x-linarite-warning'] = 'the published development key is accepted from everywhere';
      return bodyHash;
    }
    trace.caller = await this.#bearer(request, route, access);
    return undefined;
  }

  /** By their token; by a ticket where the route takes one, and there is no token. */
  #userOf(request: WireRequest, { ticket }: Extract<Access, { caller: 'user' }>): Promise<ProvenUser> {
    const { userOf, userOfTicket } = this.#uses;
    const host = hostName(request.header('host')[0] ?? '');
    if (ticket && request.header('authorization').length === 0) {
      const search = new URLSearchParams(request.target.slice(pathOf(request.target).length));
      const [value, ...more] = search.getAll(ticket.parameter);
      if (value !== undefined && more.length === 0) return userOfTicket(value, ticket.purpose, host);
    }
    return userOf(bearer(request, 'TokenRefused'), host);
  }

  /** Whoever comes with a Bearer token that is not a user's of ours: the operator, or somebody whom a trust lets in. */
  async #bearer(
    request: WireRequest,
    route: Route,
    access: Exclude<Access, { caller: 'nobody' | 'user' }>,
  ): Promise<ServiceCaller | OperatorCaller | EntraUserCaller> {
    const { isOperator, principals, requireFresh } = this.#uses;
    const token = bearer(request, access.caller === 'entraUser' ? 'InvalidAccessToken' : 'Denied');
    const forOperators = access.caller === 'operator' || access.caller === 'serviceOrOperator';
    if (forOperators && isOperator(token)) return { kind: 'operator', over: 'everything' };
    // Every token of an issuer has dots in it. The operator's key is told apart so that a wrong one is called by its name.
    if (forOperators && !token.includes('.')) throw new ServiceError('Denied', { reason: 'operatorKey.wrong' });
    await requireFresh();
    const host = hostName(request.header('host')[0] ?? '');
    if (access.caller === 'entraUser') return principals.entraUserOf(token, access.purpose, host);
    if (access.caller === 'operator') return principals.operatorOf(token, readsOnly(route));
    return principals.serviceOf(token, host, readsOnly(route));
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

  #settleVersion(request: WireRequest, route: Route, search: URLSearchParams, trace: Trace): ApiVersion | undefined {
    if (!route.versions) return undefined;
    const host = request.header('host')[0] ?? '';
    const uri = `${request.secure ? 'https' : 'http'}://${host}${pathOf(request.target)}`.slice(0, 512);
    const asked = search.getAll('api-version');
    const { version, standsInFor } = settleVersion(asked, route.versions, uri, route.versionMayBeMissing);
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

  #asServiceError(cause: unknown): ServiceError {
    if (cause instanceof ServiceError) return cause;
    if (this.#uses.isStoreFailure(cause))
      return new ServiceError('StoreUnavailable', { reason: 'store.failed', cause });
    return new ServiceError('Internal', { cause });
  }

  #finish(
    request: WireRequest | undefined,
    { route, caller, apiVersion, identityId, parkedMs, headers }: Trace,
    reply: Answered,
    error: ServiceError | undefined,
    started: number,
  ): WireReply {
    const { clock, events } = this.#uses;
    const durationMs = clock.elapsed() - started - parkedMs;
    const msCv = correlationVector();
    const clientRequestId = printable(request?.header('x-ms-client-request-id')[0]);
    const body = bodyOf(reply);
    const dev = this.#options.mode === 'dev';

    const all: Record<string, string> = { ...headers };
    if (body !== undefined)
      all['Content-Type'] = reply.contentType ?? (error ? 'application/json' : 'application/json; charset=utf-8');
    if (route?.versions && (!error || error.shape.raisedBy === 'action'))
      all['api-supported-versions'] = supported(route);
    if (clientRequestId !== undefined) all['x-ms-client-request-id'] = clientRequestId;
    all['MS-CV'] = msCv;
    all['Request-Context'] = 'appId=';
    all['X-Processing-Time'] = `${Math.round(durationMs)}ms`;
    all['X-Content-Type-Options'] = 'nosniff';
    all['Cache-Control'] = 'no-store';
    if (!dev && request?.secure) all['Strict-Transport-Security'] = 'max-age=31536000';
    if (error?.error === 'MethodNotAllowed' && request)
      all.Allow = this.#uses.routes.methodsAt(request.target).join(', ');
    if (error?.error === 'UpgradeRequired') Object.assign(all, UPGRADE);
    if (error?.retryAfter !== undefined) all['Retry-After'] = String(error.retryAfter);
    if (dev && error) all['x-linarite-reason'] = reasonHeader(error);
    Object.assign(all, reply.headers);

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

const isBearer = (request: WireRequest): boolean => /^Bearer /i.test(request.header('authorization')[0] ?? '');

/** What the log tells of an error in more than a word: of a refusal that says what it is, only what caused it. */
const unexpected = (error: ServiceError): unknown => error.cause ?? (error.shape.status === 500 ? error : undefined);

/** Where a route is: its path as the protocol writes it. */
const placeOf = ({ at }: Route): string => at.slice(at.indexOf(' ') + 1);

/** Whether a route changes nothing. */
const readsOnly = ({ at, reads }: Route): boolean => reads ?? /^(?:GET|HEAD) /.test(at);

/** Of several the first counts; OAuth wants no parameter more than once (RFC 6749, section 3.1). */
function parameter(search: URLSearchParams, name: string, { errors }: Route): string | undefined {
  const [value, ...more] = search.getAll(name);
  if (errors === 'oauth' && more.length > 0) throw new ServiceError('ParameterNotOnce', { values: { name } });
  return value;
}

/** A header that is there once; of two, nobody knows which one counts. */
function only(request: WireRequest, name: string): string | undefined {
  const [value, ...more] = request.header(name);
  return more.length === 0 ? value : undefined;
}

/** The secret of a Bearer header. */
function bearer(request: WireRequest, refusal: 'TokenRefused' | 'Denied' | 'InvalidAccessToken'): string {
  const [value, ...more] = request.header('authorization');
  if (value === undefined || value === '') throw new ServiceError(refusal, { reason: 'authorization.missing' });
  if (more.length > 0) throw new ServiceError(refusal, { reason: 'header.repeated', detail: 'authorization' });
  const match = /^Bearer ([\x21-\x7e]+)$/i.exec(value);
  if (!match?.[1]) throw new ServiceError(refusal, { reason: 'authorization.scheme' });
  return match[1];
}

/** RFC 6749, section 5.2: who tried the Authorization header in vain is told which scheme there is. */
function oauthReply(error: ServiceError, request: WireRequest): Reply {
  const { status, oauth = status >= 500 ? 'server_error' : 'invalid_request' } = error.shape;
  const challenged = status === 401 && request.header('authorization').length > 0;
  return {
    status,
    body: { error: oauth, error_description: error.message },
    ...(challenged && { headers: { 'WWW-Authenticate': 'Basic realm="Linarite"' } }),
  };
}

function errorReply(error: ServiceError): Reply {
  const { status, code } = error.shape;
  return {
    status,
    body: { error: { code, message: error.message, target: error.target } }, // JSON leaves out what is undefined
  };
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

const supportedTexts = new WeakMap<Route, string>();

function supported(route: Route): string {
  let text = supportedTexts.get(route);
  if (text === undefined) {
    text = (route.versions ?? []).join(', ');
    supportedTexts.set(route, text);
  }
  return text;
}

/** A header value that a caller chose, if it may be sent back and logged: visible ASCII, not long. */
const printable = (text: string | undefined): string | undefined =>
  text !== undefined && /^[\x20-\x7e]{1,128}$/.test(text) ? text : undefined;

const reasonHeader = ({ reason, detail }: ServiceError): string =>
  (detail === undefined ? reason : `${reason}; ${detail}`).replace(/[^\x20-\x7e]/g, '?').slice(0, 512);

/** A correlation vector of the original's shape: 22 base64 characters and a first element. */
const correlationVector = (): string => `${randomId('base64').slice(0, 22)}.0`;
