import { HOME_TENANT } from '../../callers.ts';

/** The tenant of everything below. */
export const DIRECTORY_TENANT = HOME_TENANT;

/** Something that acts by itself or for users, with its service principal in this tenant. */
export interface Application {
  readonly clientId: string;
  /** Object id of the service principal. */
  readonly objectId: string;
  readonly name: string;
}

/** What the dev directory has to act with: one application of each kind. */
export const APPLICATIONS = {
  /** Signs in with a secret. */
  service: {
    clientId: '5e1f0057-0000-4000-8000-0000000000a1',
    objectId: '5e1f0057-0000-4000-8000-0000000000a2',
    name: 'service',
  },
  /** Proven by the machine that it runs on. */
  managedIdentity: {
    clientId: '5e1f0057-0000-4000-8000-0000000000b1',
    objectId: '5e1f0057-0000-4000-8000-0000000000b2',
    name: 'managed identity',
  },
  /** Has no secret, so it acts for users only. */
  app: {
    clientId: '5e1f0057-0000-4000-8000-0000000000c1',
    objectId: '5e1f0057-0000-4000-8000-0000000000c2',
    name: 'app',
  },
} as const satisfies Record<string, Application>;

/** What ARM calls the managed identity; clients may ask for it under this name too. */
export const MANAGED_IDENTITY_RESOURCE =
  '/subscriptions/5e1f0057-0000-4000-8000-000000000001/resourceGroups/dev/providers/Microsoft.ManagedIdentity/userAssignedIdentities/dev';

export const GROUP = { objectId: '5e1f0057-0000-4000-8000-0000000000e1', name: 'staff' } as const;

/** A test user. */
export interface User {
  readonly objectId: string;
  readonly userName: string;
  readonly name: string;
  /** Object ids. */
  readonly groups: readonly string[];
}

/** Alice and Bob are of the group, Carol is not. */
export const USERS: readonly User[] = [
  {
    objectId: '5e1f0057-0000-4000-8000-0000000000d1',
    userName: 'alice@dev.linarite.test',
    name: 'Alice',
    groups: [GROUP.objectId],
  },
  {
    objectId: '5e1f0057-0000-4000-8000-0000000000d2',
    userName: 'bob@dev.linarite.test',
    name: 'Bob',
    groups: [GROUP.objectId],
  },
  { objectId: '5e1f0057-0000-4000-8000-0000000000d3', userName: 'carol@dev.linarite.test', name: 'Carol', groups: [] },
];

/** Something that tokens are for: `aud`, and what users may be granted there. */
export interface Audience {
  readonly aud: string;
  readonly permissions: readonly string[];
}

/** The audiences of the original (management-cli-connector, sections 6.1 to 6.4). */
export const AUDIENCES: readonly Audience[] = [
  { aud: 'https://communication.azure.com/', permissions: ['user_impersonation'] },
  {
    aud: 'https://communication.azure.com/clients',
    permissions: ['Chat', 'Chat.Join', 'Chat.Join.Limited', 'VoIP', 'VoIP.Join'],
  },
  {
    aud: 'https://auth.msft.communication.azure.com',
    permissions: ['Teams.ManageCalls', 'Teams.ManageChats', 'TeamsExtension.ManageCalls'],
  },
  { aud: 'https://management.azure.com/', permissions: ['user_impersonation'] },
  { aud: 'https://management.core.windows.net/', permissions: ['user_impersonation'] },
];

/** Those, and this server itself, which management clients of a cloud of their own ask for. */
export const audiencesAt = (origin: string): readonly Audience[] => [
  ...AUDIENCES,
  { aud: `${origin}/`, permissions: ['user_impersonation'] },
];

/**
 * Published, hence worth nothing as a secret: the client secret of the service, the password of every user and the
 * `IDENTITY_HEADER`, where the settings do not ask for a random one. Like the published access key, it works on loopback
 * connections only.
 */
export const PUBLISHED_SECRET = 'published-secret-of-the-development-issuer';
