/** A setting that cannot be used, said so that one line is enough to mend it. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** One row of the settings table. */
interface Setting<T> {
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

function setting<T>(row: Setting<T> & { standard: string }): Setting<T>;
function setting<T>(row: Setting<T> & { standard: undefined }): Setting<T | undefined>;
function setting<T>(row: Setting<T>): Setting<T | undefined> {
  return row;
}

const text = (value: string): string => value;
const list = (value: string): readonly string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);

const whole =
  (least: number, most: number) =>
  (value: string): number => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < least || number > most) {
      throw new SettingsError(`must be a whole number from ${least} to ${most}`);
    }
    return number;
  };

const oneOf =
  <const T extends string>(...values: readonly T[]) =>
  (value: string): T => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new SettingsError(`must be one of ${values.join(', ')}`);
    return found;
  };

const httpsOrigin = (value: string): string => {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search || url.username) {
    throw new SettingsError('must be an address such as https://acs.example.org, without a path');
  }
  return url.origin;
};

const databaseUrl = (value: string): string => {
  if (!/^postgres(ql)?:\/\//.test(value)) throw new SettingsError('must begin with postgres://');
  return value;
};

const natsUrls = (value: string): string => {
  const urls = value.split(',').map((url) => URL.parse(url.trim()));
  const isUrl = (url: URL | null): boolean =>
    url !== null &&
    /^(nats|tls):$/.test(url.protocol) &&
    url.hostname !== '' &&
    /^\/?$/.test(url.pathname) &&
    !url.search;
  if (!urls.every(isUrl)) throw new SettingsError('must be addresses such as nats://host:4222 or tls://host:4222');
  return value;
};

/** Every option of the server. `--help`, the reference page and the type {@link Settings} come from this table. */
export const SETTINGS = {
  mode: setting({
    variable: 'LINARITE_MODE',
    standard: 'dev',
    prose:
      '`dev` is the local emulator: loopback, a well-known resource and key, reasons in response headers. `production` checks the settings at the start and refuses unsafe ones.',
    read: oneOf('dev', 'production'),
  }),
  hosts: setting({
    variable: 'LINARITE_HOST',
    standard: '127.0.0.1,::1',
    prose: 'Addresses to listen on, separated by commas.',
    read: list,
  }),
  port: setting({
    variable: 'LINARITE_PORT',
    standard: '7417',
    prose: 'Port for both HTTP and HTTPS. 0 takes any free port; the ready block shows it.',
    read: (value) => {
      // Kubernetes sets this very variable beside a service that is called linarite.
      if (value.startsWith('tcp://'))
        throw new SettingsError('was set by Kubernetes for a service of that name: set enableServiceLinks: false');
      return whole(0, 65535)(value);
    },
  }),
  data: setting({
    variable: 'LINARITE_DATA',
    standard: './.linarite',
    prose: 'Data folder: database, certificates, operator key. `:memory:` keeps nothing after the server stops.',
    read: text,
  }),
  databaseUrl: setting({
    variable: 'LINARITE_DATABASE_URL',
    standard: undefined,
    prose: 'PostgreSQL 15 or newer, `postgres://user:password@host/database`. Not set: SQLite in the data folder.',
    secret: true,
    read: databaseUrl,
  }),
  natsUrl: setting({
    variable: 'LINARITE_NATS_URL',
    standard: undefined,
    prose:
      'NATS server that carries hints between nodes on one PostgreSQL, `nats://user:password@host:port`, or `tls://` for a connection with TLS; several servers of one NATS cluster separated by commas. Not set: PostgreSQL carries them.',
    secret: true,
    read: natsUrls,
  }),
  publicUrl: setting({
    variable: 'LINARITE_PUBLIC_URL',
    standard: undefined,
    prose:
      'Address that clients use to reach the server. Tokens name it as their issuer, and connection strings contain it. Not set: https://localhost:<port>. Required in production mode.',
    read: httpsOrigin,
  }),
  tlsCertificate: setting({
    variable: 'LINARITE_TLS_CERT',
    standard: undefined,
    prose:
      'PEM file with the server certificate and its chain. It is read again when it changes, and on SIGHUP. Not set: dev mode makes its own certificate.',
    read: text,
  }),
  tlsKey: setting({
    variable: 'LINARITE_TLS_KEY',
    standard: undefined,
    prose: 'PEM file with the private key of the server certificate, readable by its owner only.',
    read: text,
  }),
  trustedProxies: setting({
    variable: 'LINARITE_TRUSTED_PROXIES',
    standard: '',
    prose:
      'Addresses of proxies that end TLS in front of the server, separated by commas. In production mode only these may connect over plain HTTP from other machines.',
    read: list,
  }),
  allowedHosts: setting({
    variable: 'LINARITE_ALLOWED_HOSTS',
    standard: '',
    prose:
      'More host names to answer for, separated by commas, in addition to loopback names (dev mode) and the public URL. Protects against DNS rebinding. In dev mode the certificate covers these names too: adding a name makes a new certificate authority, which clients must trust again.',
    read: list,
  }),
  allowedOrigins: setting({
    variable: 'LINARITE_ALLOWED_ORIGINS',
    standard: '',
    prose:
      'Web origins whose pages may call routes for user tokens, separated by commas. In dev mode loopback origins may call them too. Routes for access keys never answer pages of other origins.',
    read: list,
  }),
  wellKnownKey: setting({
    variable: 'LINARITE_WELL_KNOWN_KEY',
    standard: 'loopback',
    prose:
      '`loopback`: the published development key, and the issuer with its published secret, work only on loopback connections, and dev mode refuses to listen on other addresses. `off`: the resource and the issuer get random keys. `everywhere`: anybody who reaches the port controls everything; a warning in the log says so every minute.',
    read: oneOf('loopback', 'off', 'everywhere'),
  }),
  kek: setting({
    variable: 'LINARITE_KEK',
    standard: undefined,
    prose:
      'Key-encryption key, 32 bytes in base64. To change it, give the new key, a space and the former key. Production mode needs this setting or one of the next two.',
    secret: true,
    read: text,
  }),
  kekFile: setting({
    variable: 'LINARITE_KEK_FILE',
    standard: undefined,
    prose:
      'File with the key-encryption key in base64, readable by its owner only. To change the key, put the new key on the first line and the former key on the second.',
    read: text,
  }),
  kekCommand: setting({
    variable: 'LINARITE_KEK_COMMAND',
    standard: undefined,
    prose:
      'Program that prints what LINARITE_KEK_FILE would contain, with its arguments, separated by spaces. It runs without a shell and must finish within 10 seconds. Its output is never logged.',
    read: text,
  }),
  operatorKey: setting({
    variable: 'LINARITE_OPERATOR_KEY',
    standard: undefined,
    prose:
      'Operator key, at least 32 characters. Not set: the first start makes one, in the file `operator.key` of the data folder.',
    secret: true,
    read: (value) => {
      if (!/^[\x21-\x7e]{32,512}$/.test(value))
        throw new SettingsError('must have 32 to 512 printable ASCII characters');
      return value;
    },
  }),
  signatureWindowMinutes: setting({
    variable: 'LINARITE_SIGNATURE_WINDOW_MINUTES',
    standard: '5',
    prose:
      'How far the date of a signed request may differ from the server clock, in either direction. 1 to 15 minutes.',
    read: whole(1, 15),
  }),
  tokenMinutesShortest: setting({
    variable: 'LINARITE_TOKEN_MINUTES_SHORTEST',
    standard: '60',
    prose: 'Shortest token lifetime that a caller may ask for, in minutes.',
    read: whole(1, 10080),
  }),
  tokenMinutesLongest: setting({
    variable: 'LINARITE_TOKEN_MINUTES_LONGEST',
    standard: '1440',
    prose: 'Longest token lifetime that a caller may ask for, in minutes.',
    read: whole(1, 10080),
  }),
  tokenMinutesUsual: setting({
    variable: 'LINARITE_TOKEN_MINUTES',
    standard: '1440',
    prose: 'Token lifetime when the caller does not ask for one, in minutes.',
    read: whole(1, 10080),
  }),
  signingAlgorithm: setting({
    variable: 'LINARITE_SIGNING_ALGORITHM',
    standard: 'RS256',
    prose:
      '`RS256` is the algorithm of the original. `ES256` signs about ten times faster. A change takes effect at the next key rotation.',
    read: oneOf('RS256', 'ES256'),
  }),
  signingRsaBits: setting({
    variable: 'LINARITE_SIGNING_RSA_BITS',
    standard: '2048',
    prose: 'Size of RSA signing keys. `3072` gives 128-bit strength and costs more than twice as much.',
    read: (value) => Number(oneOf('2048', '3072', '4096')(value)),
  }),
  signingKeyDays: setting({
    variable: 'LINARITE_SIGNING_KEY_DAYS',
    standard: '30',
    prose: 'Number of days a signing key is used before the next one replaces it.',
    read: whole(2, 365),
  }),
  leaseMs: setting({
    variable: 'LINARITE_LEASE_MS',
    standard: '2000',
    prose:
      'A node accepts tokens only while its last confirmed heartbeat with the store is younger than this, in milliseconds. A revocation, and a change of resources, keys or trusts, waits at most this long for a node that does not answer.',
    read: whole(500, 60000),
  }),
  requestsMost: setting({
    variable: 'LINARITE_REQUESTS_MOST',
    standard: '256',
    prose:
      'Most requests that may be under way at the same time. More are refused with 503 and `Retry-After`. One resource alone can use at most half of them, so that others are served too. A request with a large body, or with long lists in it, counts as several.',
    read: whole(4, 100_000),
  }),
  urgentRequestsMost: setting({
    variable: 'LINARITE_URGENT_REQUESTS_MOST',
    standard: '1024',
    prose:
      'The same limit for requests that end access (revoke, delete, regenerate a key) or ask for health and metrics. It is separate: other requests do not count against it.',
    read: whole(4, 100_000),
  }),
  quotas: setting({
    variable: 'LINARITE_QUOTAS',
    standard: 'off',
    prose:
      '`acs`: the request quotas of the original apply to each resource, counted by each node alone, with 429 and `Retry-After`. In production mode they never apply to delete and revoke. `off`: no quotas.',
    read: oneOf('off', 'acs'),
  }),
  drainSeconds: setting({
    variable: 'LINARITE_DRAIN_SECONDS',
    standard: '0',
    prose:
      'After a stop signal the server reports that it is not ready, and accepts new connections for this many seconds. Set it to the time that your load balancer needs to notice.',
    read: whole(0, 600),
  }),
  stopSeconds: setting({
    variable: 'LINARITE_STOP_SECONDS',
    standard: '30',
    prose: 'Seconds that requests under way have to finish after a stop signal.',
    read: whole(1, 600),
  }),
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
};

type Table = typeof SETTINGS;
export type SettingName = keyof Table;

/** Frozen, complete, typed. */
export type Settings = { readonly [Name in SettingName]: Table[Name] extends Setting<infer T> ? T : never };

/** What Kubernetes sets in every container beside a service that is called linarite. */
const KUBERNETES = /^LINARITE_(?:SERVICE_|PORT_\d)/;

/**
 * Reads the environment; nothing else in the program does.
 * @throws SettingsError naming the variable and what it must be
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const known = new Set<string>(Object.values(SETTINGS).map((row) => row.variable));
  const unknown = Object.keys(environment).find(
    (name) => name.startsWith('LINARITE_') && !known.has(name) && !KUBERNETES.test(name),
  );
  if (unknown) throw new SettingsError(`${unknown} is not a setting of this version; --help lists them`);

  const values = Object.entries(SETTINGS).map(([name, row]: [string, Setting<unknown>]) => {
    const given = environment[row.variable] || row.standard;
    try {
      return [name, given === undefined ? undefined : row.read(given)];
    } catch (cause) {
      if (!(cause instanceof SettingsError)) throw cause;
      throw new SettingsError(`${row.variable} ${cause.message}${row.secret ? '' : `, not '${given}'`}`);
    }
  });
  const settings = Object.freeze(Object.fromEntries(values)) as Settings;

  const { tokenMinutesShortest: least, tokenMinutesUsual: usual, tokenMinutesLongest: most } = settings;
  if (least > usual || usual > most) {
    throw new SettingsError('LINARITE_TOKEN_MINUTES must lie between LINARITE_TOKEN_MINUTES_SHORTEST and …_LONGEST');
  }
  if ((settings.tlsCertificate === undefined) !== (settings.tlsKey === undefined)) {
    throw new SettingsError('LINARITE_TLS_CERT and LINARITE_TLS_KEY belong together: set both or none');
  }
  if ([settings.kek, settings.kekFile, settings.kekCommand].filter((given) => given !== undefined).length > 1) {
    throw new SettingsError('LINARITE_KEK, LINARITE_KEK_FILE and LINARITE_KEK_COMMAND exclude each other');
  }
  return settings;
}

/** What `--help` prints about the settings. */
export function settingsHelp(width = 96): string {
  return Object.values(SETTINGS)
    .map((row: Setting<unknown>) => {
      const standard = row.standard === undefined ? 'none' : row.standard === '' ? 'empty' : row.standard;
      return `  ${row.variable} (default: ${standard})\n${wrap(row.prose.replaceAll('`', ''), width - 6)}`;
    })
    .join('\n');
}

const wrap = (prose: string, width: number): string =>
  prose.replace(new RegExp(`(.{1,${width}})(?: +|$)`, 'g'), '      $1\n').trimEnd();
