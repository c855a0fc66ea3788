import { fromBase64url } from './bytes.ts';

/** Parsed JSON. Read it with {@link own}: names such as `constructor` are found on every object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The members of the header that anything is decided by. */
export interface JwsHeader {
  readonly alg: string;
  readonly kid: string;
  readonly typ: string | undefined;
}

/** A token of the right form. Nobody has looked at its signature yet, so nothing in it may be trusted. */
export interface UnverifiedJws {
  readonly header: JwsHeader;
  readonly payload: Buffer;
  /** The bytes that the signature is over: both encoded parts with the dot between them. */
  readonly signingInput: Buffer;
  readonly signature: Buffer;
}

interface Rules {
  /** In characters: bounds what an unauthenticated request can make us decode. */
  readonly longest: number;
  /** Exact values of `typ`; it may also be missing. */
  readonly types: readonly string[];
  /** Makes what is thrown, from a few words that hold nothing of the token. */
  readonly refusal: (detail: string) => Error;
}

/** Each of these would have the token say how it is to be verified, or with what (RFC 8725, sections 3.1 and 3.10). */
const FORBIDDEN_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip'] as const;

/** A value that the object itself has, never one inherited from the prototype. */
export const own = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/** The last header, whose text the tokens of a key have in common. Nothing about it was judged. */
let last: { readonly text: string; readonly header: JsonObject } | undefined;

/**
 * Takes a compact JWS apart (RFC 7515, section 7.1), in canonical base64url only: otherwise one signature would be
 * good for many texts, and every list of tokens could be walked around by spelling. Header members that are not
 * known are ignored, as section 4 of the RFC has it: an older node must take the tokens of a newer one.
 * @throws what `refusal` makes
 */
export function readCompactJws(token: string, { longest, types, refusal }: Rules): UnverifiedJws {
  if (token.length > longest) throw refusal(`it is longer than ${longest} characters`);
  // A fourth part is enough to know that there are not three.
  const [headerText, payloadText, signatureText, more] = token.split('.', 4);
  if (headerText === undefined || payloadText === undefined || signatureText === undefined || more !== undefined) {
    throw refusal('expected three parts separated by dots');
  }
  const part = (text: string, name: string): Buffer => {
    const bytes = fromBase64url(text);
    if (!bytes) throw refusal(`the ${name} is not canonical base64url`);
    return bytes;
  };
  if (headerText !== last?.text) {
    last = { text: headerText, header: readJsonObject(part(headerText, 'header'), 'header', refusal) };
  }
  const header = readHeader(last.header, types, refusal);
  const payload = part(payloadText, 'payload');
  const signature = part(signatureText, 'signature');
  return { header, payload, signingInput: Buffer.from(`${headerText}.${payloadText}`, 'latin1'), signature };
}

function readHeader(header: JsonObject, types: Rules['types'], refusal: Rules['refusal']): JwsHeader {
  const forbidden = FORBIDDEN_HEADERS.find((name) => Object.hasOwn(header, name));
  if (forbidden) throw refusal(`the header must not have a member ${forbidden}`);
  const alg = own(header, 'alg');
  const kid = own(header, 'kid');
  const typ = own(header, 'typ');
  if (typeof alg !== 'string') throw refusal('the alg of the header is missing or not a string');
  if (typeof kid !== 'string') throw refusal('the kid of the header is missing or not a string');
  const type = types.find((name) => name === typ);
  if (typ !== undefined && type === undefined) throw refusal(`the typ of the header is not ${types.join(' or ')}`);
  return { alg, kid, typ: type };
}

// Without ignoreBOM a byte order mark would be dropped silently, and one payload would have two texts.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a JSON object; of a repeated name the last counts. @throws what `refusal` makes */
export function readJsonObject(bytes: Uint8Array, name: string, refusal: Rules['refusal']): JsonObject {
  const value = parsed(bytes);
  if (!isJsonObject(value)) throw refusal(`the ${name} is not a JSON object in UTF-8`);
  return value;
}

/** Whether parsed JSON is an object, and neither a list nor null. */
export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}
