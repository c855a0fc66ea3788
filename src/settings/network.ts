import { list, SettingsError, type SettingTable, setting, text, type ValuesOf, whole } from './setting.ts';

const httpsOrigin = (value: string): string => {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search || url.username) {
    throw new SettingsError('must be an address such as https://acs.example.org, without a path');
  }
  return url.origin;
};

/** Where the server listens, and how clients reach it. */
export const NETWORK = {
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
      'Addresses of proxies that end TLS in front of the server, separated by commas. In production mode, only these proxies may connect over plain HTTP from other machines.',
    read: list,
  }),
  allowedHosts: setting({
    variable: 'LINARITE_ALLOWED_HOSTS',
    standard: '',
    prose:
      'More host names that the server answers for, separated by commas, in addition to loopback names (dev mode) and the public URL. The list protects against DNS rebinding. In dev mode the certificate covers these names too. Adding a name makes a new certificate authority, which clients must trust again.',
    read: list,
  }),
  allowedOrigins: setting({
    variable: 'LINARITE_ALLOWED_ORIGINS',
    standard: '',
    prose:
      'Web origins whose pages may call routes for user tokens, separated by commas. In dev mode loopback origins may call them too. Routes for access keys never answer pages of other origins.',
    read: list,
  }),
} satisfies SettingTable;

/** @throws SettingsError when there is a certificate without its key, or a key without its certificate */
export function requireTlsPair({ tlsCertificate, tlsKey }: ValuesOf<typeof NETWORK>): void {
  if ((tlsCertificate === undefined) !== (tlsKey === undefined))
    throw new SettingsError('LINARITE_TLS_CERT and LINARITE_TLS_KEY belong together: set both or none');
}
