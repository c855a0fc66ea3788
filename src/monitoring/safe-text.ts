/** Longest text of a caller's own making that a log line repeats. */
export const CALLER_TEXT = 128;
const ANY_TEXT = 1024;
const STACK_TEXT = 4096;
const DEEPEST = 4;
const MOST_ENTRIES = 50;

/**
 * Characters that a JSON encoder lets through and a terminal or an editor acts on: DEL and C1 controls, line separators,
 * text direction marks and other invisible format characters. C0 is here for output without an encoder; LF ends our own lines.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const UNPRINTABLE_EACH = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Names under which secrets travel, whatever comes before: `accessKey`, `x-ms-token`, `kek`. Not `keyId`, not `tokenKind`. */
const SECRET_NAME =
  /(?:authorization|signature|token|jwt|key|secret|password|passphrase|kek|pem|cookie|connection_?string|database_?url)s?$/i;

/**
 * What a secret looks like where no name gives it away, such as in the text of somebody else's exception: a compact JWS,
 * padded base64 of 16 bytes or more (access keys, signatures, key-encryption keys), a password inside an address, PEM.
 */
const SECRET_LOOK =
  /eyJ[\w-]{8,}(?:\.[\w-]*)*|(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{20,}={1,2}|(?<=:\/\/[^\s/:@]*:)[^\s/@]+(?=@)|-----BEGIN[^-]*PRIVATE KEY-----[\s\S]*?(?:-----END|$)/g;
/** Something of this is in everything above, or is half a character. Looking for it is cheap, and nearly every text has none. */
const NEEDS_CARE = /eyJ|[=@\ud800-\udfff]|-----/;
const HIDDEN = '[hidden]';

/** Cuts a text that a caller chose, so that nobody can fill the disk with one header. */
export const callerText = (text: string): string => (text.length > CALLER_TEXT ? text.slice(0, CALLER_TEXT) : text);

/** Hides what looks like a secret, cuts, and replaces half characters, which strict JSON readers refuse. */
export function safeText(text: string, longest = ANY_TEXT): string {
  const cut = text.length > longest ? text.slice(0, longest) : text;
  return NEEDS_CARE.test(cut) ? cut.replace(SECRET_LOOK, HIDDEN).toWellFormed() : cut;
}

/** Escapes what JSON text must not carry raw. Such characters stand inside strings only, so `\u` fits. */
export function escapeUnprintable(json: string): string {
  return UNPRINTABLE.test(json) ? json.replace(UNPRINTABLE_EACH, asEscapes) : json; // the test costs a tenth
}

const asEscapes = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');

/** For places without escapes, such as metric labels. */
export const withoutUnprintable = (text: string): string =>
  text.toWellFormed().replace(UNPRINTABLE_EACH, '?').replaceAll('\n', '?');

/** A copy of the facts that may be logged: secrets hidden by name and by look, texts cut, nothing cyclic or endless. */
export function safeFacts(facts: Readonly<Record<string, unknown>>, depth = 0): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  let room = MOST_ENTRIES;
  for (const name in facts) {
    if (!Object.hasOwn(facts, name)) continue;
    const value = facts[name];
    if (value === undefined) continue;
    if (room-- === 0) break;
    safe[name] = isSecretName(name) && typeof value !== 'number' ? HIDDEN : safeValue(value, depth);
  }
  return safe;
}

function safeValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return safeText(value);
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      if (value === null) return value;
      if (depth >= DEEPEST) return '[deep]';
      if (value instanceof Error) return errorFacts(value, depth);
      if (value instanceof Date) return value.getTime(); // toISOString throws for an invalid one
      if (ArrayBuffer.isView(value)) return '[bytes]';
      if (Array.isArray(value)) return value.slice(0, MOST_ENTRIES).map((item) => safeValue(item, depth + 1));
      return safeFacts(value as Record<string, unknown>, depth + 1);
    default:
      return safeText(String(value));
  }
}

/**
 * Name, code, message, stack and causes; no other property. Errors of drivers and of Node carry rows, statements
 * and whole addresses with passwords in theirs.
 */
function errorFacts(error: Error, depth: number): Record<string, unknown> {
  const { code } = error as { code?: unknown };
  return {
    type: safeText(String(error.name)),
    message: safeText(String(error.message)),
    ...(typeof code === 'string' && { code: safeText(code) }),
    stack: safeText(String(error.stack), STACK_TEXT),
    ...(error.cause !== undefined && { cause: safeValue(error.cause, depth + 1) }),
  };
}

/** Field names come from our own sources and are few; a pattern for each of them on each line would be wasted. */
const secretNames = new Map<string, boolean>();

function isSecretName(name: string): boolean {
  const known = secretNames.get(name);
  if (known !== undefined) return known;
  const secret = SECRET_NAME.test(name);
  if (secretNames.size < 1000) secretNames.set(name, secret);
  return secret;
}
