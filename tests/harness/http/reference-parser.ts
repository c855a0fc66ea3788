/** A request as RFC 9112 reads it. */
export interface ReadRequest {
  method: string;
  target: string;
  body: string;
}

export interface Reading {
  /** The requests that anybody who keeps to the letter sees, in order. */
  requests: ReadRequest[];
  /** What comes after them: nothing that matters, the beginning of a request, or what must be refused. */
  tail: 'end' | 'cut' | 'refused';
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) +(\/[!"$-~]*) +HTTP\/1\.1$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?$/;
const HEADER_LINES_MOST = 100;

/**
 * Reads requests off a connection by the letter of RFC 9112 and of this server's rules: HTTP/1.1 in origin-form, one Host,
 * one way to tell the length of a body, no upgrade. An oracle: short, and not ours to be fast or helpful. More than one
 * space in a request line is let pass (section 3 allows it), and so are empty lines before a request, also those of a bare CR or LF (section 2.2).
 */
export function readRequests(text: string): Reading {
  const requests: ReadRequest[] = [];
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[\r\n]+/, '');
    if (rest === '') return { requests, tail: 'end' };
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return { requests, tail: 'cut' };
    const head = readHead(rest.slice(0, end));
    if (head === undefined) return { requests, tail: 'refused' };
    const body = head.chunked ? readChunks(rest.slice(end + 4)) : readLength(rest.slice(end + 4), head.length);
    if (body === 'cut' || body === 'refused') return { requests, tail: body };
    requests.push({ method: head.method, target: head.target, body: body.body });
    if (head.close) return { requests, tail: 'end' };
    rest = body.rest;
  }
}

interface Head {
  method: string;
  target: string;
  length: number;
  chunked: boolean;
  close: boolean;
}

function readHead(text: string): Head | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const [, method, target] = REQUEST_LINE.exec(first) ?? [];
  if (method === undefined || target === undefined || lines.length > HEADER_LINES_MOST) return undefined;
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1);
    if (colon < 0 || !TOKEN.test(name) || !VALUE.test(value)) return undefined;
    headers.set(name, [...(headers.get(name) ?? []), value.replace(/^[ \t]+|[ \t]+$/g, '')]);
  }
  const [length, ...lengths] = headers.get('content-length') ?? [];
  const [coding, ...codings] = headers.get('transfer-encoding') ?? [];
  if (headers.get('host')?.length !== 1 || headers.has('upgrade')) return undefined;
  if (lengths.length + codings.length > 0 || (length !== undefined && coding !== undefined)) return undefined;
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return undefined;
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return undefined;
  const [expectation, ...expectations] = headers.get('expect') ?? [];
  if (expectation !== undefined && (expectations.length > 0 || expectation.toLowerCase() !== '100-continue'))
    return undefined;
  const hasBody = coding !== undefined || Number(length ?? 0) > 0;
  const asked = (headers.get('connection') ?? []).some((value) => /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value));
  // Nobody can tell whether a client that waits in vain goes on with a body or with a request.
  const close = asked || (expectation !== undefined && !hasBody);
  return { method, target, length: Number(length ?? 0), chunked: coding !== undefined, close };
}

type Body = { body: string; rest: string } | 'cut' | 'refused';

const readLength = (text: string, length: number): Body =>
  text.length < length ? 'cut' : { body: text.slice(0, length), rest: text.slice(length) };

function readChunks(text: string): Body {
  let body = '';
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(CHUNK_LINE.exec(end < 0 ? rest : rest.slice(0, end))?.[1] ?? '', 16);
    if (Number.isNaN(size)) return end < 0 && /^[0-9A-Fa-f]{0,15}\r?$/.test(rest) ? 'cut' : 'refused';
    if (end < 0) return 'cut';
    rest = rest.slice(end + 2);
    if (size === 0) break;
    if (rest.length < size + 2) return rest.length <= size || rest[size] === '\r' ? 'cut' : 'refused';
    if (rest.slice(size, size + 2) !== '\r\n') return 'refused';
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
  for (;;) {
    const end = rest.indexOf('\r\n');
    if (end < 0) return 'cut';
    const line = rest.slice(0, end);
    rest = rest.slice(end + 2);
    if (line === '') return { body, rest };
    const colon = line.indexOf(':');
    if (colon < 0 || !TOKEN.test(line.slice(0, colon)) || !VALUE.test(line.slice(colon + 1))) return 'refused';
  }
}
