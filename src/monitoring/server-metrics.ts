import { SCOPES } from '../capabilities/tables.ts';
import { REASONS } from '../errors.ts';
import { Counter, Histogram, Info, type Metric, type MetricRow, openMetrics, type Read, Reading } from './metrics.ts';

/** Every metric of the server. The reference page is written from this table. */
// biome-ignore format: a table
export const METRICS = {
  requests:            { name: 'linarite_requests_total', kind: 'counter', labels: ['operation', 'status', 'caller'], help: 'Answered requests.', alarm: 'status 500: any; status 503: more than 1 % of requests for 5 minutes' },
  durations:           { name: 'linarite_request_duration_seconds', kind: 'histogram', labels: ['operation'], help: 'Time from the arrival of the request headers to the answer, without the time that a request was parked.', alarm: '99th percentile of issueAccessToken above 0.5 s for 10 minutes' },
  refusals:            { name: 'linarite_refusals_total', kind: 'counter', labels: ['reason'], help: 'Requests refused, by reason; see the error reference.', alarm: 'lease.expired (tokens are refused because revocations may have been missed), store.failed and token.ahead: any; overload.usual (requests refused under overload): above 1 % of requests for 5 minutes; overload.urgent and overload.bodies: any' },
  identities:          { name: 'linarite_identities_created_total', kind: 'counter', help: 'Identities created.' },
  tokens:              { name: 'linarite_tokens_issued_total', kind: 'counter', labels: ['scope'], help: 'Access tokens issued, once for each scope they carry.' },
  revocations:         { name: 'linarite_revocation_events_total', kind: 'counter', labels: ['kind'], help: 'Events that end tokens, committed by this node.' },
  sessions:            { name: 'linarite_sessions', kind: 'gauge', labels: ['kind'], help: 'What is open for users: sockets, and parked requests, which wait for their answer.' },
  sessionsEnded:       { name: 'linarite_sessions_ended_total', kind: 'counter', labels: ['kind', 'reason'], help: 'Sessions that this node ended because their token was ended or expired, or because it could not tell for a minute; see the error reference.', alarm: 'lease.expired: any' },
  unknownKeys:         { name: 'linarite_unknown_signing_keys_total', kind: 'counter', help: 'Tokens that name a signing key this node does not know.', alarm: 'sustained growth: a node missed a rotation, or somebody tries keys' },
  newerVersions:       { name: 'linarite_newer_api_versions_total', kind: 'counter', help: 'Requests with an api-version newer than all known ones, served as the newest known.', alarm: 'any: an update of the server is due' },
  requestsUnderWay:    { name: 'linarite_requests_under_way', kind: 'gauge', labels: ['lane'], help: 'Requests under way. The lane urgent is for requests that end access or ask for health and metrics.', alarm: 'usual above half of LINARITE_REQUESTS_MOST for 5 minutes: one resource may have used its whole share' },
  requestsParked:      { name: 'linarite_requests_parked', kind: 'gauge', help: 'Requests that wait for something to happen. They take no place from others.', alarm: 'above 4000: from 5000 on new ones are refused' },
  sockets:             { name: 'linarite_sockets', kind: 'gauge', help: 'Open WebSockets.', alarm: 'above 4000: from 5000 on new ones are refused' },
  socketsClosed:       { name: 'linarite_sockets_closed_total', kind: 'counter', labels: ['operation', 'code'], help: 'WebSockets that were closed, by close code.', alarm: 'code 1011: any; code 1013 (messages were not read): sustained growth' },
  bodyBytes:           { name: 'linarite_request_body_bytes', kind: 'gauge', help: 'Bytes of request bodies in memory, of 32 MiB at most.' },
  signaturesUnderWay:  { name: 'linarite_signatures_under_way', kind: 'gauge', help: 'Signatures that are being made or wait for a thread.' },
  storeJobsWaiting:    { name: 'linarite_store_jobs_waiting', kind: 'gauge', help: 'Writes that wait for their transaction to begin.', alarm: 'above 256 (the most writes in one transaction) for 5 minutes' },
  connections:         { name: 'linarite_connections', kind: 'gauge', help: 'Open connections.', alarm: 'above 11000: from 12000 on new ones are refused' },
  connectionsRefused:  { name: 'linarite_connections_refused_total', kind: 'counter', help: 'Connections refused because there were too many.', alarm: 'any' },
  logPosition:         { name: 'linarite_revocation_log_position', kind: 'gauge', help: 'Newest position of the revocation log that this node has applied.', alarm: 'nodes differ for longer than the lease' },
  leaseAge:            { name: 'linarite_revocation_lease_age_seconds', kind: 'gauge', help: 'Age of the last confirmed heartbeat with the store.', alarm: 'above half the lease (1 s by default) for a minute' },
  signingKeys:         { name: 'linarite_signing_keys', kind: 'gauge', labels: ['state'], help: 'Signing keys by state.', alarm: 'not exactly one active' },
  clockOffset:         { name: 'linarite_clock_offset_seconds', kind: 'gauge', help: 'Clock of this node minus that of the store, measured once a minute.', alarm: 'further than 30 s from 0' },
  storeTransactions:   { name: 'linarite_store_transactions_total', kind: 'counter', help: 'Write transactions committed.' },
  storeJobs:           { name: 'linarite_store_jobs_total', kind: 'counter', help: 'Writes committed. Divided by the transactions: the size of a group commit.' },
  logLinesDropped:     { name: 'linarite_log_lines_dropped_total', kind: 'counter', help: 'Log lines lost because standard error was not read or was closed.', alarm: 'any' },
  monitoringFailures:  { name: 'linarite_monitoring_failures_total', kind: 'counter', help: 'Events that could not be logged or counted.', alarm: 'any' },
  busySeconds:         { name: 'linarite_event_loop_busy_seconds_total', kind: 'counter', help: 'Time that the event loop was busy. Its rate is the share of one core.', alarm: 'rate above 0.9 for 5 minutes: answers wait for the loop' },
  cpuSeconds:          { name: 'process_cpu_seconds_total', kind: 'counter', help: 'Processor time of all threads, user and system.' },
  residentBytes:       { name: 'process_resident_memory_bytes', kind: 'gauge', help: 'Resident memory.' },
  startTime:           { name: 'process_start_time_seconds', kind: 'gauge', help: 'When the process started, in seconds since 1970.' },
  build:               { name: 'linarite_build_info', kind: 'info', labels: ['version', 'node'], help: 'Which build runs on which Node.js.' },
} as const satisfies Record<string, MetricRow>;

const DURATION_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Figures that other parts keep; a family without its reading is not shown. */
export type Watched =
  | 'sessions'
  | 'requestsUnderWay'
  | 'requestsParked'
  | 'sockets'
  | 'bodyBytes'
  | 'signaturesUnderWay'
  | 'storeJobsWaiting'
  | 'connections'
  | 'connectionsRefused'
  | 'logPosition'
  | 'leaseAge'
  | 'signingKeys'
  | 'clockOffset'
  | 'storeTransactions'
  | 'storeJobs'
  | 'logLinesDropped';

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
  readonly sessionsEnded = new Counter(METRICS.sessionsEnded);
  readonly unknownKeys = new Counter(METRICS.unknownKeys);
  readonly newerVersions = new Counter(METRICS.newerVersions);
  readonly socketsClosed = new Counter(METRICS.socketsClosed);
  readonly monitoringFailures = new Counter(METRICS.monitoringFailures);
  readonly #readings = new Map<string, Metric>();
  readonly #build: Info;

  /** @param version that of the package */
  constructor(version: string) {
    this.#build = new Info(METRICS.build, version, process.version);
    this.#watch('busySeconds', () => performance.eventLoopUtilization().active / 1000);
    this.#watch('cpuSeconds', cpuSeconds);
    this.#watch('residentBytes', () => process.memoryUsage.rss());
    this.#watch('startTime', () => performance.timeOrigin / 1000);
  }

  /** Tells where to read figures when a scrape comes. A later call for the same figure takes its place. */
  watch(readings: { readonly [Name in Watched]?: Read }): void {
    for (const [name, read] of Object.entries(readings)) this.#watch(name as Watched, read);
  }

  /** Everything as OpenMetrics text; send it as {@link OPEN_METRICS}. */
  render(): string {
    const { requests, durations, refusals, identities, tokens, revocations, unknownKeys, newerVersions } = this;
    const counted = [requests, durations, refusals, identities, tokens, revocations, unknownKeys, newerVersions];
    return openMetrics([
      ...counted,
      this.socketsClosed,
      this.sessionsEnded,
      this.monitoringFailures,
      ...this.#readings.values(),
      this.#build,
    ]);
  }

  #watch(name: keyof typeof METRICS, read: Read): void {
    this.#readings.set(name, new Reading(METRICS[name], read));
  }
}

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
