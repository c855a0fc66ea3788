import { ACCESS_ERRORS, ACCESS_REASONS } from './errors/access.ts';
import { HTTP_ERRORS, HTTP_REASONS } from './errors/http.ts';
import { IDENTITY_ERRORS, IDENTITY_REASONS } from './errors/identity.ts';
import { MANAGEMENT_ERRORS } from './errors/management.ts';
import { OPERATOR_ERRORS } from './errors/operator.ts';
import type { ErrorShape } from './errors/shape.ts';
import { SIGN_IN_ERRORS, SIGN_IN_REASONS } from './errors/sign-in.ts';
import { merged } from './lib/merged.ts';

/** The tables of errors, in the order of the reference page. A plane adds its own, with the heading that they get there. */
export const ERROR_GROUPS = {
  'Any request': HTTP_ERRORS,
  'Authentication and access': ACCESS_ERRORS,
  'Identities and tokens': IDENTITY_ERRORS,
  'Resources and management': MANAGEMENT_ERRORS,
  'Imports, trusts, backups and keys': OPERATOR_ERRORS,
  'Sign-in': SIGN_IN_ERRORS,
} as const;

/**
 * Every error a client can receive, declared once. Only the edge turns a name into HTTP.
 * Statuses, codes, texts and targets follow the recorded service where a recording exists (identity-protocol, section 4).
 */
export const ERRORS = merged(ERROR_GROUPS);

export type ErrorName = keyof typeof ERRORS;

/** The tables of reasons, as {@link ERROR_GROUPS}. */
export const REASON_GROUPS = {
  'Any request': HTTP_REASONS,
  'Authentication and access': ACCESS_REASONS,
  'Identities and tokens': IDENTITY_REASONS,
  'Sign-in': SIGN_IN_REASONS,
} as const;

/**
 * Why something was refused, in one word for logs, metrics and (in dev mode) the `x-linarite-reason` header.
 * An error without a finer reason is its own. Rows, not free text: people search and alert on these.
 */
export const REASONS = merged(REASON_GROUPS);

export type Reason = keyof typeof REASONS;

interface Facts {
  /** `error.target` on the wire, where it varies. */
  target?: string;
  /** What the `{names}` in the message stand for. Never a secret: it is sent to the caller. */
  values?: Record<string, string | number>;
  /** For logs and the dev-mode header. Never a secret, but not for production callers either. */
  reason?: Reason;
  /** A few words more on the reason: which header, which event and when. */
  detail?: string;
  /** Seconds for `Retry-After`, where they vary. */
  retryAfter?: number;
  /** `error.details` on the wire: several things that are wrong with one request. */
  details?: readonly ServiceError[];
  /** `error.innererror` on the wire: the same error said more exactly. */
  inner?: ServiceError;
  /** For the log. Never sent. */
  cause?: unknown;
}

/** The one thing thrown on purpose: a row of {@link ERRORS}, with what is particular to this case. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly error: ErrorName;
  readonly target: string | undefined;
  readonly reason: Reason | ErrorName;
  readonly detail: string | undefined;
  readonly retryAfter: number | undefined;
  readonly details: readonly ServiceError[] | undefined;
  readonly inner: ServiceError | undefined;

  constructor(error: ErrorName, facts: Facts = {}) {
    const { target, values = {}, reason, detail, retryAfter, details, inner, cause } = facts;
    const shape: ErrorShape = ERRORS[error];
    super(
      shape.message.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? '')),
      { cause },
    );
    this.error = error;
    this.target = target ?? shape.target;
    this.reason = reason ?? error;
    this.detail = detail;
    this.retryAfter = retryAfter ?? shape.retryAfter;
    this.details = details;
    this.inner = inner;
  }

  get shape(): ErrorShape {
    return ERRORS[this.error];
  }
}
