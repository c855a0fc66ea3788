import type { WireRequest } from '../../src/http/wire.ts';

export interface WireDraft {
  method?: string;
  target?: string;
  /** By name in any case; a list is a header that came several times, undefined one that did not come. */
  headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  secure?: boolean;
  peer?: string;
  body?: string | Buffer;
  /** In place of handing over the body. */
  readBody?: WireRequest['readBody'];
}

/** A request as the listener would hand it to the pipeline, without a socket. */
export function wireRequest({
  method = 'GET',
  target = '/',
  headers = {},
  secure = false,
  peer = '127.0.0.1',
  body = '',
  readBody,
}: WireDraft = {}): WireRequest {
  const values = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value ?? []].flat()]));
  const bytes = Buffer.from(body);
  return {
    method,
    target,
    secure,
    peer,
    hasBody: bytes.length > 0,
    complete: readBody === undefined,
    upgrades: false,
    onEnd: () => undefined,
    header: (name) => values.get(name) ?? [],
    readBody:
      readBody ??
      (async (_limitBytes, onBytes) => {
        onBytes?.(bytes.length);
        return bytes;
      }),
  };
}
