import { fork } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Tally } from './tally.ts';

/** What to send, for how long. */
export interface Order {
  readonly port: number;
  /** Signed requests, sent in turns. */
  readonly requests: readonly string[];
  readonly connections: number;
  /** Requests that come at a rate; undefined: each connection sends its next when the last was answered. */
  readonly perSecond?: number;
  readonly seconds: number;
}

/**
 * Clients in a process of their own. A process that loads a server cannot tell how long others wait for it: its own answers
 * queue in its own event loop. So one group of clients makes the load, and another one, with little to do, takes the times.
 */
export class LoadClients {
  readonly #child = fork(join(import.meta.dirname, 'load-clients-process.ts'), {
    execArgv: [],
    serialization: 'advanced',
  });

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  constructor(t: TestContext) {
    t.after(() => this.#child.kill('SIGKILL'));
  }

  /** Has it wait for no processor, where this user may say so: otherwise it would measure its own waiting. */
  goFirst(): this {
    try {
      setPriority(this.pid, constants.priority.PRIORITY_HIGHEST);
    } catch {
      // only root may
    }
    return this;
  }

  /** Waits until every request sent was answered. */
  async send(order: Order): Promise<Tally> {
    this.#child.send(order);
    const [tally] = await once(this.#child, 'message');
    return Object.assign(new Tally(), tally);
  }
}
