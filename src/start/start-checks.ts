import { isLoopback } from '../lib/loopback.ts';
import type { Resources } from '../resources/resources.ts';
import { type Settings, SettingsError } from '../settings.ts';

/** What the settings alone must fulfil. @throws SettingsError naming the setting and the mend */
export function checkSettings({
  mode,
  hosts,
  wellKnownKey,
  publicUrl,
  tlsCertificate,
  trustedProxies,
}: Settings): void {
  const exposed = hosts.find((host) => !isLoopback(host));
  if (hosts.length === 0) throw new SettingsError('LINARITE_HOST must name at least one address');
  if (mode === 'dev') {
    if (exposed !== undefined && wellKnownKey === 'loopback') {
      throw new SettingsError(
        `LINARITE_HOST names ${exposed}, which other machines can reach, and the development key is published: set LINARITE_WELL_KNOWN_KEY=off for random keys, or listen on loopback addresses only`,
      );
    }
    return;
  }
  if (publicUrl === undefined) {
    throw new SettingsError('LINARITE_PUBLIC_URL is needed in production mode: tokens name it as their issuer');
  }
  if (!publicUrl.startsWith('https://'))
    throw new SettingsError('LINARITE_PUBLIC_URL must begin with https:// in production mode');
  if (exposed !== undefined && tlsCertificate === undefined && trustedProxies.length === 0) {
    throw new SettingsError(
      `LINARITE_HOST names ${exposed}, which other machines can reach without TLS: set LINARITE_TLS_CERT and LINARITE_TLS_KEY, or LINARITE_TRUSTED_PROXIES when a proxy ends TLS in front`,
    );
  }
}

/** @throws SettingsError when production mode would serve the published development key */
export function checkNoWellKnownKey(resources: Resources): void {
  const owner = resources.list().find(({ id }) => resources.get(id).keys.some((key) => key.wellKnown));
  if (owner)
    throw new SettingsError(
      `the resource ${owner.name} has the published development key: regenerate it before production mode`,
    );
}
