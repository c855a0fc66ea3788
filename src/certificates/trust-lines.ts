import { SHELLS, type Shell, type ShellName, usualShell } from '../lib/shells.ts';

/** What a person pastes into a shell so that one kind of client trusts the certificate authority. */
export interface TrustLine {
  readonly client: string;
  readonly line: string;
  /** True when the client trusts nothing but our authority from then on, and public sites fail in that shell. */
  readonly replacesPublicAuthorities: boolean;
}

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
    shell.set({ [name]: caPath });

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
 * One line per kind of client. They trust the authority for a shell
 * and its children, not for the machine.
 * @param caPath absolute, since clients run elsewhere
 * @param endpoint address of the server, as in the connection string
 */
export function trustLines(
  caPath: string,
  endpoint: string,
  platform: NodeJS.Platform = process.platform,
  shellName: ShellName = usualShell(platform),
): readonly TrustLine[] {
  const shell = SHELLS[shellName];
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
  return shell.redo(shell.removeIfThere(store), keytool, shell.set({ JAVA_TOOL_OPTIONS: options }));
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
