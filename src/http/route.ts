import type { Caller, Nobody, OperatorCaller, ServiceCaller, UserCaller } from '../callers.ts';
import type { Capability } from '../capabilities/tables.ts';
import type { Schema, Shape } from './schema.ts';
import type { ApiVersion } from './versions.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * Who may call a route. Forgetting must not compile: a route for user tokens names the capability it needs, or says
 * `anyScope` in so many words.
 */
export type Access =
  | { readonly caller: 'nobody' }
  | { readonly caller: 'service' }
  | { readonly caller: 'operator' }
  | { readonly caller: 'serviceOrOperator' }
  | { readonly caller: 'user'; readonly requires: Capability | 'anyScope' };

interface CallerOf {
  nobody: Nobody;
  service: ServiceCaller;
  operator: OperatorCaller;
  serviceOrOperator: ServiceCaller | OperatorCaller;
  user: UserCaller;
}

type PathNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathNames<Rest>
  : never;

export type BodyKind = 'json' | 'form';

export interface Reply {
  readonly status: number;
  /** An object is sent as JSON, text as it is under `contentType`, undefined as no body at all. */
  readonly body?: object | string | undefined;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The parameters that a route reads of the query beside `api-version`: name → shape, for the reference. All may be missing. */
export type QueryParameters = Readonly<Record<string, Schema<string>>>;

export interface RouteInput<A extends Access, Path extends string, Query, Body, HasVersions> {
  readonly caller: CallerOf[A['caller']];
  /** Captured path segments, percent-decoded. */
  readonly path: { readonly [Name in PathNames<Path>]: string };
  /** The parameters that the route names; of one that is there several times, the first. */
  readonly query: { readonly [Name in keyof Query]: string | undefined };
  /** What the body schema describes; undefined where none was sent and none is required. */
  readonly body: Body;
  /** The version being served; undefined on routes without versions. */
  readonly version: HasVersions extends true ? ApiVersion : undefined;
}

/** An entry in a route list: all that is known about one operation, as data, and three lines of translation. */
export interface Route {
  /** The operation's name in logs, metrics and the reference. */
  readonly operation: string;
  /** Method and path as the protocol writes them, `POST /identities/{id}/:issueAccessToken`. */
  readonly at: `${Method} /${string}`;
  /** Api-versions that define the route, oldest first; undefined for routes of ours that have none. */
  readonly versions?: readonly ApiVersion[];
  readonly access: Access;
  readonly query?: QueryParameters;
  readonly body?: { readonly schema: Schema; readonly kind: BodyKind };
  /** Success statuses, and errors that are not in the protocol's envelope, with the shape of their bodies. */
  readonly answers: { readonly [status: number]: Schema | 'nothing' | 'text' };
  readonly summary: string;
  handle(input: {
    caller: Caller;
    path: Readonly<Record<string, string>>;
    query: Readonly<Record<string, string | undefined>>;
    body: unknown;
    version: ApiVersion | undefined;
  }): Promise<Reply> | Reply;
}

/** Makes a route entry, tying the handler's types to what the entry says about caller, path, query and body. */
export function route<
  const At extends `${Method} /${string}`,
  const A extends Access,
  S extends Schema,
  Q extends QueryParameters = Record<never, never>,
  V extends readonly ApiVersion[] | undefined = undefined,
>(
  entry: Omit<Route, 'at' | 'access' | 'query' | 'body' | 'versions' | 'handle'> & {
    versions?: V;
    at: At;
    access: A;
    query?: Q;
    body?: { schema: S; kind: BodyKind };
    handle(input: RouteInput<A, At, Q, Shape<S>, V extends undefined ? false : true>): Promise<Reply> | Reply;
  },
): Route {
  return entry as unknown as Route; // the one cast that lets a list hold routes of different types
}

export const ok = (body: object): Reply => ({ status: 200, body });
export const created = (body: object): Reply => ({ status: 201, body });
export const noContent = (): Reply => ({ status: 204 });
