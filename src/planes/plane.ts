import type { Api } from '../http/dialect.ts';

/** What a plane is called: the tag of its operations in the OpenAPI document, and its part of the reference pages. */
export type PlaneName = 'identity' | 'management' | 'operator' | 'sign-in' | 'console';

/** One API of the server, with all that belongs to it. */
export interface Plane extends Api {
  readonly name: PlaneName;
  /** Ends what the plane has open, when the server stops. The signal is given when the time for that has run out. */
  stop?(signal: AbortSignal): Promise<void>;
}
