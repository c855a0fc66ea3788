import type { MetricRow } from '../metrics.ts';

/** What the server does by itself. */
// biome-ignore format: a table
export const CHORE_METRICS = {
  choreRuns:        { name: 'linarite_chore_runs_total', kind: 'counter', labels: ['chore'], help: 'Runs of chores that ended on this node, failed ones included; see the reference of chores.' },
  choreFailures:    { name: 'linarite_chore_failures_total', kind: 'counter', labels: ['chore'], help: 'Runs of chores that failed on this node. A failed chore is tried again after a minute at most.', alarm: 'three or more of one chore within 10 minutes' },
  choreLastSuccess: { name: 'linarite_chore_last_success_timestamp_seconds', kind: 'gauge', labels: ['chore'], help: 'When a chore last succeeded, in seconds since 1970; for a chore of one node: on whichever node.', alarm: 'for a chore: longer ago than three of its periods, or missing for three periods after the start' },
} as const satisfies Record<string, MetricRow>;
