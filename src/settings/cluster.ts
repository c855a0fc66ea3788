import { SettingsError, type SettingTable, setting } from './setting.ts';

const natsUrls = (value: string): string => {
  const urls = value.split(',').map((url) => URL.parse(url.trim()));
  if (!urls.every(isNatsUrl)) throw new SettingsError('must be addresses such as nats://host:4222 or tls://host:4222');
  return value;
};

const isNatsUrl = (url: URL | null): boolean =>
  url !== null &&
  /^(nats|tls):$/.test(url.protocol) &&
  url.hostname !== '' &&
  /^\/?$/.test(url.pathname) &&
  !url.search;

/** How nodes on one PostgreSQL tell each other that something is new. */
export const CLUSTER = {
  natsUrl: setting({
    variable: 'LINARITE_NATS_URL',
    standard: undefined,
    prose:
      'NATS server that carries hints between nodes on one PostgreSQL, `nats://user:password@host:port`, or `tls://` for a connection with TLS; several servers of one NATS cluster separated by commas. Not set: PostgreSQL carries them.',
    secret: true,
    read: natsUrls,
  }),
} satisfies SettingTable;
