import { wrongUse } from './exit.ts';

/** An identity as a line gives it; the server checks it. */
export interface GivenIdentity {
  readonly id: string;
  readonly customId?: string;
  readonly createdAt?: string;
}

/** A line with an identity, or one that has none and why. Lines count from 1. */
export type ImportLine =
  | { readonly line: number; readonly identity: GivenIdentity }
  | { readonly line: number; readonly complaint: string };

/** In characters. An id has at most 240, a custom id 256. */
const LONGEST_LINE = 8192;
/** Names of columns and members, without regard to case and underscores. */
const COLUMNS = ['id', 'customid', 'createdat'] as const;
type Column = (typeof COLUMNS)[number];

/**
 * Reads identities line by line: an id; CSV with or without a first line of names; or an object in JSON. What else a file has,
 * other columns and members, is passed over.
 * @throws CommandError when the columns are not known
 */
export async function* identitiesFrom(source: AsyncIterable<Uint8Array>): AsyncGenerator<ImportLine> {
  let line = 0;
  let columns: readonly string[] | undefined;
  for await (const text of linesOf(source)) {
    line += 1;
    if (text.trim() === '') continue;
    if (text.length > LONGEST_LINE) yield { line, complaint: `The line is longer than ${LONGEST_LINE} characters.` };
    else if (text.includes('\ufffd')) yield { line, complaint: 'The line is not UTF-8.' };
    else if (text.startsWith('{')) yield { line, ...fromJson(text) };
    else if (columns === undefined) {
      const names = headingsIn(text);
      columns = names ?? COLUMNS;
      if (!names) yield { line, ...fromCsv(text, columns) };
    } else yield { line, ...fromCsv(text, columns) };
  }
}

/** Lines without their ends. Of one that is too long only so much is kept as tells that it is. */
async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder(); // drops a byte order mark; what is no UTF-8 becomes U+FFFD
  let rest = '';
  for await (const bytes of source) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = (lines.pop() ?? '').slice(0, LONGEST_LINE + 1);
    for (const line of lines) yield line.replace(/\r$/, '');
  }
  if (rest !== '') yield rest.replace(/\r$/, '');
}

type Read = { readonly identity: GivenIdentity } | { readonly complaint: string };

const plain = (name: string): string => name.trim().toLowerCase().replaceAll('_', '');

/** The names of the columns; undefined when the first line is one of values. @throws CommandError when no column is `id` */
function headingsIn(text: string): readonly string[] | undefined {
  const names = fieldsOf(text)?.map(plain) ?? [];
  if (names.includes('id')) return names;
  if (names.length > 1 && !names[0]?.startsWith('8:'))
    throw wrongUse(
      "the first line has no column 'id': begin the file with id,customId,createdAt, or give values in that order",
    );
  return undefined;
}

function fromCsv(text: string, columns: readonly string[]): Read {
  const fields = fieldsOf(text);
  if (!fields) return { complaint: 'The line is not CSV: a quotation mark is not closed.' };
  if (fields.length > columns.length) return { complaint: `The line has more than ${columns.length} fields.` };
  return identityOf(Object.fromEntries(columns.map((name, index) => [name, fields[index] || undefined])));
}

function fromJson(text: string): Read {
  try {
    const members = Object.entries(JSON.parse(text) as object);
    return identityOf(Object.fromEntries(members.map(([name, value]) => [plain(name), value ?? undefined])));
  } catch {
    return { complaint: 'The line is not JSON.' };
  }
}

function identityOf(values: Partial<Record<string, unknown>>): Read {
  const wrong = COLUMNS.find((name) => !['string', 'number', 'undefined'].includes(typeof values[name]));
  if (wrong !== undefined) return { complaint: 'id, customId and createdAt must be text.' };
  const text = (name: Column): string | undefined => (values[name] === undefined ? undefined : String(values[name]));
  const [id, customId, createdAt] = [text('id')?.trim(), text('customid'), text('createdat')?.trim()];
  if (!id) return { complaint: 'The line has no id.' };
  return { identity: { id, ...(customId !== undefined && { customId }), ...(createdAt && { createdAt }) } };
}

/** Fields of a line of CSV (RFC 4180), none of which goes on in the next line; undefined when a quotation mark is left open. */
function fieldsOf(text: string): string[] | undefined {
  if (!text.includes('"')) return text.split(',');
  const fields: string[] = [];
  for (let at = 0; ; at += 1) {
    const isQuoted = text[at] === '"';
    const end = isQuoted ? endOfQuoted(text, at) : endOfBare(text, at);
    if (end < 0) return undefined;
    fields.push(isQuoted ? text.slice(at + 1, end - 1).replaceAll('""', '"') : text.slice(at, end));
    at = end;
    if (at === text.length) return fields;
    if (text[at] !== ',') return undefined;
  }
}

/** Where the text behind a quoted field begins; -1 when its quotation mark is left open. */
function endOfQuoted(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
  return end < 0 ? -1 : end + 1;
}

/** Where a field without quotation marks ends; -1 when it has one all the same. */
function endOfBare(text: string, start: number): number {
  const comma = text.indexOf(',', start);
  const end = comma < 0 ? text.length : comma;
  const mark = text.indexOf('"', start);
  return mark >= 0 && mark < end ? -1 : end;
}
