import type { Access } from '../access.ts';
import { chore } from '../chores/chore.ts';
import { isLoopback } from '../lib/loopback.ts';
import { operatorSignInPlane } from '../planes/sign-in/sign-in-planes.ts';
import { type Settings, SettingsError } from '../settings.ts';
import { checkClock, checkDurability, noteClock } from '../storage/store-checks.ts';
import type { Mode } from './mode.ts';

/** Serves the world: unsafe settings are refused at the start. */
export function productionMode(settings: Settings): Mode {
  const { publicUrl, allowedHosts } = settings;
  return {
    name: 'production',
    requests: {
      local: false,
      allowedHosts:
        allowedHosts.length === 0 || publicUrl === undefined
          ? undefined
          : [...allowedHosts, new URL(publicUrl).hostname],
      explains: false,
      countsEndings: false,
    },
    certificates: { own: undefined, insistOnPrivateKeyFile: true },
    trustPolicy: {
      plainHttp: false,
      usualResource: undefined,
      isIssuer: (issuer) => issuer === publicUrl,
      ownKeys: () => undefined,
    },
    statusIsPublic: false,
    checkSettings: () => checkSettings(settings),
    prepare: () => undefined,
    async checkStore(db, clock) {
      await checkClock(db, clock);
      await checkDurability(db);
    },
    async initialize(_, access) {
      requireNoWellKnownKey(access);
    },
    chores: ({ db, clock }) => [chore('latestTime', () => noteClock(db, clock))],
    planes: (base, access) => [operatorSignInPlane(base, access)],
    connectionString: () => undefined,
    issuer: undefined,
  };
}

function checkSettings({ hosts, publicUrl, tlsCertificate, trustedProxies }: Settings): void {
  const exposed = hosts.find((host) => !isLoopback(host));
  if (publicUrl === undefined)
    throw new SettingsError('LINARITE_PUBLIC_URL is needed in production mode: tokens name it as their issuer');
  if (!publicUrl.startsWith('https://'))
    throw new SettingsError('LINARITE_PUBLIC_URL must begin with https:// in production mode');
  if (exposed !== undefined && tlsCertificate === undefined && trustedProxies.length === 0) {
    throw new SettingsError(
      `LINARITE_HOST names ${exposed}, which other machines can reach without TLS: set LINARITE_TLS_CERT and LINARITE_TLS_KEY, or LINARITE_TRUSTED_PROXIES when a proxy ends TLS in front`,
    );
  }
}

function requireNoWellKnownKey({ resources }: Access): void {
  const owner = resources.list().find(({ id }) => resources.get(id).keys.some((key) => key.wellKnown));
  if (owner)
    throw new SettingsError(
      `the resource ${owner.name} has the published development key: regenerate it before production mode`,
    );
}
