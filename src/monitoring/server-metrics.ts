import { SCOPES } from '../capabilities/tables.ts';
import { REASONS } from '../errors.ts';
import { merged } from '../lib/merged.ts';
import { MetricSet, type ReadingsOf } from './metric-set.ts';
import { Counter, Histogram, Info, type Metric } from './metrics.ts';
import { ACCESS_METRICS } from './tables/access.ts';
import { CHORE_METRICS } from './tables/chores.ts';
import { CLUSTER_METRICS } from './tables/cluster.ts';
import { PROCESS_METRICS } from './tables/process.ts';
import { REQUEST_METRICS } from './tables/requests.ts';
import { STORE_METRICS } from './tables/store.ts';

/** The tables of metrics, in the order of the reference page. A plane adds its own, with its title. */
export const METRIC_GROUPS = {
  Requests: REQUEST_METRICS,
  'Identities, tokens and revocation': ACCESS_METRICS,
  Store: STORE_METRICS,
  'Facts between nodes': CLUSTER_METRICS,
  Chores: CHORE_METRICS,
  Process: PROCESS_METRICS,
} as const;

/** Every metric of the server. The reference page is written from these tables. */
export const METRICS = merged(METRIC_GROUPS);

/** Figures that other parts keep. A figure without its reading is not shown. */
export type Readings = ReadingsOf<typeof METRICS>;

const DURATION_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What this server counts, as plain numbers: counting costs nothing at the start and next to nothing per request. */
export class ServerMetrics {
  readonly requests = new Counter(METRICS.requests);
  readonly durations = new Histogram(METRICS.durations, DURATION_BOUNDS);
  readonly refusals = new Counter(
    METRICS.refusals,
    Object.keys(REASONS).map((reason) => [reason]),
  );
  readonly identities = new Counter(METRICS.identities);
  readonly tokens = new Counter(
    METRICS.tokens,
    SCOPES.map((scope) => [scope]),
  );
  readonly revocations = new Counter(METRICS.revocations);
  readonly unknownKeys = new Counter(METRICS.unknownKeys);
  readonly newerVersions = new Counter(METRICS.newerVersions);
  readonly socketsClosed = new Counter(METRICS.socketsClosed);
  readonly choreRuns = new Counter(METRICS.choreRuns);
  readonly choreFailures = new Counter(METRICS.choreFailures);
  readonly monitoringFailures = new Counter(METRICS.monitoringFailures);
  readonly #all = new MetricSet(METRICS);
  readonly #choreSuccesses: Record<string, number> = {};

  /** @param version that of the package */
  constructor(version: string) {
    const { requests, durations, refusals, identities, tokens, revocations, unknownKeys, newerVersions } = this;
    this.add(requests, durations, refusals, identities, tokens, revocations, unknownKeys, newerVersions);
    this.add(this.choreRuns, this.choreFailures);
    this.add(this.socketsClosed, this.monitoringFailures, new Info(METRICS.build, version, process.version));
    this.watch({
      busySeconds: () => performance.eventLoopUtilization().active / 1000,
      cpuSeconds,
      residentBytes: () => process.memoryUsage.rss(),
      choreLastSuccess: () => this.#choreSuccesses,
      startTime: () => performance.timeOrigin / 1000,
    });
  }

  /** Takes counters and histograms that a plane makes from its rows and feeds itself. See {@link MetricSet.add}. */
  add(...metrics: readonly Metric[]): void {
    this.#all.add(...metrics);
  }

  /** Tells where to read figures when a scrape comes. See {@link MetricSet.watch}. */
  watch(readings: Readings): void {
    this.#all.watch(readings);
  }

  /** Shows the counters of chores from the start, at 0. */
  showChores(chores: readonly string[]): void {
    for (const chore of chores) for (const counter of [this.choreRuns, this.choreFailures]) counter.show(chore);
  }

  /** @param seconds since 1970 */
  choreSucceeded(chore: string, seconds: number): void {
    this.#choreSuccesses[chore] = Math.max(seconds, this.#choreSuccesses[chore] ?? 0);
  }

  /** Everything as OpenMetrics text; send it as {@link OPEN_METRICS}. */
  render(): string {
    return this.#all.render();
  }
}

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
