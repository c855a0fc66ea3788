/** A row of the table of chores. */
interface ChoreRow {
  readonly name: string;
  readonly firstMs: number;
  readonly periodMs: number;
  readonly where: 'everyNode' | 'oneNode';
  /** What it does, and why so often, for the reference page. */
  readonly help: string;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Every chore of the server. The reference page is written from this table. */
// biome-ignore format: a table
export const CHORES = {
  signingKeys:      { name: 'rotating signing keys', where: 'oneNode', firstMs: SECOND_MS, periodMs: 10 * MINUTE_MS, help: 'Makes the signing key that follows, switches to it when it is due, and removes keys whose tokens have all expired. It does nothing within an hour of a jump of the clock.' },
  dataKeys:         { name: 'maintaining data keys', where: 'oneNode', firstMs: SECOND_MS, periodMs: 10 * MINUTE_MS, help: 'Makes a new data key when the current one is 90 days old or was used 2^30 times, encrypts values of former ones again, and removes data keys that nothing needs any more.' },
  encryptions:      { name: 'counting the use of data keys', where: 'everyNode', firstMs: SECOND_MS, periodMs: MINUTE_MS, help: 'Adds the encryptions of this node to the count in the store. Writes only after encryptions.' },
  deletions:        { name: 'removing what belonged to deleted resources', where: 'oneNode', firstMs: SECOND_MS, periodMs: MINUTE_MS, help: 'Removes identities, assignments and all else of a deleted resource, in short transactions, and once more an hour later. Goes on after a restart.' },
  facts:            { name: 'removing old facts', where: 'oneNode', firstMs: 10 * MINUTE_MS, periodMs: HOUR_MS, help: 'Removes facts that every follower has read and that are older than a day.' },
  certificate:      { name: 'renewing the certificate', where: 'everyNode', firstMs: SECOND_MS, periodMs: HOUR_MS, help: 'Development mode only: makes a new certificate 30 days before the present one ends.' },
  clockOffset:      { name: 'comparing the clock with that of the store', where: 'everyNode', firstMs: SECOND_MS, periodMs: MINUTE_MS, help: 'Measures `linarite_clock_offset_seconds`.' },
  latestTime:       { name: 'noting the time', where: 'everyNode', firstMs: SECOND_MS, periodMs: MINUTE_MS, help: 'Production mode only: notes the time in the store. A start whose clock is behind it is refused.' },
  wellKnownKey:     { name: 'warning of the published key', where: 'everyNode', firstMs: SECOND_MS, periodMs: 10 * MINUTE_MS, help: 'Only with `LINARITE_WELL_KNOWN_KEY=everywhere`: writes a warning to the log.' },
} as const satisfies Record<string, ChoreRow>;

export type ChoreKey = keyof typeof CHORES;
