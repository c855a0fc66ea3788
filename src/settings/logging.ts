import { oneOf, type SettingTable, setting } from './setting.ts';

/** What is written to standard error. */
export const LOGGING = {
  logLevel: setting({
    variable: 'LINARITE_LOG_LEVEL',
    standard: 'info',
    prose: 'Lowest level of log lines that are written to standard error.',
    read: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  }),
  logFormat: setting({
    variable: 'LINARITE_LOG_FORMAT',
    standard: 'auto',
    prose:
      '`json`: one JSON object per line. `pretty`: short lines for people, in colour on a terminal unless NO_COLOR is set. `auto`: `pretty` in dev mode when standard error is a terminal, otherwise `json`.',
    read: oneOf('auto', 'json', 'pretty'),
  }),
} satisfies SettingTable;
