import { SettingsError, type SettingTable, setting, text, whole } from './setting.ts';

const databaseUrl = (value: string): string => {
  if (!/^postgres(ql)?:\/\//.test(value)) throw new SettingsError('must begin with postgres://');
  return value;
};

/** Where the server keeps its data. */
export const STORE = {
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
  leaseMs: setting({
    variable: 'LINARITE_LEASE_MS',
    standard: '2000',
    prose:
      'A node accepts tokens only while its last confirmed heartbeat with the store is younger than this, in milliseconds. A revocation, and a change of resources, keys or trusts, waits at most this long for a node that does not answer.',
    read: whole(500, 60000),
  }),
} satisfies SettingTable;
