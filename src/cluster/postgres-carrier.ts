import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Backoff } from '../lib/backoff.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Events } from '../monitoring/events.ts';
import type { Carrier, CarrierListener } from './carrier.ts';

interface Uses {
  /** `postgres://user:password@host/database` */
  url: string;
  events: Pick<Events, 'notice'>;
}

interface Options {
  pingMs?: number;
  /** Pauses between attempts to connect, the first and the longest. */
  backoffMs?: readonly [first: number, most: number];
}

const CHANNEL = 'linarite_hints';
/** Beside the names of the pool, so that an administrator can tell them apart. */
const APPLICATION = 'linarite-hints';
const PING_MS = 10_000;
const BACKOFF_MS = [250, 10_000] as const;
const TIMEOUT_MS = 5000;
/** A message of its own, which proves that what is sent is heard. */
const PING = '';

/**
 * Hints by LISTEN and NOTIFY, on a connection of its own. It hears what it sends: a connection on which its own ping does
 * not come back carries nothing, as behind a pooler that shares connections between transactions.
 */
export class PostgresCarrier implements Carrier {
  readonly #uses: Uses;
  readonly #pingMs: number;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  /** The one that messages go by; undefined while there is none. */
  #client: pg.Client | undefined;
  /** Of the last connection that was made or tried. */
  #lost = new AbortController();
  #running: Promise<void> | undefined;
  #wasToldLost = false;

  constructor(uses: Uses, { pingMs = PING_MS, backoffMs = BACKOFF_MS }: Options = {}) {
    this.#uses = uses;
    this.#pingMs = pingMs;
    this.#backoff = new Backoff(...backoffMs);
  }

  get isConnected(): boolean {
    return this.#client !== undefined;
  }

  start(listener: CarrierListener): void {
    this.#running ??= this.#run(listener);
  }

  async send(messages: readonly string[]): Promise<void> {
    const client = this.#client;
    if (!client) return;
    const text = 'select pg_notify($1, message) from unnest($2::text[]) as message';
    await client.query(text, [CHANNEL, messages]).catch(() => this.#drop(client));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#lost.abort();
    await this.#running;
  }

  async #run(listener: CarrierListener): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#connectedOnce(listener);
      } catch (cause) {
        this.#tellLost(cause);
      }
      await sleep(this.#backoff.next(), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Connects, and resolves when the connection is lost. */
  async #connectedOnce(listener: CarrierListener): Promise<void> {
    const { default: driver } = await import('pg');
    const client = new driver.Client({
      connectionString: this.#uses.url,
      application_name: APPLICATION,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
      keepAlive: true,
    });
    const lost = new AbortController();
    this.#lost = lost;
    if (this.#stopping.signal.aborted) lost.abort();
    client.on('error', () => lost.abort()).on('end', () => lost.abort());
    let heard = true;
    client.on('notification', ({ payload = PING }) => {
      if (payload === PING) heard = true;
      else listener.onMessage(payload);
    });
    try {
      // What the driver is asked for may never settle once the client is ended.
      await unlessAborted(lost.signal, client.connect());
      if (!lost.signal.aborted) await unlessAborted(lost.signal, client.query(`listen ${CHANNEL}`));
      if (!lost.signal.aborted) this.#connected(client, listener);
      while (heard && !lost.signal.aborted) {
        heard = false;
        await unlessAborted(lost.signal, client.query('select pg_notify($1, $2)', [CHANNEL, PING]));
        await sleep(this.#pingMs, undefined, { signal: lost.signal, ref: false }).catch(() => undefined);
        if (!lost.signal.aborted) this.#backoff.reset(); // it lasts
      }
      if (!this.#stopping.signal.aborted)
        throw new Error(lost.signal.aborted ? 'the connection was lost' : 'nothing is heard on it');
    } finally {
      this.#drop(client);
    }
  }

  #connected(client: pg.Client, listener: CarrierListener): void {
    this.#client = client;
    if (this.#wasToldLost) this.#uses.events.notice('info', 'hints from other nodes come again by PostgreSQL');
    this.#wasToldLost = false;
    listener.onConnected();
  }

  /** Nobody waits for the end: the other side may not answer any more. */
  #drop(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined;
    client.end().catch(() => undefined);
  }

  /** Once for each loss, and not for each attempt. */
  #tellLost(cause: unknown): void {
    if (this.#wasToldLost || this.#stopping.signal.aborted) return;
    this.#wasToldLost = true;
    this.#uses.events.notice('warn', 'no hints from other nodes by PostgreSQL: what they commit is seen later', {
      cause,
    });
  }
}
