import { oneOf, type SettingTable, setting } from './setting.ts';

/** What kind of server it is. */
export const MODE = {
  mode: setting({
    variable: 'LINARITE_MODE',
    standard: 'dev',
    prose:
      '`dev` is the local emulator: loopback, a well-known resource and key, reasons in response headers. `production` checks the settings at the start and refuses unsafe ones.',
    read: oneOf('dev', 'production'),
  }),
  wellKnownKey: setting({
    variable: 'LINARITE_WELL_KNOWN_KEY',
    standard: 'loopback',
    prose:
      '`loopback`: the published development key, and the issuer with its published secret, work only on loopback connections, and dev mode refuses to listen on other addresses. `off`: the resource and the issuer get random keys. `everywhere`: anybody who reaches the port controls everything; a warning in the log says so every minute.',
    read: oneOf('loopback', 'off', 'everywhere'),
  }),
} satisfies SettingTable;
