import type { MetricRow } from '../metrics.ts';

/** The process, its log and its build. */
// biome-ignore format: a table
export const PROCESS_METRICS = {
  busySeconds:        { name: 'linarite_event_loop_busy_seconds_total', kind: 'counter', help: 'Time that the event loop was busy. Its rate is the used share of one core.', alarm: 'rate above 0.9 for 5 minutes: answers wait for the event loop' },
  cpuSeconds:         { name: 'process_cpu_seconds_total', kind: 'counter', help: 'Processor time of all threads, user and system.' },
  residentBytes:      { name: 'process_resident_memory_bytes', kind: 'gauge', help: 'Resident memory.' },
  startTime:          { name: 'process_start_time_seconds', kind: 'gauge', help: 'When the process started, in seconds since 1970.' },
  logLinesDropped:    { name: 'linarite_log_lines_dropped_total', kind: 'counter', help: 'Log lines lost because standard error was not read or was closed.', alarm: 'any' },
  monitoringFailures: { name: 'linarite_monitoring_failures_total', kind: 'counter', help: 'Events that could not be logged or counted.', alarm: 'any' },
  build:              { name: 'linarite_build_info', kind: 'info', labels: ['version', 'node'], help: 'Version of the server and of Node.js.' },
} as const satisfies Record<string, MetricRow>;
