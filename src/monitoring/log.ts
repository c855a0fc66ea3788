import { isatty } from 'node:tty';
import type { Settings } from '../settings.ts';
import { LineBuffer } from './line-buffer.ts';
import { escapeUnprintable, safeFacts, safeText } from './safe-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** Writes a line of the log for people. */
export type LineFormat = (
  level: LogLevel,
  time: string,
  message: string,
  facts: Readonly<Record<string, unknown>>,
) => string;

type LogSettings = Pick<Settings, 'logLevel' | 'mode'>;

/** Where lines go: one JSON object each, or one line for people, whatever their facts contain. */
export interface Log {
  /** Writes a line some time soon. May throw when a fact cannot be turned into text; {@link Monitor} never does. */
  write(level: LogLevel, message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** Whether lines of that level are kept at all. */
  keeps(level: LogLevel): boolean;
  /** Writes what waits at once. Call it in the `exit` event of the process. */
  flushSync(): void;
  /** Resolves once everything is written. Part of an orderly stop. */
  drain(): Promise<void>;
  /** Lines that never reached their reader. */
  readonly dropped: number;
}

/** From the most to say to nothing at all. */
const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** Standard error. */
const STDERR = 2;

interface Output {
  /** A file descriptor other than that of standard error. */
  fd?: number;
  /** How lines are written; undefined: as JSON. */
  format?: LineFormat | undefined;
}

/** Whether the lines are for people. */
export const isForPeople = ({ logFormat, mode }: Pick<Settings, 'logFormat' | 'mode'>): boolean =>
  logFormat === 'pretty' || (logFormat === 'auto' && mode === 'dev' && isatty(STDERR));

/** Opens the log. */
export function openLog({ logLevel, mode }: LogSettings, { fd = STDERR, format }: Output = {}): Log {
  const lines = new LineBuffer(fd);
  const least = LEVELS.indexOf(logLevel);
  const keeps = (level: LogLevel): boolean => LEVELS.indexOf(level) >= least;
  const base = mode === 'dev' ? { mode } : {};
  return {
    write(level, message, facts = {}) {
      if (!keeps(level)) return;
      const time = new Date().toISOString();
      const safe = safeFacts(facts);
      const text = safeText(message);
      const line = format?.(level, time, text, safe) ?? jsonLine({ level, time, ...base, ...safe, msg: text });
      lines.write(`${line}\n`);
    },
    keeps,
    flushSync: () => lines.flushSync(),
    drain: () => lines.drain(),
    get dropped() {
      return lines.dropped;
    },
  };
}

const jsonLine = (members: Readonly<Record<string, unknown>>): string => escapeUnprintable(JSON.stringify(members));
