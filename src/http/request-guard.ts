import { ServiceError } from '../errors.ts';
import { isLoopback } from '../lib/loopback.ts';
import { hostOf } from './hmac.ts';
import { plainAddress } from './peer.ts';
import type { Access, Reply, Route } from './route.ts';
import type { WireRequest } from './wire.ts';

interface Options {
  /** For the programs of one machine: loopback names and pages are let in, and plain HTTP from everywhere. */
  local: boolean;
  /** Names to answer for, lower case, without port. Undefined: any. */
  allowedHosts: readonly string[] | undefined;
  /** Origins whose pages may call routes for user tokens. */
  allowedOrigins: readonly string[];
  /** Addresses from which plain HTTP is taken, beside loopback ones. */
  trustedProxies: readonly string[];
}

const LOOPBACK_NAME = /^(?:localhost|(?:[a-z0-9-]+\.)+localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])\.?$/;
/** What containers call the machine they run on. */
const CONTAINER_HOSTS = ['host.docker.internal', 'host.containers.internal'];
const LOOPBACK_ORIGIN =
  /^https?:\/\/(?:localhost|(?:[a-z0-9-]+\.)+localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::\d{1,5})?$/;

const isForOwnPage = (access: Access): boolean => access.caller === 'nobody' && access.pages === 'own';

/** The origin of pages that this server itself shows. */
const ownOrigin = (request: WireRequest): string =>
  `${request.secure ? 'https' : 'http'}://${request.header('host')[0] ?? ''}`;

/**
 * Keeps other people's web pages out (security-and-reliability, section 1.4). A page that rebinds its name to this machine
 * shows itself by its Host; a page that sends a request of its own must ask first, and is told no.
 */
export class RequestGuard {
  readonly #options: Options;
  readonly #hosts: ReadonlySet<string>;

  constructor(options: Options) {
    this.#options = options;
    this.#hosts = new Set([...(options.allowedHosts ?? []).map((host) => host.toLowerCase()), ...CONTAINER_HOSTS]);
  }

  /** A secret never crosses a network in plain text. @throws ServiceError `HttpsRequired` */
  requireTransport(request: WireRequest): void {
    if (this.#options.local || request.secure || isLoopback(request.peer)) return;
    if (!this.#options.trustedProxies.includes(plainAddress(request.peer)))
      throw new ServiceError('HttpsRequired', { detail: 'see LINARITE_TRUSTED_PROXIES' });
  }

  /** @throws ServiceError `HostNotAllowed` */
  requireHost(request: WireRequest): void {
    const { local, allowedHosts } = this.#options;
    if (allowedHosts === undefined) return;
    // Only the name counts; the signature covers the value as it came.
    const name = hostOf(request).toLowerCase();
    const loopback = local && LOOPBACK_NAME.test(name);
    if (!loopback && !this.#hosts.has(name))
      throw new ServiceError('HostNotAllowed', { detail: 'see LINARITE_ALLOWED_HOSTS' });
  }

  /**
   * Keeps other pages from pressing the buttons of ours: with a POST, every browser says which page it comes from.
   * @throws ServiceError `OriginNotAllowed`
   */
  requirePage(request: WireRequest, { access }: Route): void {
    if (!isForOwnPage(access) || request.method === 'GET' || request.method === 'HEAD') return;
    const [origin, ...more] = request.header('origin');
    if (origin !== ownOrigin(request) || more.length > 0) throw new ServiceError('OriginNotAllowed');
  }

  /**
   * Keeps the pages of others from opening sockets. Browsers ask nobody before they open one, and let the page read all that
   * comes; but they say which page it is.
   * @throws ServiceError `OriginNotAllowed`
   */
  requireSocketPage(request: WireRequest, { access }: Route): void {
    const [origin, ...more] = request.header('origin');
    if (origin === undefined) return;
    const isOwn = origin === ownOrigin(request) && more.length === 0;
    if (!isOwn && this.#grantedOrigin(request, access) === undefined) throw new ServiceError('OriginNotAllowed');
  }

  /**
   * Answers the question that a browser asks before it sends a page's request.
   * @throws ServiceError `OperationUnknown`, `OriginNotAllowed`
   */
  preflight(request: WireRequest, routeFor: (method: string) => Route | undefined): Reply {
    const method = request.header('access-control-request-method')[0];
    const route = method === undefined ? undefined : routeFor(method);
    if (!route || method === undefined) throw new ServiceError('OperationUnknown');
    const origin = this.#grantedOrigin(request, route.access);
    if (origin === undefined) throw new ServiceError('OriginNotAllowed');
    const asked = request.header('access-control-request-headers')[0] ?? '';
    return {
      status: 204,
      headers: {
        'Access-Control-Allow-Origin': origin,
        'Access-Control-Allow-Methods': method,
        ...(/^[\w, -]{1,1024}$/.test(asked) && { 'Access-Control-Allow-Headers': asked }),
        'Access-Control-Max-Age': '600',
        Vary: 'Origin',
      },
    };
  }

  /**
   * Headers that let the page of a granted origin read the answer.
   * @param exposed names of the headers that it may read
   */
  originHeaders(request: WireRequest, route: Route, exposed: readonly string[]): Record<string, string> {
    const origin = this.#grantedOrigin(request, route.access);
    if (origin === undefined) return {};
    return {
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Expose-Headers': exposed.join(', '),
      Vary: 'Origin',
    };
  }

  /** Pages on this machine may call everything of a local server; other pages only what needs a token that they do not have. */
  #grantedOrigin(request: WireRequest, access: Access): string | undefined {
    const [origin, ...more] = request.header('origin');
    if (origin === undefined || more.length > 0 || isForOwnPage(access)) return undefined;
    const { local, allowedOrigins } = this.#options;
    if (local && LOOPBACK_ORIGIN.test(origin)) return origin;
    const needsToken = access.caller === 'user' || access.caller === 'entraUser';
    return needsToken && allowedOrigins.includes(origin) ? origin : undefined;
  }
}
