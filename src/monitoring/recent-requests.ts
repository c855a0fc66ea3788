import type { Reason } from '../errors.ts';
import type { RequestFacts } from './events.ts';
import { pathText } from './path-text.ts';
import { callerText, safeText, withoutUnprintable } from './safe-text.ts';

/** What is told of a request to the person who develops against the server. */
export interface RecentRequest {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly reason: RequestFacts['reason'];
  readonly detail: string | undefined;
}

interface Options {
  /** How many are kept. */
  most: number;
  /** Operations that are not. */
  except: readonly string[];
}

/** The last requests, in memory alone, with nothing in them that the log would hide. */
export class RecentRequests {
  readonly #options: Options;
  readonly #kept: RecentRequest[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  add(facts: RequestFacts, atMs: number): void {
    const { operation, method, path, pathPattern, status, reason, detail } = facts;
    const { most, except } = this.#options;
    if (except.includes(operation)) return;
    this.#kept.push({
      atMs,
      method: harmless(method),
      path: path === undefined ? '' : pathText(path, pathPattern),
      status,
      reason: reason as Reason | undefined,
      detail: detail === undefined ? undefined : harmless(detail),
    });
    if (this.#kept.length > most) this.#kept.shift();
  }

  /** The newest first. */
  list(): RecentRequest[] {
    return this.#kept.toReversed();
  }
}

const harmless = (text: string): string => withoutUnprintable(safeText(callerText(text)));
