/** What a person pastes into a shell so that one kind of client trusts the certificate authority. */
export interface TrustLine {
  readonly client: string;
  readonly line: string;
  /** True when the client trusts nothing but our authority from then on, and public sites fail in that shell. */
  readonly replacesPublicAuthorities: boolean;
}

interface Shell {
  /** One word that the shell takes as it is. */
  quote(text: string): string;
  /** Sets a variable for this shell and what it starts. */
  set(variable: string, value: string): string;
  /** Runs the first, whatever comes of it, then the second, then the third if the second went well. */
  redo(first: string, second: string, third: string): string;
  removeIfThere(path: string): string;
  readonly curl: string;
}

// Nothing in here has a meaning for a shell, and a tilde at the front, which has, is not in it.
const PLAIN = /^[A-Za-z0-9_./:@%+=,-]+$/;

const posix: Shell = {
  quote: (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`),
  set: (variable, value) => `export ${variable}=${posix.quote(value)}`,
  redo: (first, second, third) => `${first}; ${second} && ${third}`,
  removeIfThere: (path) => `rm -f ${posix.quote(path)}`,
  curl: 'curl',
};

// Windows PowerShell 5 knows neither && nor another curl than an alias of its own.
const powershell: Shell = {
  // Typographic apostrophes end a quoted text there, just like the plain one.
  quote: (text) => `'${text.replace(/['\u2018-\u201b]/g, '$&$&')}'`,
  set: (variable, value) => `$env:${variable} = ${powershell.quote(value)}`,
  redo: (first, second, third) => `${first}; ${second}; if ($?) { ${third} }`,
  removeIfThere: (path) => `Remove-Item -ErrorAction Ignore -LiteralPath ${powershell.quote(path)}`,
  curl: 'curl.exe --ssl-no-revoke',
};

interface Row {
  readonly client: string;
  readonly replacesPublicAuthorities: boolean;
  /** Absent: everywhere. */
  readonly platforms?: readonly NodeJS.Platform[];
  line(caPath: string, endpoint: string, shell: Shell): string;
}

const variable =
  (name: string): Row['line'] =>
  (caPath, _endpoint, shell) =>
    shell.set(name, caPath);

/** The trust table: one row per kind of client. */
const CLIENTS: readonly Row[] = [
  { client: 'JavaScript', replacesPublicAuthorities: false, line: variable('NODE_EXTRA_CA_CERTS') },
  { client: 'Python', replacesPublicAuthorities: true, line: variable('REQUESTS_CA_BUNDLE') },
  { client: 'Python (async)', replacesPublicAuthorities: true, line: variable('SSL_CERT_FILE') },
  { client: 'Java', replacesPublicAuthorities: true, line: javaLine },
  // Elsewhere .NET asks the system's store, which this authority has no business in.
  { client: '.NET', replacesPublicAuthorities: true, platforms: ['linux'], line: variable('SSL_CERT_FILE') },
  { client: 'az', replacesPublicAuthorities: true, line: variable('REQUESTS_CA_BUNDLE') },
  { client: 'curl', replacesPublicAuthorities: true, line: curlLine },
];

/**
 * One line per kind of client, for a POSIX shell or, on Windows, PowerShell. They trust the authority for a shell
 * and its children, not for the machine.
 * @param caPath absolute, since clients run elsewhere
 * @param endpoint address of the server, as in the connection string
 */
export function trustLines(
  caPath: string,
  endpoint: string,
  platform: NodeJS.Platform = process.platform,
): readonly TrustLine[] {
  const shell = platform === 'win32' ? powershell : posix;
  return CLIENTS.filter(({ platforms }) => platforms === undefined || platforms.includes(platform)).map(
    ({ client, replacesPublicAuthorities, line }) => ({
      client,
      line: line(caPath, endpoint, shell),
      replacesPublicAuthorities,
    }),
  );
}

// The password guards nothing: it is what Java itself uses for its list of public authorities.
const STORE_PASSWORD = 'changeit';

/** Can be run again: keytool refuses to replace an entry, so an earlier store, perhaps of an older authority, goes. */
function javaLine(caPath: string, _endpoint: string, shell: Shell): string {
  const store = caPath.replace(/(\.pem)?$/, '.p12');
  const keytool = [
    'keytool -importcert -noprompt -alias linarite -storetype PKCS12',
    `-storepass ${STORE_PASSWORD} -keystore ${shell.quote(store)} -file ${shell.quote(caPath)}`,
  ].join(' ');
  const options = [
    javaWord(`-Djavax.net.ssl.trustStore=${store}`),
    '-Djavax.net.ssl.trustStoreType=PKCS12',
    `-Djavax.net.ssl.trustStorePassword=${STORE_PASSWORD}`,
  ].join(' ');
  return shell.redo(shell.removeIfThere(store), keytool, shell.set('JAVA_TOOL_OPTIONS', options));
}

/** The Java launcher splits that variable at blanks and knows both quotes, but no escapes. */
function javaWord(text: string): string {
  if (!/[\s"']/.test(text)) return text;
  return text
    .split(/(")/)
    .filter(Boolean)
    .map((part) => (part === '"' ? `'"'` : `"${part}"`))
    .join('');
}

function curlLine(caPath: string, endpoint: string, shell: Shell): string {
  const address = shell.quote(new URL('/-/health/live', endpoint).href);
  return `${shell.curl} --cacert ${shell.quote(caPath)} ${address}`;
}
