import { merged } from './lib/merged.ts';
import { CLUSTER } from './settings/cluster.ts';
import { LIMITS } from './settings/limits.ts';
import { LOGGING } from './settings/logging.ts';
import { MODE } from './settings/mode.ts';
import { NETWORK, requireTlsPair } from './settings/network.ts';
import { requireOneKek, SECRETS } from './settings/secrets.ts';
import { type Setting, SettingsError, type SettingTable, type ValuesOf } from './settings/setting.ts';
import { STOPPING } from './settings/stopping.ts';
import { STORE } from './settings/store.ts';
import { requireLifetimeOrder, TOKENS } from './settings/tokens.ts';

export { SettingsError } from './settings/setting.ts';

/** The tables of settings, in the order of `--help` and the reference page. A plane adds its own, with its title. */
export const SETTING_GROUPS = {
  Mode: MODE,
  'Network and addresses': NETWORK,
  Store: STORE,
  'Several nodes': CLUSTER,
  'Keys and secrets': SECRETS,
  Tokens: TOKENS,
  Limits: LIMITS,
  Stopping: STOPPING,
  Logging: LOGGING,
};

/** Every option of the server. `--help`, the reference page and the type {@link Settings} come from these tables. */
export const SETTINGS = merged(SETTING_GROUPS);

export type SettingName = keyof typeof SETTINGS;

/** Frozen, complete, typed. */
export type Settings = ValuesOf<typeof SETTINGS>;

/** What Kubernetes sets in every container beside a service that is called linarite. */
const KUBERNETES = /^LINARITE_(?:SERVICE_|PORT_\d)/;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the environment; nothing else in the program does.
 * @throws SettingsError naming the variable and what it must be
 */
export function readSettings(environment: Environment): Settings {
  requireKnownNames(environment);
  const rows: [string, Setting<unknown>][] = Object.entries(SETTINGS);
  const values = rows.map(([name, row]) => [name, readRow(row, environment)]);
  const settings = Object.freeze(Object.fromEntries(values)) as Settings;
  requireLifetimeOrder(settings);
  requireTlsPair(settings);
  requireOneKek(settings);
  return settings;
}

function requireKnownNames(environment: Environment): void {
  const known = new Set<string>(Object.values(SETTINGS).map((row) => row.variable));
  const unknown = Object.keys(environment).find(
    (name) => name.startsWith('LINARITE_') && !known.has(name) && !KUBERNETES.test(name),
  );
  if (unknown) throw new SettingsError(`${unknown} is not a setting of this version; --help lists them`);
}

function readRow(row: Setting<unknown>, environment: Environment): unknown {
  const given = environment[row.variable] || row.standard;
  try {
    return given === undefined ? undefined : row.read(given);
  } catch (cause) {
    if (!(cause instanceof SettingsError)) throw cause;
    throw new SettingsError(`${row.variable} ${cause.message}${row.secret ? '' : `, not '${given}'`}`);
  }
}

/** What `--help` prints about the settings, a group after the other. */
export const settingsHelp = (width = 96): string =>
  Object.entries<SettingTable>(SETTING_GROUPS)
    .map(([title, table]) => {
      const rows = Object.values(table).map((row) => rowHelp(row, width));
      return `${title}:\n${rows.join('\n')}`;
    })
    .join('\n\n');

function rowHelp({ variable, standard, prose }: Setting<unknown>, width: number): string {
  const shown = standard === undefined ? 'none' : standard === '' ? 'empty' : standard;
  return `  ${variable} (default: ${shown})\n${wrap(prose.replaceAll('`', ''), width - 6)}`;
}

const wrap = (prose: string, width: number): string =>
  prose.replace(new RegExp(`(.{1,${width}})(?: +|$)`, 'g'), '      $1\n').trimEnd();
