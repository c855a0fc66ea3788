/** An instant as the original writes token expiries: seven fractional digits and `+00:00`, never `Z`. */
export const sevenDigits = (ms: number): string => new Date(ms).toISOString().replace('Z', '0000+00:00');

/** An instant in whole seconds with `+00:00`. */
export const wholeSeconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, '+00:00');

const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** Reads an RFC 3339 instant, milliseconds since 1970. */
export function parseInstant(text: string): number | undefined {
  const at = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}
