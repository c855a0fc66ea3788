/** Where the time comes from. Handed in, so that tests need no patience. */
export interface Clock {
  /** The wall clock, in milliseconds since 1970. For dates that people and tokens carry. */
  now(): number;
  /** Elapsed milliseconds since an arbitrary start, never going back. For leases and timeouts. */
  elapsed(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
};
