/**
 * Shapes of bodies: one description gives the TypeScript type, the check and the JSON Schema of the reference. The few
 * kinds that a body of this protocol is made of, and no more: a schema library costs more memory and start-up time than all
 * routes together (docs/decisions/dependencies.md).
 */
export interface Schema<T = unknown> {
  /** As the reference shows it (JSON Schema 2020-12). */
  readonly json: Readonly<Record<string, unknown>>;
  /** Whether a member of this shape may be missing. */
  readonly optional: boolean;
  /** @returns where the value does not fit, as member names from the outside in; undefined when it does */
  mismatch(value: unknown): readonly string[] | undefined;
  /** How many entries the lists and records of a value have that fits: what it costs to serve it grows with them. */
  entries(value: unknown): number;
  /** Only for the type; never there. */
  readonly type?: T;
}

/** The TypeScript type of what fits a shape. */
export type Shape<S> = S extends Schema<infer T> ? T : never;

const FITS = undefined;
const HERE: readonly string[] = [];

const leaf = <T>(json: Record<string, unknown>, fits: (value: unknown) => boolean): Schema<T> => ({
  json,
  optional: false,
  mismatch: (value) => (fits(value) ? FITS : HERE),
  entries: () => 0,
});

export const text = (json: Record<string, unknown> = {}): Schema<string> =>
  leaf({ type: 'string', ...json }, (value) => typeof value === 'string');

/** Text that is kept as it comes: without U+0000, which PostgreSQL has no place for (its manual, section 8.3). */
export const keptText = (): Schema<string> =>
  leaf({ type: 'string' }, (value) => typeof value === 'string' && !value.includes('\0'));

/** Text that opens something: it may be in an answer, and nowhere else. */
export const secret = (): Schema<string> => text({ format: 'password' });

/** A whole number of 32 bits, as the original's. */
export const int32 = (): Schema<number> =>
  leaf({ type: 'integer', format: 'int32' }, (value) => typeof value === 'number' && (value | 0) === value);

export const truth = (): Schema<boolean> => leaf({ type: 'boolean' }, (value) => typeof value === 'boolean');

export const anything = (): Schema<unknown> => leaf({}, () => true);

export const listOf = <T>(item: Schema<T>): Schema<T[]> => ({
  json: { type: 'array', items: item.json },
  optional: false,
  mismatch: (value) => {
    if (!Array.isArray(value)) return HERE;
    return value.some((entry) => item.mismatch(entry) !== FITS) ? HERE : FITS;
  },
  entries: (value) => entriesOf(item, value as unknown[]),
});

/** Members of any name, all of one shape. */
export const recordOf = <T>(member: Schema<T>): Schema<Record<string, T>> => ({
  json: { type: 'object', additionalProperties: member.json },
  optional: false,
  mismatch: (value) => {
    if (!isObject(value)) return HERE;
    return Object.values(value).some((entry) => member.mismatch(entry) !== FITS) ? HERE : FITS;
  },
  entries: (value) => entriesOf(member, Object.values(value as object)),
});

function entriesOf(schema: Schema, values: readonly unknown[]): number {
  let sum = values.length;
  for (const value of values) sum += schema.entries(value);
  return sum;
}

/** A member that may be missing; clients that have nothing to say also send `null`. */
export const optional = <T>(schema: Schema<T>): Schema<T | null | undefined> => ({
  json: { anyOf: [schema.json, { type: 'null' }] },
  optional: true,
  mismatch: (value) => (value === undefined || value === null ? FITS : schema.mismatch(value)),
  entries: (value) => (value === undefined || value === null ? 0 : schema.entries(value)),
});

/** A member of an answer that may be missing, and is never null. */
export const maybe = <T>(schema: Schema<T>): Schema<T | undefined> => ({
  json: schema.json,
  optional: true,
  mismatch: (value) => (value === undefined ? FITS : schema.mismatch(value)),
  entries: (value) => (value === undefined ? 0 : schema.entries(value)),
});

type Members = Readonly<Record<string, Schema>>;
type OptionalNames<M extends Members> = { [N in keyof M]: undefined extends Shape<M[N]> ? N : never }[keyof M];
type ObjectShape<M extends Members> = { [N in Exclude<keyof M, OptionalNames<M>>]: Shape<M[N]> } & {
  [N in OptionalNames<M>]?: Shape<M[N]>;
};

/** An object with at least these members. Others are let pass: newer clients send more. */
export const object = <const M extends Members>(members: M): Schema<ObjectShape<M>> => {
  const schemas = Object.entries(members);
  return {
    json: {
      type: 'object',
      properties: Object.fromEntries(schemas.map(([name, { json }]) => [name, json])),
      required: schemas.flatMap(([name, schema]) => (schema.optional ? [] : [name])),
    },
    optional: false,
    mismatch: (value) => {
      if (!isObject(value)) return HERE;
      for (const [name, schema] of schemas) {
        const path = schema.mismatch(Object.hasOwn(value, name) ? value[name] : undefined);
        if (path !== FITS) return [name, ...path];
      }
      return FITS;
    },
    entries: (value) => {
      let sum = 0;
      for (const [name, schema] of schemas) sum += schema.entries((value as Values)[name]);
      return sum;
    },
  };
};

type Values = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
