import net from 'node:net';
import type { OnProblem } from './connection.ts';

export interface BindOptions {
  /** Addresses to listen on, all on the same port. */
  readonly hosts: readonly string[];
  /** 0 takes any port that is free on all of them. */
  readonly port: number;
  readonly onProblem: OnProblem;
}

/** An open port. Who connects waits until somebody accepts. */
export interface BoundPort {
  readonly port: number;
  /** The addresses in use; one of the asked for may be missing on this machine. */
  readonly addresses: readonly string[];
  readonly onProblem: OnProblem;
  /** Gives what has connected, and what will, to somebody who looks after it from then on. */
  accept(take: (socket: net.Socket) => void): void;
  /** Takes no more connections. Resolves when none is open. Those that nobody accepted are cut off. */
  close(): Promise<void>;
}

/** Connections that wait for somebody who accepts them. More are cut off. */
const MOST_WAITING = 4096;

/**
 * Opens the port before there is somebody to answer, so that the address is known to those who are built.
 * @throws the system's error, with its `code` such as EADDRINUSE and a message that names the address
 */
export async function bind({ hosts, port, onProblem }: BindOptions): Promise<BoundPort> {
  const waiting = new Set<net.Socket>();
  let take = (socket: net.Socket): void => {
    if (waiting.size >= MOST_WAITING) return void socket.destroy();
    waiting.add(socket);
    socket.on('error', ignore).on('close', () => waiting.delete(socket));
  };
  // allowHalfOpen: a client may end its half after the request and still wants the answer.
  const newServer = (): net.Server =>
    net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => take(socket));
  const servers = await bindAll(hosts, port, newServer, onProblem);
  const addresses = servers.map((server) => server.address() as net.AddressInfo);
  return {
    port: addresses[0]?.port ?? 0,
    addresses: addresses.map(({ address }) => address),
    onProblem,
    accept(next) {
      take = next;
      const sockets = [...waiting];
      waiting.clear();
      for (const socket of sockets) next(socket);
    },
    async close() {
      const closed = Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      for (const socket of waiting) socket.destroy();
      await closed;
    },
  };
}

const ignore = (): void => {};

const TRIES = 10;
/**
 * Connections that the system keeps until they are accepted. With the usual 511 a burst makes it drop the rest, and a client
 * tries again after 1, 3, 7 and 15 seconds. Systems have a limit of their own, on Linux net.core.somaxconn.
 */
const BACKLOG = 4096;

/** Listens on every address, on one port. */
async function bindAll(
  hosts: readonly string[],
  port: number,
  newServer: () => net.Server,
  onProblem: OnProblem,
): Promise<net.Server[]> {
  if (hosts.length === 0) throw new Error('there is no address to listen on');
  for (let attempt = 1; ; attempt += 1) {
    const servers: net.Server[] = [];
    try {
      for (const host of hosts) {
        const server = newServer();
        const [first] = servers;
        const wanted = port || (first?.address() as net.AddressInfo | undefined)?.port || 0;
        if (await listenOn(server, host, wanted, hosts, onProblem)) servers.push(server);
      }
      return servers;
    } catch (cause) {
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      // A port that was free on the first address and not on the next: there are others.
      const another = port === 0 && servers.length > 0 && codeOf(cause) === 'EADDRINUSE' && attempt < TRIES;
      if (!another) throw cause;
    }
  }
}

/** @returns false when the machine has no such address and can do without it */
async function listenOn(
  server: net.Server,
  host: string,
  port: number,
  hosts: readonly string[],
  onProblem: OnProblem,
): Promise<boolean> {
  // Beside an IPv4 address, `::` must not claim the IPv4 port as well.
  const ipv6Only = hosts.some((other) => net.isIPv4(other));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  try {
    server.once('error', reject).listen({ host, port, ipv6Only, backlog: BACKLOG }, resolve);
    await promise;
    server.off('error', reject);
    server.on('error', (problem) => onProblem('error', `accepting on ${host} failed`, { cause: problem }));
    return true;
  } catch (cause) {
    const code = codeOf(cause);
    const absent = code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
    if (host === '::1' && absent && hosts.length > 1) {
      onProblem('warn', 'this machine has no ::1, so the server does not listen there', { cause });
      return false;
    }
    const why = code === 'EADDRINUSE' ? 'the port is in use' : String(cause);
    throw Object.assign(new Error(`cannot listen on ${host} port ${port}: ${why}`, { cause }), { code });
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
