import net from 'node:net';

/**
 * Stands between a server and its database, and holds up everything on its way, in both directions.
 * @returns the address to use instead
 */
export async function slowStore(
  t: { after(step: () => unknown): unknown },
  url: string,
  delayMs: number,
): Promise<string> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<net.Socket>();
  const relay = (from: net.Socket, to: net.Socket): void => {
    sockets.add(from);
    from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), delayMs));
    from.on('error', () => undefined);
    from.on('close', () => {
      sockets.delete(from);
      setTimeout(() => to.destroy(), delayMs);
    });
  };
  const server = net.createServer((socket) => {
    const upstream = net.connect(Number(port || 5432), hostname);
    relay(socket, upstream);
    relay(upstream, socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const through = new URL(url);
  through.host = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  return through.href;
}
