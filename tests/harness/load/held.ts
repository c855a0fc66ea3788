import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOf } from '../../../bench/measure.ts';
import type { Child } from '../child.ts';
import { send } from '../http.ts';
import { requestText } from '../raw.ts';
import { closedLoop, openWires } from './generator.ts';
import { createMany, type Report } from './overload.ts';
import { Requests } from './requests.ts';

export interface HeldSize {
  /** Parked requests, and idle sockets. */
  readonly each: number;
  /** How long tokens are issued beside them. */
  readonly seconds: number;
  /** How long to wait for what may never happen. */
  readonly patienceMs: number;
}

/** One user may hold so many of each kind. */
const PER_USER = 16;
const OPENING_AT_ONCE = 50;
const HANDSHAKE = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
] as const;

/** Frames without a payload (RFC 6455, section 5.5); that of a client is masked, here with zeros. */
const PING = Buffer.of(0x89, 0);
const PONG = Buffer.of(0x8a, 0x80, 0, 0, 0, 0);

/** Holds sockets and parked requests open, issues tokens beside them, and lets them go. */
export async function holdOpen(server: Child, { each, seconds, patienceMs }: HeldSize): Promise<Report> {
  const until = (happened: () => Promise<boolean>) => within(patienceMs, happened);
  const untilGone = () => until(() => isNothingHeld(server));
  const { port } = server;
  const requests = new Requests(port, server.key);
  const ids = await createMany(port, requests, Math.ceil(each / PER_USER));
  const tokens = await tokensOf(port, requests, ids);
  const issue = () => ({ request: requests.issue(ids[0] ?? '') });
  /** Processor time of the server is told too: the rate says as much about what else the machine does. */
  const issuing = async () => {
    const wires = await openWires(port, 4);
    const [end, cpu] = [performance.now() + seconds * 1000, cpuSecondsOf(server.pid)];
    const tally = await closedLoop(port, wires, issue, () => performance.now() < end);
    const cpuMicroseconds = Math.round(((cpuSecondsOf(server.pid) - cpu) * 1e6) / Math.max(1, tally.served.length));
    return Object.assign(tally, { cpuMicroseconds });
  };
  const hold = (path: string, count: number) => openAll(port, path, tokens, count);

  const alone = await issuing(); // memory that issuing takes is taken before it is measured
  const descriptorsBefore = server.descriptors();
  const bare = server.residentMebibytes();

  const sockets = await hold('socket', each);
  await sleep(1000);
  const withSockets = server.residentMebibytes();
  const waiting = await hold('wait', each);
  await until(async () => (await server.metric('linarite_requests_parked')) >= each);
  await sleep(1000);
  const withBoth = server.residentMebibytes();

  const open = await server.metric('linarite_sockets');
  const parked = await server.metric('linarite_requests_parked');
  const inPlaces = await server.metric('linarite_requests_under_way{lane="usual"}');
  const beside = await issuing();
  const since = performance.now();
  await send(port, { method: 'POST', target: '/held/release' });
  await until(async () => [...sockets, ...waiting].every(({ wasTold, gone }) => wasTold || gone));
  const releasedMs = Math.round(performance.now() - since);
  const left = async () => {
    for (const one of [...sockets, ...waiting]) one.leave();
    await untilGone();
    return {
      openAfterwards: await server.metric('linarite_sockets'),
      parkedAfterwards: await server.metric('linarite_requests_parked'),
      descriptorsAfterwards: server.descriptors(),
    };
  };
  const told = (all: readonly Held[]) => all.filter(({ wasTold }) => wasTold).length;
  const figures = {
    each,
    open,
    parked,
    inPlaces,
    kibibytesPerSocket: perOne(withSockets - bare, each),
    kibibytesPerParked: perOne(withBoth - withSockets, each),
    issuedAlone: alone.served.length,
    issuedBeside: beside.served.length,
    refusedBeside: beside.answered - beside.served.length,
    cpuMicrosecondsAlone: alone.cpuMicroseconds,
    cpuMicrosecondsBeside: beside.cpuMicroseconds,
    p99MsAlone: alone.quantile(0.99),
    p99MsBeside: beside.quantile(0.99),
    messagesReceived: told(sockets),
    answersReceived: told(waiting),
    releasedMs,
    ...(await left()),
  };
  const rules: [boolean, string][] = [
    [open === each, `${each - open} sockets were not opened`],
    [parked === each, `${each - parked} requests were not parked`],
    [inPlaces === 0, `${inPlaces} places are taken while nothing is done`],
    [figures.refusedBeside === 0 && beside.cut === 0 && figures.issuedBeside > 0, 'tokens were refused beside them'],
    [figures.messagesReceived === each, 'a socket did not get its message'],
    [figures.answersReceived === each, 'a parked request did not get its answer'],
    [figures.openAfterwards === 0 && figures.parkedAfterwards === 0, 'something is held that nobody waits for'],
    [figures.descriptorsAfterwards <= descriptorsBefore + 4, 'descriptors did not come back'],
  ];
  return { figures, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}

const perOne = (mebibytes: number, count: number): number => Math.round((mebibytes * 1024 * 10) / count) / 10;

async function isNothingHeld(server: Child): Promise<boolean> {
  const held = (await server.metric('linarite_sockets')) + (await server.metric('linarite_requests_parked'));
  return held === 0 && (await server.metric('linarite_connections')) < 16;
}

/** Waits for something, and for no longer than it may take: what is missing then is in the figures. */
async function within(ms: number, happened: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end && !(await happened()); ) await sleep(50);
}

async function tokensOf(port: number, requests: Requests, ids: readonly string[]): Promise<string[]> {
  const [wire] = await openWires(port, 1);
  const tokens: string[] = [];
  for (const id of ids) {
    const answer = await wire?.ask(requests.issue(id));
    tokens.push((JSON.parse(answer?.text ?? '{}') as { token: string }).token);
  }
  wire?.close();
  return tokens;
}

async function openAll(port: number, path: string, tokens: readonly string[], count: number): Promise<Held[]> {
  const all: Held[] = [];
  while (all.length < count) {
    const more = Array.from({ length: Math.min(OPENING_AT_ONCE, count - all.length) }, (_, index) => {
      const token = tokens[Math.floor((all.length + index) / PER_USER)] ?? '';
      return new Held(port, path, token);
    });
    all.push(...more);
    await Promise.all(more.map(({ begun }) => begun));
  }
  return all;
}

/** A connection that holds one socket, or one request that waits. */
class Held {
  readonly #socket: Socket;
  /** The socket is open; of a request that waits nobody can tell, so only that it was sent. */
  readonly begun: Promise<void>;
  gone = false;
  /** Has got the message, or the answer. */
  wasTold = false;

  constructor(port: number, path: string, token: string) {
    const headers = [
      ['Host', `localhost:${port}`],
      ['Authorization', `Bearer ${token}`],
    ] as const;
    const isSocket = path === 'socket';
    const { promise, resolve } = Promise.withResolvers<void>();
    this.begun = promise;
    this.#socket = connect({ port, host: '127.0.0.1' });
    let received = '';
    this.#socket.on('data', (bytes: Buffer) => {
      if (isSocket && bytes.equals(PING)) {
        this.#socket.write(PONG);
        return;
      }
      received += bytes.toString('latin1');
      if (/^HTTP\/1\.1 101 /.test(received)) resolve();
      this.wasTold ||= isSocket ? received.endsWith('released') : /^HTTP\/1\.1 204 /.test(received);
    });
    const ended = (): void => {
      this.gone = true;
      resolve();
    };
    this.#socket.on('error', ended).on('end', ended).on('close', ended);
    const request = requestText(`GET /held/${path}`, isSocket ? [...headers, ...HANDSHAKE] : headers);
    this.#socket.write(request, () => isSocket || resolve());
  }

  leave(): void {
    this.#socket.destroy();
  }
}
