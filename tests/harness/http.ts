import http from 'node:http';

/** A request exactly as it is to be sent. */
export interface Sent {
  method?: string;
  target: string;
  /** A list sends a header several times. */
  headers?: Record<string, string | string[]>;
  body?: string | Buffer | undefined;
}

/** An answer, with its body parsed where it is JSON. */
export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  body: any;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

/** Sends one request over plain HTTP to 127.0.0.1. Adds nothing but what HTTP itself needs. */
export function send(port: number, { method = 'GET', target, headers = {}, body }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const length =
      bytes === undefined && (method === 'GET' || method === 'DELETE')
        ? {}
        : { 'Content-Length': String(bytes?.length ?? 0) };
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        method,
        path: target,
        agent,
        headers: { Host: `localhost:${port}`, ...length, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const json = /json/.test(response.headers['content-type'] ?? '') && text !== '';
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            body: json ? JSON.parse(text) : undefined,
          });
        });
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}
