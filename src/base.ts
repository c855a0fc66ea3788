import type { Cluster } from './cluster/cluster.ts';
import type { Clock } from './lib/clock.ts';
import type { SteadyTime } from './lib/steady-time.ts';
import type { Monitor } from './monitoring/monitor.ts';
import type { ServerMetrics } from './monitoring/server-metrics.ts';
import type { ReadKeks } from './secrets/kek.ts';
import type { KeyRing } from './secrets/key-ring.ts';
import type { Settings } from './settings.ts';
import type { Database } from './storage/database.ts';

/** What every part of a server stands on. For builders only: a class names the parts that it uses. */
export interface Base {
  readonly settings: Settings;
  /** The data folder; undefined when nothing is kept. */
  readonly folder: string | undefined;
  /** The store, with every migration done. */
  readonly db: Database;
  /** What the nodes on one store tell each other: facts of streams, and topics. */
  readonly cluster: Cluster;
  readonly keyRing: KeyRing;
  readonly readKeks: ReadKeks;
  readonly clock: Clock;
  readonly time: SteadyTime;
  readonly events: Monitor;
  readonly metrics: ServerMetrics;
  /** Address that clients reach this server at, without a trailing slash: `https://localhost:7417`. */
  readonly origin: string;
}

export const MINUTE_MS = 60_000;
export const DAY_MS = 24 * 60 * MINUTE_MS;
