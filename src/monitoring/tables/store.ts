import type { MetricRow } from '../metrics.ts';

/** The store and its writes. */
// biome-ignore format: a table
export const STORE_METRICS = {
  storeTransactions: { name: 'linarite_store_transactions_total', kind: 'counter', help: 'Write transactions committed.' },
  storeJobs:         { name: 'linarite_store_jobs_total', kind: 'counter', help: 'Writes committed. Divided by the transactions: the size of a group commit.' },
  storeJobsWaiting:  { name: 'linarite_store_jobs_waiting', kind: 'gauge', help: 'Writes that wait for their transaction to begin.', alarm: 'above 256 (the most writes in one transaction) for 5 minutes' },
  clockOffset:       { name: 'linarite_clock_offset_seconds', kind: 'gauge', help: 'Clock of this node minus that of the store, measured once a minute.', alarm: 'above 30 s or below -30 s' },
} as const satisfies Record<string, MetricRow>;
