import { ServiceError } from '../errors.ts';
import type { BodyKind } from './route.ts';
import type { Schema } from './schema.ts';
import type { WireRequest } from './wire.ts';

/** Reads a body of one shape. */
export type BodyReader = (request: WireRequest, bytes: Buffer) => unknown;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Makes the reader of a route's bodies. A body that is empty, or JSON `null`, is an object without members: clients that
 * have nothing to say send any of the three under `application/json`.
 */
export function bodyReader({ schema, kind }: { schema: Schema; kind: BodyKind }): BodyReader {
  return (request, bytes) => {
    const value = (bytes.length === 0 ? undefined : PARSERS[kind](request, bytes)) ?? {};
    const mismatch = schema.mismatch(value);
    if (mismatch) throw complaint(mismatch, value as Record<string, unknown>);
    return value;
  };
}

/** Forms are read before authentication, and half a million fields would take a second. */
const FIELDS_MOST = 100;

const PARSERS: Record<BodyKind, (request: WireRequest, bytes: Buffer) => unknown> = {
  json(request, bytes) {
    requireType(request, /^(?:application\/(?:[\w.-]+\+)?json|text\/json)$/, 'BodyNotJson');
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(bytes));
    } catch {
      throw new ServiceError('BodyUnreadable');
    }
    if (typeof value !== 'object' || Array.isArray(value)) throw new ServiceError('BodyUnreadable');
    return value;
  },
  form(request, bytes) {
    requireType(request, /^application\/x-www-form-urlencoded$/, 'BodyNotForm');
    const form = bytes.toString('latin1');
    if (form.split('&', FIELDS_MOST + 1).length > FIELDS_MOST) throw new ServiceError('FormUnreadable');
    const fields = [...new URLSearchParams(form)];
    const object = Object.fromEntries(fields);
    // RFC 6749, section 3.2: parameters must not be included more than once.
    if (Object.keys(object).length !== fields.length) throw new ServiceError('FormUnreadable');
    return object;
  },
};

/** UTF-8 is what bodies are read as, so another charset must not be claimed for them. */
const CHARSET = /;\s*charset\s*=\s*"?([^";\s]*)/i;

function requireType(request: WireRequest, types: RegExp, error: 'BodyNotJson' | 'BodyNotForm'): void {
  const [type = '', ...others] = request.header('content-type');
  const essence = type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const charset = CHARSET.exec(type)?.[1]?.toLowerCase() ?? 'utf-8';
  const readable = types.test(essence) && /^(?:utf-?8|us-ascii)$/.test(charset);
  if (others.length > 0 || !readable) throw new ServiceError(error);
}

/** Bodies come as they are: what a few bytes could blow up to is never found out. */
export function requireNoEncoding(request: WireRequest): void {
  const encodings = request.header('content-encoding');
  if (encodings.some((encoding) => encoding.toLowerCase() !== 'identity')) throw new ServiceError('BodyNotJson');
}

/**
 * Says what the original says when it cannot bind a body: the first field, in Pascal case, that is missing or not valid.
 * Finds it by checking field by field; the library's own list of errors walks all of a long array, for seconds.
 */
function complaint([name = '']: readonly string[], value: Record<string, unknown>): ServiceError {
  const field = pascal(name);
  const isAbsent = !Object.hasOwn(value, name) || value[name] === null;
  return new ServiceError(isAbsent ? 'FieldMissing' : 'FieldMalformed', { target: field, values: { field } });
}

const pascal = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
