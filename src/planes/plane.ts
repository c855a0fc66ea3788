import type { Chore } from '../chores/chore.ts';
import type { Following } from '../cluster/followers.ts';
import type { TopicFollower } from '../cluster/topics.ts';
import type { Api } from '../http/dialect.ts';
import type { Metric } from '../monitoring/metrics.ts';
import type { Readings } from '../monitoring/server-metrics.ts';
import type { Forgetter } from '../resources/forgetting.ts';

/** What a plane is called: the tag of its operations in the OpenAPI document, and its part of the reference pages. */
// biome-ignore format: one name a line, so that a new plane is a new line
export type PlaneName =
  | 'identity'
  | 'management'
  | 'operator'
  | 'sign-in'
  | 'console';

/** One API of the server, with all that belongs to it. */
export interface Plane extends Api {
  readonly name: PlaneName;
  /** What the server does for the plane again and again. */
  readonly chores?: readonly Chore[];
  /** What the plane keeps in memory, and reads again when another node has changed it. Read before the first request. */
  readonly topics?: readonly TopicFollower[];
  /** Reads the facts of all streams, on one node at a time, each at least once. */
  readonly hears?: { readonly name: string; readonly run: Following };
  /** How what the plane keeps of resources and identities is removed with them. */
  readonly forgets?: Forgetter;
  /** Counters and histograms that the plane feeds by itself, each made from a row of the metrics. */
  readonly metrics?: readonly Metric[];
  /** Where to read figures that the plane keeps anyway. */
  readonly readings?: Readings;
  /** Ends what the plane has open, when the server stops. The signal is given when the time for that has run out. */
  stop?(signal: AbortSignal): Promise<void>;
}
