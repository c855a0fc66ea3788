import type { ServiceError } from '../errors.ts';
import type { Reply, Route } from './route.ts';
import type { WireRequest } from './wire.ts';

/** What the standard headers of an answer are made from. */
export interface AnswerFacts {
  /** Undefined where the request was refused before its route was known. */
  readonly route: Route | undefined;
  /** Undefined for an answer of the route itself. */
  readonly error: ServiceError | undefined;
  /** What the client named the request, where it may be sent back. */
  readonly clientRequestId: string | undefined;
  /** Names the request in the log: 22 base64 characters and a first element. */
  readonly correlationVector: string;
  readonly durationMs: number;
}

/** How an API speaks beside its routes: its errors, its standard headers, and where its callers put their token. */
export interface Dialect {
  /** The answer that tells of a refusal. */
  refusal(error: ServiceError, request: WireRequest | undefined): Reply;
  /** What {@link refusal} puts into the body, for the OpenAPI document: the schema of that name, and those it refers to. */
  readonly errors: {
    readonly name: string;
    readonly description: string;
    readonly schemas: Readonly<Record<string, object>>;
  };
  /** Headers of every answer, refusals included. */
  headers(facts: AnswerFacts): Readonly<Record<string, string>>;
  /** Headers that a page of another origin may read (Fetch, `Access-Control-Expose-Headers`). */
  readonly exposedHeaders: readonly string[];
  /** The access token of a user. @throws ServiceError `TokenRefused` where there is none */
  userToken(request: WireRequest): string;
  /** What becomes of a query parameter that is there several times: the first counts, or the request is refused. */
  readonly repeatedParameters: 'first' | 'refused';
}

/** The routes of one API, with what holds for all of them. */
export interface Api {
  readonly name: string;
  /** Every api-version that a client was built with, oldest first. Undefined: the API has none. */
  readonly versions?: readonly string[];
  readonly dialect: Dialect;
  readonly routes: readonly Route[];
}
