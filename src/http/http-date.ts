const IMF_FIXDATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/i;

/**
 * Reads an IMF-fixdate (RFC 9110, section 5.6.7) with its letters in any case, and nothing else: some clients send lower case.
 * `Date.parse` takes ISO dates, "1" and a wrong weekday, so what it read is written again and compared.
 * @returns milliseconds since 1970, or undefined
 */
export function parseHttpDate(text: string): number | undefined {
  if (text === last.text) return last.at;
  const at = IMF_FIXDATE.test(text) ? Date.parse(text) : Number.NaN;
  const isSame = !Number.isNaN(at) && new Date(at).toUTCString().toLowerCase() === text.toLowerCase();
  last = { text, at: isSame ? at : undefined };
  return last.at;
}

/** Requests of one second carry the same text. */
let last: { text: string; at: number | undefined } = { text: '', at: undefined };
