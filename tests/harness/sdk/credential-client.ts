// A process of its own, as a program with unmodified credentials: MSAL keeps tokens of managed identities per process, and
// the certificate authority to trust is read at the start of Node.js.
import {
  ClientSecretCredential,
  DefaultAzureCredential,
  DeviceCodeCredential,
  EnvironmentCredential,
  ManagedIdentityCredential,
  type TokenCredential,
  UsernamePasswordCredential,
} from '@azure/identity';
import { PublicClientApplication } from '@azure/msal-node';

/** What the program is to do. Everything else it finds in its environment. */
export interface ClientTask {
  readonly credential: keyof typeof CREDENTIALS | 'msal';
  readonly scopes: readonly string[];
  readonly tenant?: string;
  readonly authority?: string;
  readonly client?: string;
  readonly secret?: string;
  readonly user?: string;
  readonly ids?: { clientId?: string; objectId?: string; resourceId?: string };
}

/** One line of output: what the device shows, the token, or why there is none. */
export type ClientLine =
  | { kind: 'device'; address: string; code: string }
  | { kind: 'token'; token: string; expiresInSeconds: number; again?: string; account?: string }
  | { kind: 'error'; message: string };

const say = (line: ClientLine): void => console.log(JSON.stringify(line));

/** GUID tenants need the one option for which there is no variable: MSAL asks Microsoft about them otherwise. */
const optionsOf = ({ authority, tenant }: ClientTask) => ({
  ...(authority !== undefined && { authorityHost: authority }),
  ...(tenant !== undefined && tenant !== 'adfs' && { disableInstanceDiscovery: true }),
});

const CREDENTIALS = {
  default: () => new DefaultAzureCredential(),
  environment: () => new EnvironmentCredential(),
  managed: ({ ids }: ClientTask) =>
    ids?.clientId !== undefined
      ? new ManagedIdentityCredential({ clientId: ids.clientId })
      : ids?.objectId !== undefined
        ? new ManagedIdentityCredential({ objectId: ids.objectId })
        : ids?.resourceId !== undefined
          ? new ManagedIdentityCredential({ resourceId: ids.resourceId })
          : new ManagedIdentityCredential(),
  secret: (task: ClientTask) =>
    new ClientSecretCredential(task.tenant ?? '', task.client ?? '', task.secret ?? '', optionsOf(task)),
  password: (task: ClientTask) =>
    new UsernamePasswordCredential(
      task.tenant ?? '',
      task.client ?? '',
      task.user ?? '',
      task.secret ?? '',
      optionsOf(task),
    ),
  device: (task: ClientTask) =>
    new DeviceCodeCredential({
      ...optionsOf(task),
      ...(task.tenant !== undefined && { tenantId: task.tenant }),
      ...(task.client !== undefined && { clientId: task.client }),
      userPromptCallback: ({ verificationUri, userCode }) =>
        say({ kind: 'device', address: verificationUri, code: userCode }),
    }),
} satisfies Record<string, (task: ClientTask) => TokenCredential>;

async function withCredential(credential: TokenCredential, scopes: readonly string[]): Promise<void> {
  const token = await credential.getToken([...scopes]);
  if (!token) throw new Error('no token');
  say({
    kind: 'token',
    token: token.token,
    expiresInSeconds: Math.round((token.expiresOnTimestamp - Date.now()) / 1000),
  });
}

/** MSAL itself: signs a user in by password, then asks again with the refresh token that it kept. */
async function withMsal({ authority, tenant, client, user, secret, scopes }: ClientTask): Promise<void> {
  const app = new PublicClientApplication({
    auth: {
      clientId: client ?? '',
      authority: `${authority}/${tenant}`,
      knownAuthorities: [new URL(authority ?? '').host],
    },
  });
  const first = await app.acquireTokenByUsernamePassword({
    scopes: [...scopes],
    username: user ?? '',
    password: secret ?? '',
  });
  if (!first?.account) throw new Error('no account');
  const second = await app.acquireTokenSilent({ account: first.account, scopes: [...scopes], forceRefresh: true });
  say({
    kind: 'token',
    token: first.accessToken,
    expiresInSeconds: 3600,
    again: second.accessToken,
    account: first.account.username,
  });
}

const task = JSON.parse(process.argv[2] ?? '') as ClientTask;
try {
  if (task.credential === 'msal') await withMsal(task);
  else await withCredential(CREDENTIALS[task.credential](task), task.scopes);
} catch (cause) {
  say({ kind: 'error', message: cause instanceof Error ? cause.message : String(cause) });
  process.exitCode = 1;
}
