import type { LoadAnswer } from './wire.ts';

/** What became of many requests. */
export class Tally {
  readonly byStatus = new Map<number, number>();
  /** Milliseconds of each request that was served. */
  readonly served: number[] = [];
  /** 429 and 503 that do not say when to come again: must stay 0. */
  withoutRetryAfter = 0;
  /** Connections that were cut while a request waited. */
  cut = 0;
  /** Requests for which no connection was free: the generator's own bound. */
  unsent = 0;

  note({ status, retryAfter }: LoadAnswer, ms: number): void {
    this.byStatus.set(status, this.count(status) + 1);
    if (status < 300) this.served.push(ms);
    if ((status === 429 || status === 503) && !retryAfter) this.withoutRetryAfter += 1;
  }

  count(status: number): number {
    return this.byStatus.get(status) ?? 0;
  }

  get answered(): number {
    return [...this.byStatus.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Answers other than success and a refusal that says when to come again. */
  get unexpected(): number {
    return this.answered - this.served.length - this.count(429) - this.count(503);
  }

  /** Milliseconds that a share of the served requests stayed below. */
  quantile(share: number): number {
    const sorted = this.served.toSorted((one, other) => one - other);
    return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10;
  }
}
