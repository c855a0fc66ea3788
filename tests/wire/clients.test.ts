import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { requestText, sendRaw } from '../harness/raw.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { contentHash, signatureOf } from '../harness/sign.ts';

/** A request as a released client sends it, and the text that it signs (identity-protocol, section 3.1). */
interface Recorded {
  client: string;
  request: [method: string, target: string];
  headers: Record<string, string>;
  body: string;
  signedHeaders: string;
  signed: string[];
  status: number;
}

const RECORDED = JSON.parse(readFileSync(join(import.meta.dirname, 'clients.json'), 'utf8')) as Recorded[];

describe('a request as it is sent by', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  /** Fills in what differs from run to run. */
  async function filled({ request, headers, body, signedHeaders, signed }: Recorded, tamper = ''): Promise<Buffer> {
    const id = await server.givenIdentity();
    const values: Record<string, string> = {
      id,
      encodedId: encodeURIComponent(id),
      host: server.host,
      port: String(server.port),
      date: new Date().toUTCString(),
      hash: contentHash(body),
      guid: '8f7b1c1e-24a5-4c5c-9d2e-1f0d6f3f0001',
    };
    const fill = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
    const text = fill(signed.join('\n')) + tamper;
    values.signedText = Buffer.from(text).toString('base64');
    const lines = Object.entries(headers)
      .filter(([name]) => name !== 'Connection' && name !== 'Content-Length')
      .map(([name, value]): [string, string] => [name, fill(value)]);
    const [method, target] = request;
    return requestText(
      `${method} ${fill(target)}`,
      [
        ...lines,
        ['Content-Length', String(body.length)],
        ['Connection', 'close'],
        ['Authorization', `HMAC-SHA256 SignedHeaders=${signedHeaders}&Signature=${signatureOf(server.key, text)}`],
      ],
      body,
    );
  }

  for (const recorded of RECORDED) {
    test(`${recorded.client} is answered ${recorded.status}`, async () => {
      const { status, body } = await sendRaw(server.port, await filled(recorded));
      assert.equal(status, recorded.status, body);
      const changed = await sendRaw(server.port, await filled(recorded, 'x'));
      assert.equal(changed.status, 401, 'and 401 when something else was signed');
    });
  }
});
