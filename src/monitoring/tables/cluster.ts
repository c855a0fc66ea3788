import type { MetricRow } from '../metrics.ts';

/** What the nodes on one store tell each other. */
// biome-ignore format: a table
export const CLUSTER_METRICS = {
  hintsConnected:   { name: 'linarite_hints_connected', kind: 'gauge', help: '1 while this node hears the hints of other nodes. Facts come without hints too, up to two seconds later.', alarm: '0 for a minute on a node that has sessions' },
  watches:          { name: 'linarite_fact_watches', kind: 'gauge', help: 'Sessions of this node that watch a stream of facts.' },
  watchedStreams:   { name: 'linarite_fact_streams_watched', kind: 'gauge', help: 'Streams of facts that at least one session of this node watches.' },
  sweepFailures:    { name: 'linarite_fact_sweep_failures_total', kind: 'counter', help: 'Sweeps of watched streams that the store did not answer. Each is tried again.', alarm: 'sustained growth' },
  factsWaiting:     { name: 'linarite_facts_waiting', kind: 'gauge', labels: ['follower'], help: 'Facts that a follower has not read yet, as of its last reading on this node.', alarm: 'growth for 10 minutes' },
  followersRunning: { name: 'linarite_followers_running', kind: 'gauge', labels: ['follower'], help: '1 for each follower that this node runs. Over all nodes, each follower is run once.', alarm: 'sum over all nodes not 1 for a minute' },
  topicsFailing:    { name: 'linarite_topics_failing', kind: 'gauge', help: 'Topics whose rows this node could not read again after a change. Each is tried again.', alarm: 'above 0 for a minute' },
} as const satisfies Record<string, MetricRow>;
