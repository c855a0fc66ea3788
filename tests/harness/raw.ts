import net from 'node:net';

/** An answer read from a socket that the server closed. */
export interface RawAnswer {
  status: number;
  /** Header values under their lower-case names. */
  headers: Record<string, string>;
  body: string;
}

/** A request of exactly these lines: for what `node:http` would refuse to send, tidy up or join. */
export const requestText = (
  line: string,
  headers: readonly (readonly [string, string])[],
  body: string | Buffer = '',
): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${line} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      'latin1',
    ),
    Buffer.from(body),
  ]);

/**
 * Sends bytes and reads until the server closes, which it does after `Connection: close` and after a refusal for which
 * it will not wait for the rest.
 */
export function sendRaw(port: number, bytes: string | Buffer, patienceMs = 10_000): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  const socket = net.connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.setTimeout(patienceMs, () => socket.destroy(new Error(`no answer within ${patienceMs} ms`)));
  socket.on('error', reject);
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('end', () => {
    socket.destroy();
    resolve(readAnswer(Buffer.concat(chunks).toString('latin1')));
  });
  socket.write(bytes);
  return promise;
}

function readAnswer(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trimStart(),
    ]),
  );
  const raw = rest.join('\r\n\r\n');
  const body = headers['transfer-encoding'] === 'chunked' ? withoutChunks(raw) : raw;
  return { status: Number(statusLine.split(' ')[1]), headers, body };
}

function withoutChunks(text: string): string {
  const [, size = '', rest = ''] = /^([0-9a-f]+)\r\n([\s\S]*)$/i.exec(text) ?? [];
  const length = Number.parseInt(size, 16);
  return length > 0 ? rest.slice(0, length) + withoutChunks(rest.slice(length + 2)) : '';
}
