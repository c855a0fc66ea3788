import { connect, type Socket } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Child } from '../child.ts';
import { requestText } from '../raw.ts';
import { sign } from '../sign.ts';
import type { Report } from './overload.ts';

const MEBIBYTE = 1024 * 1024;
const TARGET = '/identities?api-version=2023-10-01';
const PATIENCE_MS = 120_000;
const SMALL_ROUNDS = 3;

/** One way to send too much: what is sent, and the status that it must get. */
interface Way {
  readonly name: string;
  readonly signed: boolean;
  readonly chunked: boolean;
  readonly body: Buffer;
  readonly headers?: readonly (readonly [string, string])[];
  readonly statuses: readonly number[];
}

const deep = Buffer.from(`{"customId":${'['.repeat(20_000)}${']'.repeat(20_000)}}`);

/** @param bytes of one large body */
function ways(bytes: number): Way[] {
  const large = Buffer.alloc(bytes, ' ');
  const bomb = gzipSync(large);
  const gzip = [['Content-Encoding', 'gzip']] as const;
  return [
    { name: 'announced, not signed', signed: false, chunked: false, body: large, statuses: [401] },
    { name: 'in chunks, not signed', signed: false, chunked: true, body: large, statuses: [401] },
    { name: 'announced, signed', signed: true, chunked: false, body: large, statuses: [413, 503] },
    { name: 'in chunks, signed', signed: true, chunked: true, body: large, statuses: [413, 503] },
    { name: 'gzip bomb, signed', signed: true, chunked: false, body: bomb, headers: gzip, statuses: [415, 503] },
    { name: '20,000 deep, signed', signed: true, chunked: false, body: deep, statuses: [400, 503] },
  ];
}

/** Sends every way at once, so many of each; looks at the answers and at the server's memory meanwhile (L3). */
export async function bigBodies(server: Child, { each, bytes }: { each: number; bytes: number }): Promise<Report> {
  const all = ways(bytes);
  // As many connections with small bodies: what they cost is not what big bodies cost. Several rounds, for V8's young
  // generation grows over the first thousands of requests of whatever size.
  const small = all.map((way) => ({ ...way, body: way.body.subarray(0, 2000) }));
  let most = 0;
  let over = false;
  const watching = (async () => {
    while (!over) {
      most = Math.max(most, server.residentMebibytes());
      await sleep(20);
    }
  })();

  for (let round = 0; round < SMALL_ROUNDS; round += 1)
    await Promise.all(small.flatMap((way) => Array.from({ length: each }, () => upload(server, way))));
  const before = most;
  const uploads = all.flatMap((way) => Array.from({ length: each }, () => ({ way, status: upload(server, way) })));
  const outcomes = await Promise.all(uploads.map(async ({ way, status }) => ({ way, status: await status })));
  over = true;
  await watching;

  const figures: Record<string, number> = {
    uploads: outcomes.length,
    mebibytesOffered: Math.round(outcomes.reduce((sum, { way }) => sum + way.body.length, 0) / MEBIBYTE),
    residentMebibytesBefore: Math.round(before),
    residentMebibytesGrowth: Math.round(most - before),
  };
  const broken: string[] = [];
  for (const way of all) {
    const statuses = outcomes.filter((outcome) => outcome.way === way).map(({ status }) => status);
    for (const status of new Set(statuses))
      figures[`${way.name}: ${status}`] = statuses.filter((one) => one === status).length;
    // An answer can be lost to a client that is busy sending for longer than the server lingers; half of them cannot.
    const lost = statuses.filter((status) => status === 0).length;
    const wrong = statuses.filter((status) => !way.statuses.includes(status) && (status !== 0 || lost > each / 2));
    if (wrong.length > 0) broken.push(`${way.name}: answered ${[...new Set(wrong)].join(', ')}`);
  }
  if (most - before >= 100) broken.push(`memory grew by ${Math.round(most - before)} MiB`);
  return { figures, broken };
}

/** @returns the status of the answer; 0 when there was none */
function upload({ port, key }: Child, { signed, chunked, body, headers = [] }: Way): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const host = `localhost:${port}`;
  const signature = signed ? sign({ method: 'POST', target: TARGET, host, body, key }) : {};
  const socket = connect({ port, host: '127.0.0.1' });
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  socket.on('error', () => undefined).on('close', () => resolve(0));
  socket.once('data', (answer: Buffer) => {
    resolve(Number(answer.toString('latin1', 9, 12)));
    socket.destroy();
  });
  socket.write(
    requestText(`POST ${TARGET}`, [
      ['Host', host],
      ['Content-Type', 'application/json'],
      chunked ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(body.length)],
      ...headers,
      ...Object.entries(signature),
    ]),
  );
  void pour(socket, body, chunked);
  return promise;
}

/** Sends as fast as the other side takes it, so that this process does not hold it all. */
async function pour(socket: Socket, body: Buffer, chunked: boolean): Promise<void> {
  const size = 64 * 1024;
  for (let at = 0; at < body.length && socket.writable; at += size) {
    const part = body.subarray(at, at + size);
    if (chunked) socket.write(`${part.length.toString(16)}\r\n`);
    const taken = socket.write(part);
    if (chunked) socket.write('\r\n');
    // In turns: a socket takes megabytes before it is full, and meanwhile others would not even have begun.
    if (taken) await turn();
    else await Promise.race([onceDrained(socket), sleep(PATIENCE_MS, undefined, { ref: false })]);
  }
  if (chunked && socket.writable) socket.write('0\r\n\r\n');
}

const onceDrained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('drain', resolve).once('close', () => resolve()));
