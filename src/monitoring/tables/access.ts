import type { MetricRow } from '../metrics.ts';

/** Identities, tokens, keys, and what ends access. */
// biome-ignore format: a table
export const ACCESS_METRICS = {
  identities:         { name: 'linarite_identities_created_total', kind: 'counter', help: 'Identities created.' },
  tokens:             { name: 'linarite_tokens_issued_total', kind: 'counter', labels: ['scope'], help: 'Access tokens issued. A token counts once for each of its scopes.' },
  revocations:        { name: 'linarite_revocation_events_total', kind: 'counter', labels: ['kind'], help: 'Events that end tokens, committed by this node.' },
  sessions:           { name: 'linarite_sessions', kind: 'gauge', labels: ['kind'], help: 'What is open for users: sockets, and parked requests, which wait for their answer.' },
  sessionsEnded:      { name: 'linarite_sessions_ended_total', kind: 'counter', labels: ['kind', 'reason'], help: 'Sessions that this node ended: the token of the user was ended or has expired, or this node could not tell for a minute. See the error reference.', alarm: 'lease.expired: any' },
  unknownKeys:        { name: 'linarite_unknown_signing_keys_total', kind: 'counter', help: 'Tokens that name a signing key this node does not know.', alarm: 'steady growth: a node missed a rotation, or somebody sends invented key ids' },
  signingKeys:        { name: 'linarite_signing_keys', kind: 'gauge', labels: ['state'], help: 'Signing keys by state.', alarm: 'not exactly one active' },
  signaturesUnderWay: { name: 'linarite_signatures_under_way', kind: 'gauge', help: 'Signatures that are being made or wait for a thread.' },
  logPosition:        { name: 'linarite_revocation_log_position', kind: 'gauge', help: 'Newest position of the revocation log that this node has applied.', alarm: 'nodes differ for longer than the lease' },
  leaseAge:           { name: 'linarite_revocation_lease_age_seconds', kind: 'gauge', help: 'Age of the last confirmed heartbeat with the store.', alarm: 'above half the lease (1 s by default) for a minute' },
} as const satisfies Record<string, MetricRow>;
