/**
 * Where the original raises an error. It decides one header: `api-supported-versions` is on every answer of an action,
 * also on its errors, and on nothing that is refused earlier.
 * - `pipeline`: before the action (framing, routing, authentication, limits), or when the server itself fails;
 * - `reading`: while the body is parsed and checked by the schema of the route;
 * - `action`: by the operation.
 */
export type RaisedBy = 'pipeline' | 'reading' | 'action';

/** One row of a table of errors. */
export interface ErrorShape {
  /** HTTP status. */
  readonly status: number;
  /** `error.code` on the wire. Several names may share one. */
  readonly code: string;
  /** `error.message` on the wire; `{name}` takes the value given when it is thrown. */
  readonly message: string;
  /** `error.target` on the wire, where it is always the same. */
  readonly target?: string;
  readonly raisedBy: RaisedBy;
  /** `error` at routes that speak OAuth, where it is not `invalid_request` (RFC 6749, section 5.2; RFC 8628, section 3.5). */
  readonly oauth?: string;
  /** Seconds for `Retry-After`. */
  readonly retryAfter?: number;
}
