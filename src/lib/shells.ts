/** How a shell writes things down. */
export interface Shell {
  /** One word that the shell takes as it is. */
  quote(text: string): string;
  /** Sets variables for this shell and what it starts, in one line. */
  set(variables: Readonly<Record<string, string>>): string;
  /** Runs the first, whatever comes of it, then the second, then the third if the second went well. */
  redo(first: string, second: string, third: string): string;
  removeIfThere(path: string): string;
  readonly curl: string;
}

export const SHELL_NAMES = ['posix', 'powershell', 'fish'] as const;
export type ShellName = (typeof SHELL_NAMES)[number];

// Nothing in here has a meaning for a shell, and a tilde at the front, which has, is not in it.
const PLAIN = /^[A-Za-z0-9_./:@%+=,-]+$/;

const posix: Shell = {
  quote: (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`),
  set: (variables) => `export ${pairs(variables, (name, value) => `${name}=${posix.quote(value)}`).join(' ')}`,
  redo: (first, second, third) => `${first}; ${second} && ${third}`,
  removeIfThere: (path) => `rm -f ${posix.quote(path)}`,
  curl: 'curl',
};

// Windows PowerShell 5 knows neither && nor another curl than an alias of its own.
const powershell: Shell = {
  // Typographic apostrophes end a quoted text there, just like the plain one.
  quote: (text) => `'${text.replace(/['\u2018-\u201b]/g, '$&$&')}'`,
  set: (variables) => pairs(variables, (name, value) => `$env:${name} = ${powershell.quote(value)}`).join('; '),
  redo: (first, second, third) => `${first}; ${second}; if ($?) { ${third} }`,
  removeIfThere: (path) => `Remove-Item -ErrorAction Ignore -LiteralPath ${powershell.quote(path)}`,
  curl: 'curl.exe --ssl-no-revoke',
};

const fish: Shell = {
  quote: (text) => (PLAIN.test(text) ? text : `'${text.replace(/['\\]/g, '\\$&')}'`),
  set: (variables) => pairs(variables, (name, value) => `set -gx ${name} ${fish.quote(value)}`).join('; '),
  redo: (first, second, third) => `${first}; ${second}; and ${third}`,
  removeIfThere: (path) => `rm -f ${fish.quote(path)}`,
  curl: 'curl',
};

export const SHELLS: Readonly<Record<ShellName, Shell>> = { posix, powershell, fish };

/** The shell that people are most likely to have in front of them. */
export const usualShell = (platform: NodeJS.Platform = process.platform): ShellName =>
  platform === 'win32' ? 'powershell' : 'posix';

const pairs = (variables: Readonly<Record<string, string>>, one: (name: string, value: string) => string): string[] =>
  Object.entries(variables).map(([name, value]) => one(name, value));
