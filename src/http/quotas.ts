import type { ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';

interface Quota {
  /** Requests of one resource within a window. */
  readonly requests: number;
  /** Whether it counts what ends access. */
  readonly endsAccess: boolean;
}

/** What the original counts (identity-protocol, section 6). */
// biome-ignore format: a table
export const QUOTAS = {
  createIdentity:          { requests: 1000, endsAccess: false},
  createIdentityWithToken: { requests: 1000, endsAccess: false},
  issueToken:              { requests: 1000, endsAccess: false},
  exchangeToken:           { requests: 500,  endsAccess: false},
  deleteIdentity:          { requests: 500,  endsAccess: true  },
  revokeTokens:            { requests: 500,  endsAccess: true  },
} as const satisfies Record<string, Quota>;

export type QuotaName = keyof typeof QUOTAS;

/** How long the original counts before it begins anew. */
const WINDOW_MS = 30_000;

interface Options {
  /** `acs`: the original's; `off`: none. */
  preset: 'off' | 'acs';
  /** Whether requests that end access are counted, too. */
  countsEndings: boolean;
}

/** Counts requests against the quotas of the original: for this node alone, in windows that all resources share. */
export class Quotas {
  readonly #clock: Clock;
  readonly #options: Options;
  #window = 0;
  /** Requests of this window by quota and resource. Refused ones count, as in the original. */
  readonly #counts = new Map<string, number>();

  constructor(clock: Clock, options: Options) {
    this.#clock = clock;
    this.#options = options;
  }

  /** @throws ServiceError `TooManyRequests`, which says how long the window still lasts */
  count(name: QuotaName, resourceId: ResourceId): void {
    const { preset, countsEndings } = this.#options;
    const { requests, endsAccess } = QUOTAS[name];
    if (preset === 'off' || (endsAccess && !countsEndings)) return;

    const now = this.#clock.elapsed();
    const window = Math.floor(now / WINDOW_MS);
    if (window !== this.#window) this.#counts.clear();
    this.#window = window;
    const key = `${name} ${resourceId}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    if (count <= requests) return;
    const retryAfter = Math.ceil(((window + 1) * WINDOW_MS - now) / 1000);
    throw new ServiceError('TooManyRequests', { reason: 'quota.exceeded', detail: name, retryAfter });
  }
}
