import { createHash, createHmac } from 'node:crypto';

/** What goes into a signature. Every part can be set apart from what is sent. */
export interface ToSign {
  method: string;
  target: string;
  host: string;
  body?: string | Buffer | undefined;
  /** Access key in base64. */
  key: string;
  date?: string;
  dateHeader?: 'x-ms-date' | 'date';
}

export const contentHash = (body: string | Buffer = ''): string => createHash('sha256').update(body).digest('base64');

export const signatureOf = (key: string, text: string): string =>
  createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');

/** The headers of a signed request, written from the protocol page and not from our verifier. */
export function sign({
  method,
  target,
  host,
  body,
  key,
  date,
  dateHeader = 'x-ms-date',
}: ToSign): Record<string, string> {
  const when = date ?? new Date().toUTCString();
  const hash = contentHash(body);
  const signature = signatureOf(key, `${method}\n${target}\n${when};${host};${hash}`);
  return {
    [dateHeader]: when,
    'x-ms-content-sha256': hash,
    Authorization: `HMAC-SHA256 SignedHeaders=${dateHeader};host;x-ms-content-sha256&Signature=${signature}`,
  };
}
