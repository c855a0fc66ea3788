import type { LineFormat, LogLevel } from './log.ts';
import { withoutUnprintable } from './safe-text.ts';

type Facts = Readonly<Record<string, unknown>>;

type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim';

/** Select Graphic Rendition (ECMA-48, 8.3.117): on and off. */
const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
  dim: [2, 22],
};

const LEVEL_COLOURS: Partial<Record<LogLevel, Colour>> = { warn: 'yellow', error: 'red', fatal: 'red' };
const METHOD_WIDTH = 6;
/** Of a request, in the JSON lines only: what tells one from another, not what came of it. */
const UNSHOWN = ['operation', 'clientRequestId', 'msCv', 'apiVersion', 'caller', 'resourceId', 'identityId'];

/**
 * Lines for people at a terminal: time, method, path, status, duration, reason; anything else as its message and facts.
 * They say less than the JSON lines.
 * @param colours whether the terminal shows them
 */
export function prettyFormat(colours: boolean): LineFormat {
  const paint = (colour: Colour | undefined, text: string): string =>
    colours && colour ? `\u001b[${CODES[colour][0]}m${text}\u001b[${CODES[colour][1]}m` : text;

  const request = ({ method, path, status, durationMs, reason, detail, ...more }: Facts): string => {
    const why =
      reason === undefined ? [] : [detail === undefined ? plain(reason) : `${plain(reason)}; ${plain(detail)}`];
    const rest = Object.entries(more).filter(([name]) => !UNSHOWN.includes(name));
    return [
      plain(method).padEnd(METHOD_WIDTH),
      plain(path ?? '-'),
      paint(statusColour(Number(status)), plain(status)),
      paint('dim', `${plain(durationMs)} ms`),
      ...why.map((text) => paint('yellow', text)),
      ...rest.map(fact),
    ].join(' ');
  };

  return (level, time, message, facts) => {
    const clock = paint('dim', localTime(time));
    if (message === 'request' && facts.method !== undefined) return `${clock} ${request(facts)}`;
    const label = paint(LEVEL_COLOURS[level] ?? 'cyan', level);
    const text = [withoutUnprintable(message), ...Object.entries(facts).map((one) => paint('dim', fact(one)))];
    return `${clock} ${label} ${text.join(' ')}`;
  };
}

const statusColour = (status: number): Colour => (status >= 500 ? 'red' : status >= 400 ? 'yellow' : 'green');

/** Hours, minutes and seconds where the terminal is. */
const localTime = (time: string): string => new Date(time).toTimeString().slice(0, 8);

const fact = ([name, value]: readonly [string, unknown]): string => `${withoutUnprintable(name)}=${plain(value)}`;

/** One value on one line. Of an error its message, and those of its causes: the stacks are in the JSON lines. */
function plain(value: unknown): string {
  if (typeof value !== 'object' || value === null) return withoutUnprintable(String(value));
  const { type, message, cause } = value as Facts;
  if (typeof message !== 'string') return withoutUnprintable(JSON.stringify(value));
  return withoutUnprintable(`${type}: ${message}${cause === undefined ? '' : ` (${plain(cause)})`}`);
}
