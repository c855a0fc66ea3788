import FindMyWay from 'find-my-way';
import type { Api } from './dialect.ts';
import type { Route } from './route.ts';

/** A route, and what its path captured. */
export interface Match {
  /** The API that the route belongs to. */
  readonly api: Api;
  readonly route: Route;
  readonly path: Readonly<Record<string, string>>;
}

type Handler = { (): void; route: Route; api: Api };

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const LONGEST_SEGMENT = 1024;

/**
 * Finds the route of a request target. Paths are matched as sent, with captured segments decoded; the case of fixed
 * segments does not count and doubled slashes are one, as in the original.
 */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #router = FindMyWay({
    caseSensitive: false,
    ignoreDuplicateSlashes: true,
    maxParamLength: LONGEST_SEGMENT,
    querystringParser: () => ({}),
  });

  /** @throws Error for a route that lets a user in without naming a capability, or two routes at one place */
  constructor(apis: readonly Api[]) {
    this.routes = apis.flatMap(({ routes }) => routes);
    for (const api of apis) for (const route of api.routes) this.#add(api, route);
  }

  /** Where there is no route of its own for it, `HEAD` is answered as `GET` is, without the body. */
  match(method: string, target: string): Match | undefined {
    if (!(METHODS as readonly string[]).includes(method)) return undefined;
    const found =
      this.#router.find(method as (typeof METHODS)[number], pathOf(target)) ??
      (method === 'HEAD' ? this.#router.find('GET', pathOf(target)) : null);
    if (!found) return undefined;
    const { api, route } = found.handler as unknown as Handler;
    return { api, route, path: found.params as Record<string, string> };
  }

  #add(api: Api, route: Route): void {
    if (route.access.caller === 'user' && !route.access.requires)
      throw new Error(`${route.operation} takes user tokens but names no capability`);
    const [method = '', path = ''] = route.at.split(' ');
    if (route.socket && (method !== 'GET' || route.body)) throw new Error(`${route.operation} cannot open a socket`);
    if (route.access.caller === 'user' && route.access.ticket && !route.socket)
      throw new Error(`${route.operation} takes tickets, which are for sockets`);
    const handler = (() => undefined) as unknown as Handler;
    Object.assign(handler, { route, api });
    this.#router.on(method as (typeof METHODS)[number], routerPath(path), handler);
  }

  /** The methods that a target knows, for `Allow`. Empty when there is nothing at that path. */
  methodsAt(target: string): string[] {
    return METHODS.filter((method) => this.match(method, target) !== undefined);
  }
}

/** The path of a request target, undecoded. */
export const pathOf = (target: string): string => {
  const end = target.indexOf('?');
  return end < 0 ? target : target.slice(0, end);
};

/** The query of a request target. */
export const queryOf = (target: string): URLSearchParams => new URLSearchParams(target.slice(pathOf(target).length));

/** `/identities/{id}/:issueAccessToken` as the router writes it: captures with a colon, literal colons doubled. */
const routerPath = (path: string): string => path.replaceAll(':', '::').replace(/\{(\w+)\}/g, ':$1');
