import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../child.ts';
import { requestText } from '../raw.ts';
import { sign } from '../sign.ts';
import { closedLoop } from './generator.ts';
import type { Report } from './overload.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';

export interface SlowSize {
  /** Slow connections in all. */
  connections: number;
  /** After which each of them must be gone. */
  withinMs: number;
  /** How often each sends a byte. */
  dripMs: number;
}

/** What a slow client sends first, and what it goes on to send a byte of now and then. */
interface Slow {
  readonly first: string | Buffer;
  readonly drip: string;
  /** Takes nothing of what is sent to it. */
  readonly deaf?: true;
}

const TARGET = '/identities?api-version=2023-10-01';

/** The ways of slowhttptest, and a TLS handshake that does not end. */
const WAYS: Readonly<Record<string, { share: number; slow: (server: Child) => Slow }>> = {
  headers: {
    share: 0.4,
    slow: ({ port }) => ({ first: `GET / HTTP/1.1\r\nHost: localhost:${port}\r\nX: `, drip: 'a' }),
  },
  body: { share: 0.35, slow: (server) => ({ first: signedHead(server, 10_000), drip: ' ' }) },
  handshake: { share: 0.15, slow: () => ({ first: '\x16\x03\x01\x02\x00', drip: '\x01' }) },
  silence: { share: 0.09, slow: () => ({ first: '', drip: '' }) },
  // Answers fill the buffers of the system first, megabytes for each connection: hence only a few.
  reading: { share: 0.01, slow: ({ port }) => ({ first: '', drip: metricsRequests(port), deaf: true }) },
};

/** Opens slow connections of every kind at once, watches them go and asks meanwhile as usual (L2). */
export async function slowClients(server: Child, { connections, withinMs, dripMs }: SlowSize): Promise<Report> {
  const { port } = server;
  const requests = new Requests(port, server.key);
  const [id = ''] = await createMany(port, requests, 1);
  const issue = () => ({ request: requests.issue(id) });
  const until = (end: number) => () => performance.now() < end;
  const alone = await closedLoop(port, 4, issue, until(performance.now() + 1500));
  await sleep(300); // those of the good clients are gone
  const descriptorsBefore = server.descriptors();

  const ways = Object.entries(WAYS).map(([name, { share, slow }]) => ({
    name,
    clients: Array.from(
      { length: Math.max(2, Math.round(share * connections)) },
      () => new SlowClient(port, slow(server), dripMs),
    ),
  }));
  const all = ways.flatMap(({ clients }) => clients);
  const started = performance.now();
  const good = await closedLoop(
    port,
    4,
    issue,
    () => performance.now() - started < withinMs && all.some(({ gone }) => !gone),
  );
  const left = ways.map(({ name, clients }) => [name, clients.filter(({ gone }) => !gone).length] as const);
  for (const client of all) client.leave();
  await untilEqual(() => server.descriptors() <= descriptorsBefore);
  const figures = {
    slowConnections: all.length,
    leftAfterDeadline: all.length - all.filter(({ gone }) => gone).length,
    ...Object.fromEntries(
      ways.map(({ name, clients }) => [
        `${name}MsMost`,
        Math.round(Math.max(...clients.map(({ lastedMs }) => lastedMs))),
      ]),
    ),
    goodAnswered: good.served.length,
    goodP99MsAlone: alone.quantile(0.99),
    goodP99Ms: good.quantile(0.99),
    descriptorsBefore,
    descriptorsAfter: server.descriptors(),
    answerable: all.filter(({ wasAnswered }) => wasAnswered).length,
  };
  const rules: [boolean, string][] = [
    ...left.map(([name, count]): [boolean, string] => [
      count === 0,
      `${count} slow connections (${name}) were not cut`,
    ]),
    [good.served.length > 0 && good.served.length === good.answered && good.cut === 0, 'good traffic suffered'],
    [figures.descriptorsAfter <= descriptorsBefore, 'descriptors did not come back'],
  ];
  return { figures, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}

class SlowClient {
  readonly #socket: Socket;
  readonly #since = performance.now();
  #endedAt: number | undefined;
  wasAnswered = false;

  constructor(port: number, { first, drip, deaf }: Slow, dripMs: number) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: false });
    this.#socket = socket;
    const ended = (): void => {
      this.#endedAt ??= performance.now();
    };
    socket.on('error', ended).on('end', ended).on('close', ended);
    if (deaf) socket.pause();
    else
      socket.on('data', () => {
        this.wasAnswered = true;
      });
    if (first.length > 0) socket.write(first, 'latin1' as never);
    const timer = setInterval(() => {
      if (this.gone) clearInterval(timer);
      else if (drip !== '' && (deaf === undefined || socket.writableLength === 0)) socket.write(drip, 'latin1');
    }, dripMs);
    timer.unref();
  }

  get gone(): boolean {
    return this.#endedAt !== undefined;
  }

  get lastedMs(): number {
    return (this.#endedAt ?? performance.now()) - this.#since;
  }

  leave(): void {
    this.#socket.destroy();
  }
}

/** The head of a request that may send a body, which then does not come. */
function signedHead({ port, key }: Child, length: number): Buffer {
  const body = ' '.repeat(length);
  const headers = sign({ method: 'POST', target: TARGET, host: `localhost:${port}`, body, key });
  return requestText(`POST ${TARGET}`, [
    ['Host', `localhost:${port}`],
    ['Content-Type', 'application/json'],
    ['Content-Length', String(length)],
    ...Object.entries(headers),
  ]);
}

const metricsRequests = (port: number): string =>
  `GET /-/metrics HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`.repeat(30);

async function untilEqual(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 100 && !condition(); tries += 1) await sleep(50);
}
