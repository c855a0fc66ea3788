import { fromBase64 } from '../lib/bytes.ts';
import { wrongUse } from './exit.ts';

/** Where a resource is, and the key that opens it. */
export interface Connection {
  readonly endpoint: URL;
  readonly accessKey: Buffer;
}

/** Variables that hold a connection string, the first that is set counts: those of az, the quickstarts and the SDKs' samples. */
export const CONNECTION_STRING_VARIABLES = [
  'AZURE_COMMUNICATION_CONNECTION_STRING',
  'COMMUNICATION_SERVICES_CONNECTION_STRING',
  'COMMUNICATION_SAMPLES_CONNECTION_STRING',
] as const;

/**
 * Reads a connection string, `endpoint=https://…/;accesskey=…`, as the SDKs do: names in any case, in any order.
 * @param source where it came from, for the message; the string itself is secret
 * @throws CommandError
 */
export function connectionFrom(text: string, source: string): Connection {
  const parts = new Map(
    text
      .split(';')
      .filter((part) => part.includes('='))
      .map((part): [string, string] => {
        const at = part.indexOf('='); // keys are padded with more of them
        return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
      }),
  );
  const accessKey = fromBase64(parts.get('accesskey') ?? '');
  if (!accessKey || accessKey.length === 0) throw wrongUse(`${source} has no accesskey in base64`);
  return { endpoint: endpointFrom(parts.get('endpoint') ?? '', source), accessKey };
}

/**
 * Checks the address of a server. Plain HTTP goes no farther than this machine: what is answered are secrets.
 * @throws CommandError
 */
export function endpointFrom(text: string, source: string): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol))
    throw wrongUse(`${source} has no endpoint such as https://localhost:7417/`);
  if (url.protocol === 'http:' && !isThisMachine(url))
    throw wrongUse(`${source} has an endpoint with http://, which is allowed on this machine only: use https://`);
  return url;
}

const LOOPBACK = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;

export const isThisMachine = ({ hostname }: URL): boolean => LOOPBACK.test(hostname);
