import { registerSchema, unregisterSchema, validate } from '@hyperjump/json-schema/openapi-3-1';
import type { ApiDocument } from '../../../src/http/openapi.ts';
import type { RawAnswer } from '../raw.ts';

const DIALECT = 'https://spec.openapis.org/oas/3.1/schema-base';
const INSIDE = /\bat [\w.<>]+ \(|node:internal|\.ts:\d+|\/src\/|node_modules|SQLITE_|sqlite|postgres|select .* from /i;
/** Tells an operator where a file is, and nobody else; or describes operations in words that may look like anything. */
const TELLS_PATHS: ReadonlySet<string | undefined> = new Set(['backUp', 'getApiDocument']);

interface Expected {
  /** Complaint about a body, or nothing. */
  check: (body: unknown) => string | undefined;
  /** Content types of the answer; empty when it has no body. */
  types: readonly string[];
  /** Members that may hold a secret. */
  secretNames: ReadonlySet<string>;
}

interface Known {
  method: string;
  path: RegExp;
  operationId: string;
  /** Status, or `default` → what is expected of that answer. */
  answers: ReadonlyMap<string, Expected>;
}

/** Judges answers by the document that the server gives of itself, and by what no answer may say. */
export class AnswerJudge {
  readonly #operations: readonly Known[];

  private constructor(operations: readonly Known[]) {
    this.#operations = operations;
  }

  static async of(document: ApiDocument): Promise<AnswerJudge> {
    const uri = 'https://linarite.test/openapi.json';
    registerSchema(document as never, uri, DIALECT);
    try {
      const operations: Known[] = [];
      for (const [path, methods] of Object.entries(document.paths)) {
        for (const [method, { operationId, responses }] of Object.entries(methods)) {
          const answers = new Map<string, Expected>();
          for (const [status, { $ref }] of Object.entries(responses)) {
            const place =
              typeof $ref === 'string'
                ? $ref.slice('#/'.length)
                : `paths/${pointer(path)}/${method}/responses/${status}`;
            answers.set(status, await expected(document, uri, place));
          }
          operations.push({ method: method.toUpperCase(), path: patternOf(path), operationId, answers });
        }
      }
      return new AnswerJudge(operations);
    } finally {
      unregisterSchema(uri);
    }
  }

  /** What is wrong with an answer. `secrets` are texts that it may hold only where the document says so. */
  complaints(answer: RawAnswer, sent: { method: string; target: string }, secrets: readonly string[]): string[] {
    const { status, headers, body } = answer;
    const found: string[] = [];
    if (!(status >= 200 && status < 500)) found.push(`status ${status}`);
    const known = this.operationAt(sent.method, sent.target);
    const said = known?.answers.get(String(status));
    const success = status < 400;
    const isPreflight = sent.method === 'OPTIONS' && status === 204;
    if (success && !said && !isPreflight) found.push(`${status} is not among the answers of ${known?.operationId}`);

    const rule = said ?? known?.answers.get('default') ?? ENVELOPE;
    const mayHaveBody = sent.method !== 'HEAD' && !isPreflight;
    const value = jsonOf(answer);
    if (mayHaveBody) {
      const type = headers['content-type']?.split(';')[0] ?? '';
      if (rule.types.length === 0 ? body !== '' : !rule.types.some((one) => one === '*/*' || one === type))
        found.push(`content type ${type || 'none'}`);
      if (rule.types.includes('application/json')) {
        const complaint = rule.check(value);
        if (complaint !== undefined)
          found.push(`${success ? 'the answer' : 'the envelope'} does not fit: ${complaint}`);
      }
    }

    const shown = value === undefined ? body : JSON.stringify(success ? without(value, rule.secretNames) : value);
    const all = `${JSON.stringify(headers)} ${shown}`;
    const operationId = success ? known?.operationId : undefined;
    if (!TELLS_PATHS.has(operationId)) {
      if (INSIDE.test(all)) found.push(`something from inside: ${INSIDE.exec(all)?.[0]}`);
      if (secrets.some((secret) => all.includes(secret))) found.push('a secret');
    }
    return found;
  }

  /** The operation that a request addresses, as far as the document tells. `HEAD` has few of its own, else those of `GET`. */
  operationAt(method: string, target: string): Known | undefined {
    const path = (target.split('?')[0] ?? '').replace(/\/{2,}/g, '/');
    const found = this.#operations.find((one) => one.method === method && one.path.test(path));
    return found ?? (method === 'HEAD' ? this.operationAt('GET', target) : undefined);
  }
}

/** For requests to no operation. */
const ENVELOPE: Expected = {
  types: ['application/json'],
  secretNames: new Set(),
  check(body) {
    const { error } = (body ?? {}) as { error?: { code?: unknown; message?: unknown } };
    return typeof error?.code === 'string' && typeof error.message === 'string' ? undefined : 'no code and message';
  },
};

async function expected(document: ApiDocument, uri: string, place: string): Promise<Expected> {
  const response = at(document, place) as { content?: Record<string, { schema: unknown }> };
  const types = Object.keys(response.content ?? {});
  const schema = response.content?.['application/json']?.schema;
  if (schema === undefined) return { types, secretNames: new Set(), check: () => undefined };
  const fits = await validate(`${uri}#/${place}/content/application~1json/schema`);
  return {
    types,
    secretNames: secretNamesIn(schema),
    check(body) {
      if (body === undefined) return 'it is not JSON';
      const output: { valid: boolean; errors?: { instanceLocation: string; keyword: string }[] } = fits(
        body as never,
        'BASIC',
      );
      return output.valid
        ? undefined
        : (output.errors ?? []).map((error) => `${error.instanceLocation} ${error.keyword}`).join(', ') || 'somehow';
    },
  };
}

const pointer = (text: string): string => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));

const at = (document: unknown, place: string): unknown =>
  place
    .split('/')
    .map((step) => decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((value, step) => (value as Record<string, unknown>)[step], document);

/** A path of the document as a pattern of request paths. The case of fixed segments does not count. */
const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]*')}$`, 'i');

function secretNamesIn(schema: unknown, name = ''): ReadonlySet<string> {
  if (typeof schema !== 'object' || schema === null) return new Set();
  if ('format' in schema && schema.format === 'password') return new Set([name]);
  return new Set(Object.entries(schema).flatMap(([member, value]) => [...secretNamesIn(value, member)]));
}

const without = (value: unknown, names: ReadonlySet<string>): unknown => {
  if (Array.isArray(value)) return value.map((one) => without(one, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (names.has(name) ? [] : [[name, without(member, names)]])),
  );
};

function jsonOf({ headers, body }: RawAnswer): unknown {
  if (!/json/.test(headers['content-type'] ?? '')) return undefined;
  try {
    return JSON.parse(Buffer.from(body, 'latin1').toString('utf8'));
  } catch {
    return undefined;
  }
}
