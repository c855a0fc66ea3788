/** A setting that cannot be used, said so that one line is enough to correct it. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** One row of a table of settings. */
export interface Setting<T> {
  /** The environment variable. */
  readonly variable: string;
  /** What holds when the variable is absent or empty, as it would be written; undefined: nothing. */
  readonly standard: string | undefined;
  /** What it is for, in a sentence or two, with its unit and its values. */
  readonly prose: string;
  /** True for values that no log, page or error may show. */
  readonly secret?: boolean;
  /** Checks and converts. Throws a sentence that goes after the variable's name. */
  read(text: string): T;
}

/** Name → row. */
export type SettingTable = Readonly<Record<string, Setting<unknown>>>;

/** Name → value, for the rows of a table. */
export type ValuesOf<Table> = { readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never };

export function setting<T>(row: Setting<T> & { standard: string }): Setting<T>;
export function setting<T>(row: Setting<T> & { standard: undefined }): Setting<T | undefined>;
export function setting<T>(row: Setting<T>): Setting<T | undefined> {
  return row;
}

/** Takes any text. */
export const text = (value: string): string => value;

/** Reads parts between commas; empty parts do not count. */
export const list = (value: string): readonly string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);

/** Reads a whole number within bounds, both of which are allowed. */
export const whole =
  (least: number, most: number) =>
  (value: string): number => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < least || number > most) {
      throw new SettingsError(`must be a whole number from ${least} to ${most}`);
    }
    return number;
  };

/** Reads one of a few words. */
export const oneOf =
  <const T extends string>(...values: readonly T[]) =>
  (value: string): T => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new SettingsError(`must be one of ${values.join(', ')}`);
    return found;
  };
