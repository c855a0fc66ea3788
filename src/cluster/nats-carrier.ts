import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { Backoff } from '../lib/backoff.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Events } from '../monitoring/events.ts';
import type { Carrier, CarrierListener } from './carrier.ts';

interface Uses {
  /** Servers of one NATS cluster, `nats://user:password@host:port`, separated by commas. */
  urls: string;
  /** Tells this store from others that use the same NATS. */
  storeId: () => Promise<string>;
  events: Pick<Events, 'notice'>;
}

interface Options {
  /** Pauses between attempts to connect, the first and the longest. */
  backoffMs?: readonly [first: number, most: number];
}

const BACKOFF_MS = [250, 10_000] as const;
const TIMEOUT_MS = 5000;
const PING_MS = 10_000;
const RECONNECT_MS = 500;

/** Hints by NATS. The client connects again by itself; here are the first connection, and those after it has given up. */
export class NatsCarrier implements Carrier {
  readonly #uses: Uses;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #connection: NatsConnection | undefined;
  #subject = '';
  #isConnected = false;
  #running: Promise<void> | undefined;
  #wasToldLost = false;

  constructor(uses: Uses, { backoffMs = BACKOFF_MS }: Options = {}) {
    this.#uses = uses;
    this.#backoff = new Backoff(...backoffMs);
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  start(listener: CarrierListener): void {
    this.#running ??= this.#run(listener);
  }

  async send(messages: readonly string[]): Promise<void> {
    const connection = this.#connection;
    if (!connection || !this.#isConnected) return; // the client would keep them, and hints of an hour ago help nobody
    try {
      for (const message of messages) connection.publish(this.#subject, message);
      await Promise.race([connection.flush(), connection.closed()]);
    } catch {
      // Lost, as a hint may be.
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.close().catch(() => undefined);
    await this.#running;
  }

  async #run(listener: CarrierListener): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#connectedOnce(listener);
      } catch (cause) {
        this.#tell(false, cause);
      }
      await sleep(this.#backoff.next(), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Connects, and resolves when the client has closed the connection for good. */
  async #connectedOnce(listener: CarrierListener): Promise<void> {
    const { connect } = await import('@nats-io/transport-node');
    this.#subject = `linarite.${await this.#uses.storeId()}.hints`;
    const connecting = connect(natsOptions(this.#uses.urls));
    const connection = await unlessAborted(this.#stopping.signal, connecting);
    if (!connection) {
      connecting.then((late) => late.close()).catch(() => undefined);
      return;
    }
    this.#connection = connection;
    connection.subscribe(this.#subject, {
      callback: (failure, message) => {
        if (!failure) listener.onMessage(message.string());
      },
    });
    this.#connected(listener);
    for await (const { type } of connection.status()) {
      if (type === 'reconnect') this.#connected(listener);
      if (type === 'disconnect') this.#tell(false);
    }
    this.#tell(false, await connection.closed());
  }

  #connected(listener: CarrierListener): void {
    this.#backoff.reset();
    this.#tell(true);
    listener.onConnected();
  }

  /** Once for each loss, and not for each attempt. */
  #tell(isConnected: boolean, cause?: unknown): void {
    this.#isConnected = isConnected;
    if (isConnected !== this.#wasToldLost || this.#stopping.signal.aborted) return;
    this.#wasToldLost = !isConnected;
    const { events } = this.#uses;
    if (isConnected) events.notice('info', 'hints from other nodes come again by NATS');
    else events.notice('warn', 'no hints from other nodes by NATS: what they commit is seen later', { cause });
  }
}

/** What the client is told. It takes names and passwords only apart from the address. */
export function natsOptions(urls: string): ConnectionOptions {
  const parsed = urls.split(',').map((url) => new URL(url.trim()));
  const [first] = parsed;
  const user = decodeURIComponent(parsed.find(({ username }) => username !== '')?.username ?? '');
  const pass = decodeURIComponent(parsed.find(({ password }) => password !== '')?.password ?? '');
  const credentials = user === '' ? {} : pass === '' ? { token: user } : { user, pass };
  return {
    ...credentials,
    ...(first?.protocol === 'tls:' ? { tls: {} } : {}),
    servers: parsed.map(({ host }) => host),
    name: 'linarite',
    noEcho: true,
    timeout: TIMEOUT_MS,
    pingInterval: PING_MS,
    reconnectTimeWait: RECONNECT_MS,
    maxReconnectAttempts: -1,
  };
}
