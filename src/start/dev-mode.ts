import type { Access } from '../access.ts';
import type { Base } from '../base.ts';
import { chore } from '../chores/chore.ts';
import { isLoopback } from '../lib/loopback.ts';
import { RecentRequests } from '../monitoring/recent-requests.ts';
import { consolePlane } from '../planes/console/console-plane.ts';
import { START_OPERATIONS } from '../planes/console/start-routes.ts';
import { FIRST_SUBSCRIPTION } from '../planes/management/communication-service.ts';
import { communicationServices } from '../planes/management/management-plane.ts';
import type { DevIssuer } from '../planes/sign-in/dev-issuer.ts';
import { APPLICATIONS, DIRECTORY_TENANT } from '../planes/sign-in/directory.ts';
import { issuerKey, issuerSecret } from '../planes/sign-in/issuer-secrets.ts';
import { devIssuer, devSignInPlane } from '../planes/sign-in/sign-in-planes.ts';
import { DEV_RESOURCE } from '../resources/resource.ts';
import type { Resources } from '../resources/resources.ts';
import { type Settings, SettingsError } from '../settings.ts';
import type { Trusts } from '../trusts/trusts.ts';
import type { Mode } from './mode.ts';

/** Name of the trust in the development issuer. */
const DEV_TRUST = 'dev';
/** Requests that the start page shows. */
const RECENT_MOST = 50;

/** The emulator for one machine: a resource, a key and an issuer that everybody knows, and answers that say why. */
export function devMode(settings: Settings): Mode {
  const { publicUrl, allowedHosts } = settings;
  const recent = new RecentRequests({ most: RECENT_MOST, except: START_OPERATIONS });
  let secrets: Promise<[Awaited<ReturnType<typeof issuerKey>>, string]> | undefined;
  let issuer: DevIssuer | undefined;
  return {
    name: 'dev',
    requests: {
      local: true,
      allowedHosts: publicUrl === undefined ? allowedHosts : [...allowedHosts, new URL(publicUrl).hostname],
      explains: true,
      countsEndings: true,
    },
    certificates: { own: { names: allowedHosts }, insistOnPrivateKeyFile: false },
    trustPolicy: {
      plainHttp: true,
      usualResource: DEV_RESOURCE.id,
      // The port changes from start to start; the keys tell who made a token.
      isIssuer: (name) => name === publicUrl || /^https:\/\/localhost:\d{1,5}$/.test(name),
      ownKeys: () => issuer?.keySet(),
    },
    statusIsPublic: true,
    checkSettings: () => checkSettings(settings),
    prepare(folder) {
      secrets = Promise.all([issuerKey(folder), issuerSecret(settings, folder)]);
      secrets.catch(() => undefined); // those who wait for it get the error
    },
    checkStore: async () => undefined,
    noteRequest: (facts, nowMs) => recent.add(facts, nowMs),
    async initialize(base, access) {
      const [key, secret] = await (secrets ?? Promise.reject(new Error('nothing was prepared')));
      issuer = devIssuer(base, { key, secret });
      await seedResource(access.resources, settings);
      await seedTrust(access.trusts);
      if (access.resources.has(DEV_RESOURCE.id)) await placeResource(base, access);
    },
    chores: (_, certificates) => [chore('certificate', () => certificates.renewWhenDue())],
    planes: (base, access, certificates) => [
      devSignInPlane(base, access, issuer as DevIssuer), // initialize() has made it
      consolePlane(base, access, { recent, certificates }),
    ],
    connectionString: ({ origin }, { resources }) => connectionString(`${origin}/`, resources),
    get issuer() {
      return issuer;
    },
  };
}

function checkSettings({ hosts, wellKnownKey }: Settings): void {
  const exposed = hosts.find((host) => !isLoopback(host));
  if (exposed !== undefined && wellKnownKey === 'loopback') {
    throw new SettingsError(
      `LINARITE_HOST names ${exposed}, which other machines can reach, and the development key is published: set LINARITE_WELL_KNOWN_KEY=off for random keys, or listen on loopback addresses only`,
    );
  }
}

/** The resource that is there from the first start on, with the published key unless the settings say otherwise. */
async function seedResource(resources: Resources, { wellKnownKey }: Settings): Promise<void> {
  if (resources.has(DEV_RESOURCE.id)) return;
  const { id, name, location, primaryKey } = DEV_RESOURCE;
  const keys = wellKnownKey === 'off' ? {} : { primary: Buffer.from(primaryKey, 'base64') };
  await resources.create({ id, name, location, keys });
}

/** The development issuer is trusted, and its applications may do everything: they are there to try the server with. */
async function seedTrust(trusts: Trusts): Promise<void> {
  if (trusts.list().some(({ name }) => name === DEV_TRUST)) return;
  const issuer = `{endpoint}/${DIRECTORY_TENANT}/v2.0`;
  await trusts.put(DEV_TRUST, { issuers: [issuer], tenants: [DIRECTORY_TENANT], applications: ['*'] });
  const { service, managedIdentity } = APPLICATIONS;
  for (const { name, objectId } of [service, managedIdentity]) {
    const principal = { kind: 'objectId', value: objectId };
    for (const right of ['data', 'management']) {
      const grantName = `${name.replace(' ', '-')}-${right}`;
      await trusts.putGrant(DEV_TRUST, grantName, { principal, right, resource: '*' });
    }
  }
}

/** The management plane shows the resource like any other. */
async function placeResource(base: Base, access: Access): Promise<void> {
  const { id, name } = DEV_RESOURCE;
  const place = { subscriptionId: FIRST_SUBSCRIPTION, group: 'dev' };
  await communicationServices(base, access).adopt(id, place, name, 'United States');
}

function connectionString(endpoint: string, resources: Resources): string | undefined {
  if (!resources.has(DEV_RESOURCE.id)) return undefined;
  const key = resources.get(DEV_RESOURCE.id).keys.find(({ slot }) => slot === 'primary');
  return key && `endpoint=${endpoint};accesskey=${key.secret.export().toString('base64')}`;
}
