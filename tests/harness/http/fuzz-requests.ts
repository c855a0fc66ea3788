import fc from 'fast-check';
import type { ApiDocument, ApiOperation } from '../../../src/http/openapi.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

/** How a request proves, or fails to prove, who sends it. */
export type Credential = (typeof CREDENTIALS)[number];
const CREDENTIALS = [
  'none',
  'accessKey',
  'userToken',
  'operatorKey',
  'otherAccessKey',
  'lateSignature',
  'otherContentHash',
  'twoAuthorizations',
  'otherUserToken',
  'otherOperatorKey',
  'basic',
  'garbage',
] as const;

/** A request to be made. `{id}` and the like in target and body stand for what only the sender knows. */
export interface Attempt {
  operationId: string;
  method: string;
  target: string;
  headers: readonly (readonly [string, string])[];
  body: Buffer;
  chunked: boolean;
  credential: Credential;
}

/** What is a good value under a name, wherever the document says no more than `string`. */
export type GoodValues = Readonly<Record<string, readonly unknown[]>>;

/** Mostly one of the usual, now and then something else. */
const often = <T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>, weight = 5): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: usual, weight }, { arbitrary: rare, weight: 1 });

/** What a segment or a value of the query can be made of, as it is sent. */
const nasty = fc.oneof(
  fc.constantFrom(
    '',
    '..',
    '%',
    '%00',
    '%2F',
    '%2f..%2f',
    '%c3',
    '%25',
    '%0d%0a',
    '__proto__',
    'constructor',
    '*',
    "'",
  ),
  fc.constantFrom(
    '<',
    '\\',
    '.',
    ':',
    '8%3Aacs%3A',
    '-1',
    '1e400',
    '9007199254740993',
    '00000000-0000-0000-0000-000000000000',
  ),
  fc.string({ maxLength: 40 }).map(encodeURIComponent),
  fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.stringMatching(/^[!-~]{0,60}$/).map((text) => text.replace(/[?#]/g, '')),
  fc.constant('x'.repeat(2000)),
);

/** A value that fits a schema; strings of a known name are usually good in other ways too. */
function fitting(schema: JsonSchema, good: GoodValues, name = ''): fc.Arbitrary<unknown> {
  const { type, anyOf, items, properties, required, additionalProperties } = schema as {
    type?: string;
    anyOf?: readonly JsonSchema[];
    items?: JsonSchema;
    properties?: Readonly<Record<string, JsonSchema>>;
    required?: readonly string[];
    additionalProperties?: JsonSchema;
  };
  if (anyOf)
    return fc.oneof(
      ...anyOf.map((one, index) => ({ arbitrary: fitting(one, good, name), weight: index === 0 ? 4 : 1 })),
    );
  const known = good[name];
  if (known && type !== 'array' && type !== 'object')
    return often(fc.constantFrom(...known), fc.string({ maxLength: 40 }), 8);
  switch (type) {
    case 'string':
      return fc.string({ maxLength: 40 });
    case 'integer':
      return fc.integer();
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(fitting(items ?? {}, good, name), { minLength: 1, maxLength: 3 });
    case 'object': {
      const members = Object.entries(properties ?? {}).map(
        ([member, shape]) => [member, fitting(shape, good, member)] as const,
      );
      if (additionalProperties)
        return fc.dictionary(fc.string({ maxLength: 10 }), fitting(additionalProperties, good), { maxKeys: 3 });
      return fc.record(Object.fromEntries(members), { requiredKeys: [...(required ?? [])], noNullPrototype: true });
    }
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

/** JSON texts that are valid to some parsers, deep, huge, or both. */
const HUGE = [
  '1e400',
  '-1e400',
  '9007199254740993',
  `1${'0'.repeat(400)}`,
  '0.1e-400',
  '-0',
  '2147483648',
  '60.5',
  '6e1',
];
const strangeValue = fc.oneof(
  fc.constantFrom(...HUGE),
  fc.constantFrom(
    '{}',
    '[]',
    '[[]]',
    'true',
    'null',
    '""',
    '[null]',
    '{"toString":1}',
    '{"__proto__":{"a":1}}',
    '"\\ud800"',
    '"\\u0000"',
  ),
  fc.integer({ min: 1, max: 20_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  fc.integer({ min: 1, max: 5_000 }).map((depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
  fc.string({ unit: 'binary', maxLength: 300 }).map((text) => JSON.stringify(text)),
  fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)),
  fc.constant(`"${'x'.repeat(70_000)}"`),
);

/** What is done to the text of a body that would have been good. */
const corruption: fc.Arbitrary<(text: string) => Buffer> = fc.oneof(
  // Another value, or a second one, under the name of a member.
  fc.tuple(fc.nat(), strangeValue, fc.boolean()).map(([at, value, twice]) => (text: string) => {
    const names = [...text.matchAll(/"([A-Za-z]\w*)":/g)];
    const name = names[at % Math.max(1, names.length)]?.[1] ?? 'scopes';
    const member = `"${name}":${value}`;
    if (twice) return Buffer.from(text.replace(/}\s*$/, text.length > 2 ? `,${member}}` : `${member}}`));
    return Buffer.from(`{${member}${text.length > 2 ? `,${text.slice(1)}` : '}'}`);
  }),
  strangeValue.map((value) => (text: string) => Buffer.from(text.replace(/(?<=:)[^,{}[\]]+(?=[,}])/, () => value))),
  fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, byte]) => (text: string) => {
    const bytes = Buffer.from(text);
    if (bytes.length > 0) bytes[at % bytes.length] = byte;
    return bytes;
  }),
  fc.nat().map((at) => (text: string) => Buffer.from(text.slice(0, at % (text.length + 1)))),
  fc
    .constantFrom<[string, string]>(
      ['\ufeff', ''],
      ['', '\0'],
      ['', '{}'],
      ['[', ']'],
      [' \r\n\t', ' '],
      ['/**/', ''],
      ['&', '&'],
      ['token=', ''],
    )
    .map(
      ([before, after]) =>
        (text: string) =>
          Buffer.from(before + text + after),
    ),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => () => Buffer.from(bytes)),
  fc.constant(() => Buffer.alloc(0)),
  fc.constant((text: string) => Buffer.from(text, 'utf16le')),
  fc.constant((text: string) => Buffer.from(`${text.slice(0, -1)} ${' '.repeat(1024 * 1024)}${text.slice(-1)}`)),
);

const asForm = (value: unknown): string =>
  new URLSearchParams(Object.entries(value as object).map(([name, member]) => [name, String(member)])).toString();

function bodyOf(operation: ApiOperation, good: GoodValues): fc.Arbitrary<{ body: Buffer; type: string | undefined }> {
  const [type, { schema = {} } = {}] =
    (Object.entries(operation.requestBody?.content ?? {})[0] as [string, { schema?: JsonSchema }] | undefined) ?? [];
  const value = fitting(schema, good);
  const text = value.map((one) => (type?.endsWith('form-urlencoded') ? asForm(one) : (JSON.stringify(one) ?? '')));
  const anyText = fc.jsonValue({ maxDepth: 3 }).map((one) => JSON.stringify(one));
  const nothing = fc.constant(Buffer.alloc(0));
  const whole =
    type === undefined
      ? often(
          nothing,
          anyText.map((one) => Buffer.from(one)),
          8,
        )
      : text.map((one) => Buffer.from(one));
  const corrupted = fc.tuple(type === undefined ? anyText : text, corruption).map(([one, corrupt]) => corrupt(one));
  return fc.record({ body: often(whole, corrupted, 2), type: often(fc.constant(type), anyType, 8) });
}

const anyType = fc.oneof(
  fc.constantFrom<(string | undefined)[]>(
    undefined,
    '',
    'application/json',
    'APPLICATION/JSON; charset=UTF-8',
    'application/json; charset=utf-16',
    'application/merge-patch+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain',
    'text/xml',
    'application/octet-stream',
    '*/*',
    'application/json, text/html',
  ),
  fc.stringMatching(/^[ -~]{0,60}$/),
);

const CONTROLLED = /^(?:expect|upgrade|connection|te|trailer|transfer-encoding|content-length|host|keep-alive)$/i;
const anyHeader = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      'Accept',
      'Origin',
      'Content-Encoding',
      'x-ms-client-request-id',
      'X-Forwarded-For',
      'Cookie',
      'Range',
    ),
    fc.constantFrom(
      'X-HTTP-Method-Override',
      'Access-Control-Request-Method',
      'If-Match',
      'x-ms-date',
      'Date',
      'traceparent',
    ),
    fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/).filter((name) => !CONTROLLED.test(name)),
  ),
  fc.oneof(
    fc.constantFrom(
      'gzip',
      'identity',
      'http://localhost:3000',
      'https://evil.example',
      '*/*',
      'null',
      'GET',
      'DELETE',
      '',
    ),
    fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,80}$/),
    fc.constant('x'.repeat(5000)),
  ),
);

function targetOf(path: string, operation: ApiOperation, good: GoodValues): fc.Arbitrary<string> {
  const filled = fc
    .tuple(
      ...path.split('/').map((segment) => {
        const name = /^\{(\w+)\}$/.exec(segment)?.[1];
        const usual = name === undefined ? [segment] : (good[name] ?? [segment]).map(String);
        return often(fc.constantFrom(...usual), nasty, name === undefined ? 60 : 8);
      }),
    )
    .map((segments) => segments.join('/'));
  const anyPath = fc.oneof(
    fc.array(nasty, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`),
    fc
      .tuple(fc.nat(), nasty)
      .map(([at, insert]) => `${path.slice(0, 1 + (at % path.length))}${insert}${path.slice(1 + (at % path.length))}`),
  );

  const declared = operation.parameters.filter((parameter) => parameter.in === 'query') as unknown as {
    name: string;
    required?: boolean;
    schema: { enum?: readonly string[] };
  }[];
  const pairs = declared.map(({ name, required, schema }) => {
    const usual = schema.enum ?? (good[name] ?? ['1']).map(String);
    const value = often(fc.constantFrom(...usual), nasty, 10);
    const one = value.map((text) => [`${name}=${text}`]);
    const two = fc.tuple(value, value).map(([first, second]) => [`${name}=${first}`, `${name}=${second}`]);
    return fc.oneof(
      { arbitrary: one, weight: required ? 12 : 2 },
      { arbitrary: fc.constant<string[]>([]), weight: required ? 1 : 4 },
      { arbitrary: two, weight: 1 },
    );
  });
  const more = often(
    fc.constant<string[]>([]),
    fc.array(
      fc
        .tuple(fc.constantFrom('api-version', 'maxPageSize', 'x', '%00', '', 'API-VERSION'), nasty)
        .map((pair) => pair.join('=')),
      { maxLength: 3 },
    ),
    8,
  );
  const query = fc
    .tuple(more, ...pairs)
    .map((parts) => parts.flat())
    .map((parts) => (parts.length === 0 ? '' : `?${parts.join('&')}`));
  return fc
    .tuple(often(filled, anyPath, 30), query)
    .map(([first, second]) => (`/${first}`.replace(/^\/\//, '/') + second).replace(/[^!-~]/g, ''));
}

/** Requests of every kind to every operation of a document: most nearly good, since only they get far. */
export function requests(document: ApiDocument, good: GoodValues): fc.Arbitrary<Attempt> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  return fc.oneof(
    ...operations.map(({ path, method, operation }) => {
      // Proofs that only somebody else can make, such as a foreign token, are left out.
      const right = operation.security
        .flatMap((alternative) => Object.keys(alternative))
        .flatMap((scheme) => CREDENTIALS.filter((credential) => credential === scheme));
      return fc
        .record({
          operationId: fc.constant(operation.operationId),
          method: often(
            fc.constant(method),
            fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'SEARCH', 'PROPFIND'),
            25,
          ),
          target: targetOf(path, operation, good),
          content: bodyOf(operation, good),
          more: often(fc.constant<[string, string][]>([]), fc.array(anyHeader, { maxLength: 3 }), 4),
          chunked: often(fc.constant(false), fc.constant(true), 12),
          credential: often(
            fc.constantFrom(...(right.length > 0 ? right : (['none'] as const))),
            fc.constantFrom(...CREDENTIALS),
            5,
          ),
        })
        .map(({ content: { body, type }, more, ...rest }): Attempt => {
          const headers: [string, string][] = type === undefined ? more : [['Content-Type', type], ...more];
          return { ...rest, headers, body };
        });
    }),
  );
}
