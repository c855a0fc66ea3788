const IMF_FIXDATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * Reads an IMF-fixdate (RFC 9110, section 5.6.7) and nothing else: `Date.parse` takes ISO dates, "1" and a wrong weekday,
 * so what it read is written again and compared.
 * @returns milliseconds since 1970, or undefined
 */
export function parseHttpDate(text: string): number | undefined {
  if (!IMF_FIXDATE.test(text)) return undefined;
  const at = Date.parse(text);
  return new Date(at).toUTCString() === text ? at : undefined;
}
