import type {
  Caller,
  EntraUserCaller,
  Nobody,
  OperatorCaller,
  ProvenUser,
  ServiceCaller,
  UserCaller,
} from '../callers.ts';
import type { Capability } from '../capabilities/tables.ts';
import type { QuotaName } from './quotas.ts';
import type { Schema, Shape } from './schema.ts';
import type { ApiVersion } from './versions.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * Who may call a route. Forgetting must not compile: a route for user tokens names the capability it needs, or says
 * `anyScope` in so many words. `pages: 'own'` keeps every page out but the one that the route itself shows.
 */
export type Access =
  | { readonly caller: 'nobody'; readonly from?: From; readonly pages?: 'own' }
  | { readonly caller: 'service' }
  /** Scoped: also for those who may manage some resources only, which the operation sees to. */
  | { readonly caller: 'operator'; readonly scoped?: true }
  | { readonly caller: 'serviceOrOperator' }
  /** With a token of a trusted issuer, made for this purpose. */
  | { readonly caller: 'entraUser'; readonly purpose: 'entraUser' | 'teamsExtension' }
  | {
      readonly caller: 'user';
      readonly requires: Capability | 'anyScope';
      /** Also for a caller with a ticket in place of a token: {@link Tickets}. */
      readonly ticket?: TicketPlace;
    };

/** Where a ticket stands in the address, and what it must have been made for. */
export interface TicketPlace {
  readonly parameter: string;
  readonly purpose: string;
}

/** `loopback`: from this machine only, and not passed on by a proxy. For routes that give much to every caller. */
export type From = 'loopback' | 'anywhere';

interface CallerOf {
  nobody: Nobody;
  service: ServiceCaller;
  operator: OperatorCaller;
  serviceOrOperator: ServiceCaller | OperatorCaller;
  entraUser: EntraUserCaller;
  user: UserCaller;
}

type PathNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathNames<Rest>
  : never;

export type BodyKind = 'json' | 'form';

export interface Reply {
  readonly status: number;
  /** An object is sent as JSON, text and bytes as they are under `contentType`, undefined as no body at all. */
  readonly body?: object | string | Uint8Array | undefined;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Entity tag, with its quotation marks. A client that has this version already is answered 304 (RFC 9110, section 13.1.2). */
  readonly etag?: string;
  /** In place of a body, at a route with {@link Route.socket}. */
  readonly socket?: SocketHandler;
}

/** A socket that is open, as its handler sees it. */
export interface OpenSocket {
  /**
   * Sends a message: text, or bytes as binary. After the end of the socket it does nothing. A client that leaves too much
   * unread is closed with 1013. While this node cannot tell whether the user's access has ended, messages are kept, and
   * count as unread.
   */
  send(data: string | Uint8Array): void;
  /** @param code of RFC 6455, section 7.4. @param reason at most 123 bytes, for the client and the log: never a secret */
  close(code: number, reason?: string): void;
  /** Bytes that were sent and that the client has not taken yet. */
  readonly bufferedBytes: number;
  /**
   * Goes on with a newer token of the user, which must permit what the route asks for.
   * @throws ServiceError `TokenRefused`, `CapabilityMissing`: then the socket goes on with the former one
   */
  renew(jwt: string): Promise<UserCaller>;
}

/**
 * What a socket does. Messages come one at a time: while a promise of {@link message} is pending, nothing more is read. A
 * ServiceError closes the socket with 1008, everything else that is thrown with 1011.
 */
export interface SocketHandler {
  opened?(socket: OpenSocket): void | Promise<void>;
  /** Text as a string, binary as bytes. */
  message?(data: string | Buffer): void | Promise<void>;
  /** Once, as soon as nothing more can be sent. */
  closed?(code: number): void;
}

/** What a route for sockets puts up with, and how it speaks. */
export interface SocketOptions {
  /** Subprotocols, the preferred first. The first that the client offers, too, is taken; without one it goes on without. */
  readonly protocols?: readonly string[];
  /** Of one message, in all of its fragments. More is closed with 1009. */
  readonly messageBytes: number;
  /** That may wait for a client which does not read; 1 MiB unless it is named. */
  readonly bufferedBytes?: number;
  /** Close code for a socket whose token was revoked or has expired; 1008 unless it is named. */
  readonly endedCode?: number;
}

/** The parameters that a route reads of the query beside `api-version`: name → shape, for the reference. All may be missing. */
export type QueryParameters = Readonly<Record<string, Schema<string>>>;

export interface RouteInput<A extends Access, Path extends string, Query, Body, HasVersions> {
  readonly caller: CallerOf[A['caller']];
  /** Captured path segments, percent-decoded. */
  readonly path: { readonly [Name in PathNames<Path>]: string };
  readonly header: HeaderOf;
  /** The parameters that the route names; of one that is there several times, the first. */
  readonly query: { readonly [Name in keyof Query]: string | undefined };
  /** What the body schema describes; undefined where none was sent and none is required. */
  readonly body: Body;
  /** The version being served; undefined on routes without versions. */
  readonly version: HasVersions extends true ? ApiVersion : undefined;
  /** The caller of a route for users, with what is to be known of their token. */
  readonly user: A['caller'] extends 'user' ? ProvenUser : undefined;
  /** Aborted when nobody waits for the answer any longer: the client has left, the server stops, access has ended. */
  readonly signal: AbortSignal;
  /**
   * Waits for something that may take long. Meanwhile the request takes no place from others.
   * @throws ServiceError when the request ends before the wait: what is thrown is the answer. See {@link RequestScope.park}
   */
  readonly park: Park;
}

export type Park = <T>(wait: Promise<T>) => Promise<T>;

/** The value of a header, by its lower-case name; undefined when it was not sent exactly once. */
export type HeaderOf = (name: string) => string | undefined;

/** Which requests of a route end access. It is asked only when no usual place is left. */
export interface UrgentRule<Input> {
  /** Text that the body of such a request has in it, so that other bodies are refused unread. */
  readonly bodyHas?: string;
  when(input: Input): boolean | Promise<boolean>;
}

/** An entry in a route list: all that is known about one operation, as data, and three lines of translation. */
export interface Route {
  /** The operation's name in logs, metrics and the reference. */
  readonly operation: string;
  /** Method and path as the protocol writes them, `POST /identities/{id}/:issueAccessToken`. */
  readonly at: `${Method} /${string}`;
  /** Api-versions that define the route, oldest first; undefined for routes of ours that have none. */
  readonly versions?: readonly ApiVersion[];
  /** Some previews leave the version out of this route: then the newest is served. */
  readonly versionMayBeMissing?: true;
  readonly access: Access;
  /** Changes nothing, although its method says otherwise: for those who may only read. */
  readonly reads?: true;
  /**
   * Ends access, or tells how the server is: it has places of its own and is never refused for the sake of the rest. Some
   * routes do so with some of their requests only.
   */
  readonly urgent?: true | UrgentRule<Parameters<Route['handle']>[0]>;
  /** Which quota of the original counts it; may depend on the body. */
  readonly quota?: QuotaName | ((body: unknown) => QuotaName);
  readonly query?: QueryParameters;
  readonly body?: { readonly schema: Schema; readonly kind: BodyKind };
  /** For WebSockets only: a `GET` that is answered with {@link Reply.socket}. */
  readonly socket?: SocketOptions;
  /** Success statuses, and errors that are not in the protocol's envelope, with the shape of their bodies. */
  readonly answers: { readonly [status: number]: Schema | 'nothing' | 'text' | 'bytes' };
  readonly summary: string;
  handle(input: {
    caller: Caller;
    path: Readonly<Record<string, string>>;
    query: Readonly<Record<string, string | undefined>>;
    header: HeaderOf;
    body: unknown;
    version: ApiVersion | undefined;
    user: ProvenUser | undefined;
    signal: AbortSignal;
    park: Park;
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
  entry: Omit<Route, 'at' | 'access' | 'query' | 'quota' | 'body' | 'versions' | 'handle' | 'urgent'> & {
    versions?: V;
    at: At;
    access: A;
    query?: Q;
    quota?: QuotaName | ((body: Shape<S>) => QuotaName);
    body?: { schema: S; kind: BodyKind };
    urgent?: true | UrgentRule<RouteInput<A, At, Q, Shape<S>, V extends undefined ? false : true>>;
    handle(input: RouteInput<A, At, Q, Shape<S>, V extends undefined ? false : true>): Promise<Reply> | Reply;
  },
): Route {
  return entry as unknown as Route; // the one cast that lets a list hold routes of different types
}

export const ok = (body: object): Reply => ({ status: 200, body });
export const created = (body: object): Reply => ({ status: 201, body });
/** Opens a socket. */
export const opened = (socket: SocketHandler): Reply => ({ status: 101, socket });
export const noContent = (): Reply => ({ status: 204 });
