// The JavaScript SDK as a program uses it: run by run.ts in a process of its own, one release at a time.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { ClientSecretCredential, DefaultAzureCredential, type TokenCredential } from '@azure/identity';
import type { Exchange, Finding, OperationKey, Proof, Task } from './operations.ts';

interface Token {
  token: string;
  expiresOn: Date;
}
interface User {
  communicationUserId: string;
}
interface Client {
  createUser(): Promise<User>;
  createUserAndToken(scopes: string[], options?: object): Promise<Token & { user: User }>;
  getToken(user: User, scopes: string[], options?: object): Promise<Token>;
  revokeTokens(user: User): Promise<unknown>;
  deleteUser(user: User): Promise<unknown>;
  getTokenForTeamsUser?(wish: TeamsUserWish): Promise<Token>;
}
interface TeamsUserWish {
  teamsUserAadToken: string;
  clientId: string;
  userObjectId: string;
}
interface Credential {
  getToken(): Promise<{ token: string; expiresOnTimestamp: number }>;
  dispose(): void;
}

const task = JSON.parse(process.argv[2] ?? '') as Task;
const load = createRequire(import.meta.url);
// What the SDK itself loads, not what lies at the top of node_modules.
const loadBeside = createRequire(load.resolve(task.client));
const { version } = loadBeside('../package.json') as { version: string };
const { CommunicationIdentityClient: Sdk } = load(task.client) as {
  CommunicationIdentityClient: new (...given: unknown[]) => Client;
};
const { AzureKeyCredential } = loadBeside('@azure/core-auth') as { AzureKeyCredential: new (key: string) => unknown };
const { AzureCommunicationTokenCredential } = loadBeside('@azure/communication-common') as {
  AzureCommunicationTokenCredential: new (token: string) => Credential;
};

const TOLERANCE = 0.05;
const before = (release: string): boolean => version.localeCompare(release, undefined, { numeric: true }) < 0;
const endpoint = `https://localhost:${task.port}/`;
const client = new Sdk(task.connectionString);

/** This release cannot be asked for it. */
class Absent extends Error {}

async function operation(key: OperationKey, check: () => Promise<unknown>): Promise<void> {
  let finding: Finding = { operation: key, outcome: 'passed' };
  try {
    await check();
  } catch (cause) {
    const how = (cause as Error).message.replaceAll(/\s+/g, ' ').trim();
    finding = { operation: key, outcome: cause instanceof Absent ? 'absent' : 'differs', how };
  }
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}

const fails = (status: number, message?: string) => (cause: unknown) => {
  const { statusCode, message: said } = cause as { statusCode?: number; message: string };
  assert.equal(statusCode, status, `${statusCode}: ${said}`);
  if (message !== undefined) assert.equal(said, message);
  return true;
};

function assertUser({ communicationUserId: id }: User): void {
  assert.match(id, new RegExp(`^8:acs:${task.resourceId}_[0-9a-f-]{36}$`));
}

function assertToken({ token, expiresOn }: Token, minutes = 1440): void {
  assert.equal(token.split('.').length, 3);
  assert.ok(expiresOn instanceof Date);
  const lives = (expiresOn.getTime() - Date.now()) / 60_000;
  assert.ok(Math.abs(lives - minutes) <= minutes * TOLERANCE, `lives for ${lives} minutes, not ${minutes}`);
}

const claimsOf = (jwt: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());

function assertScopes({ token }: Token, scopes: readonly string[]): void {
  assert.deepEqual(String(claimsOf(token).acsScope).split(',').sort(), [...scopes].sort());
}

/** What the server tells a holder of the token: 200 while it holds, 401 from then on. */
async function statusOf({ token }: Token): Promise<number> {
  return (await fetch(`${endpoint}-/whoami`, { headers: { Authorization: `Bearer ${token}` } })).status;
}

async function walk(other: Client): Promise<void> {
  const user = await other.createUser();
  assertUser(user);
  assertToken(await other.getToken(user, ['chat']));
  await other.revokeTokens(user);
  await other.deleteUser(user);
}

await operation('create', async () => assertUser(await client.createUser()));

await operation('create-with-token', async () => {
  const { user, ...token } = await client.createUserAndToken(['chat']);
  assertUser(user);
  assertToken(token);
});

await operation('issue', async () => {
  const user = await client.createUser();
  const [first, second] = [await client.getToken(user, ['voip']), await client.getToken(user, ['voip'])];
  for (const token of [first, second]) {
    assertToken(token);
    assert.equal(await statusOf(token), 200);
  }
});

for (const scopes of [
  ['chat'],
  ['voip'],
  ['chat', 'voip'],
  ['chat.join'],
  ['chat.join.limited'],
  ['voip.join'],
  ['chat', 'chat.join', 'chat.join.limited'],
  ['voip', 'voip.join'],
  ['chat.join', 'voip.join'],
]) {
  await operation(`scopes ${scopes.join(' ')}` as OperationKey, async () => {
    if (before('1.3.0') && scopes.some((scope) => scope.includes('.'))) throw new Absent('this scope came with 1.3.0');
    const { user, ...token } = await client.createUserAndToken(scopes);
    assertScopes(token, scopes);
    assertScopes(await client.getToken(user, scopes), scopes);
  });
}

for (const minutes of [60, 1440] as const) {
  await operation(`lifetime ${minutes}`, async () => {
    if (before('1.2.0')) throw new Absent('lifetimes came with 1.2.0');
    const options = { tokenExpiresInMinutes: minutes };
    const { user, ...token } = await client.createUserAndToken(['chat'], options);
    assertToken(token, minutes);
    assertToken(await client.getToken(user, ['chat'], options), minutes);
  });
}

for (const minutes of [59, 1441] as const) {
  await operation(`lifetime ${minutes}`, async () => {
    if (before('1.2.0')) throw new Absent('lifetimes came with 1.2.0');
    const options = { tokenExpiresInMinutes: minutes };
    const user = await client.createUser();
    await assert.rejects(client.createUserAndToken(['chat'], options), fails(400));
    await assert.rejects(client.getToken(user, ['chat'], options), fails(400));
  });
}

await operation('issue-empty-scopes', async () => {
  const user = await client.createUser();
  await assert.rejects(client.getToken(user, []), fails(400, 'Invalid scopes - Scopes field is required.'));
});

await operation('issue-null-scopes', async () => {
  throw new Absent('the SDK insists on a list');
});

await operation('create-empty-scopes', async () => {
  const { user, token } = await client.createUserAndToken([]);
  assertUser(user);
  assert.equal(token, undefined);
});

await operation('foreign-identity', async () => {
  for (const communicationUserId of task.foreignIds) {
    const expected = fails(401, "Provided identity doesn't belong to the resource.");
    await assert.rejects(client.getToken({ communicationUserId }, ['chat']), expected);
    await assert.rejects(client.revokeTokens({ communicationUserId }), expected);
    await assert.rejects(client.deleteUser({ communicationUserId }), expected);
  }
});

await operation('revoke', async () => {
  const { user, ...early } = await client.createUserAndToken(['chat']);
  assert.equal(await statusOf(early), 200);
  await client.revokeTokens(user);
  assert.equal(await statusOf(early), 401);
  assert.equal(await statusOf(await client.getToken(user, ['chat'])), 200);
});

await operation('delete', async () => {
  const { user, ...token } = await client.createUserAndToken(['chat']);
  await client.deleteUser(user);
  assert.equal(await statusOf(token), 401);
  await client.deleteUser(user);
});

await operation('custom-id', async () => {
  throw new Absent('no published release has it');
});

await operation('older-versions', async () => {
  throw new Absent('the SDK lets nobody choose');
});

await operation('secondary-key', () => walk(new Sdk(task.secondaryConnectionString)));

await operation('wrong-key', async () => {
  const unknownCaller = new Sdk(`endpoint=${endpoint};accesskey=${Buffer.alloc(64).toString('base64')}`);
  await assert.rejects(unknownCaller.createUser(), fails(401, 'Denied by the resource provider.'));
});

await operation('endpoint-and-key', () => walk(new Sdk(endpoint.slice(0, -1), new AzureKeyCredential(task.key))));

await operation('with-slash', () => walk(new Sdk(endpoint, new AzureKeyCredential(task.key))));

await operation('without-slash', () => walk(new Sdk(`endpoint=${endpoint.slice(0, -1)};accesskey=${task.key}`)));

await operation('loopback-address', () =>
  walk(new Sdk(`endpoint=https://127.0.0.1:${task.port}/;accesskey=${task.key}`)),
);

await operation('plain-http', () => {
  const options = before('1.1.0') ? {} : { allowInsecureConnection: true };
  return walk(new Sdk(`endpoint=http://localhost:${task.port}/;accesskey=${task.key}`, options));
});

await operation('token-credential', async () => {
  const { token, expiresOn } = await client.createUserAndToken(['chat']);
  const credential = new AzureCommunicationTokenCredential(token);
  const held = await credential.getToken();
  credential.dispose();
  assert.equal(held.token, token);
  assert.equal(held.expiresOnTimestamp, Math.floor(expiresOn.getTime() / 1000) * 1000);
});

await operation('parallel', async () => {
  const users = await Promise.all(Array.from({ length: 20 }, () => client.createUser()));
  assert.equal(new Set(users.map(({ communicationUserId }) => communicationUserId)).size, 20);
});

const machine = new DefaultAzureCredential();

/** The quickstart without a key, at either spelling of the endpoint. */
async function walkWithout(credential: TokenCredential): Promise<void> {
  await walk(new Sdk(endpoint, credential));
  await walk(new Sdk(endpoint.slice(0, -1), credential));
}

await operation('entra managed-identity', () => walkWithout(machine));

await operation('entra client-secret', () => {
  const { tenant, id, secret } = task.application;
  return walkWithout(new ClientSecretCredential(tenant, id, secret, { authorityHost: endpoint }));
});

await operation('entra management', async () => {
  if (before('1.3.0')) throw new Absent('it is another package, run beside the newest release');
  const { CommunicationServiceManagementClient: Management } = await import('@azure/arm-communication');
  const services = new Management(machine, '5e1f0057-0000-4000-8000-000000000001', { endpoint: endpoint.slice(0, -1) });
  const { communicationServices } = services;
  const place = ['dev', 'entra-javascript'] as const;
  const wish = { location: 'global', dataLocation: 'Europe' };
  const made = await communicationServices.beginCreateOrUpdateAndWait(...place, wish);
  assert.equal(made.provisioningState, 'Succeeded');
  const names = [];
  for await (const { name } of communicationServices.listByResourceGroup('dev')) names.push(name);
  assert.ok(names.includes('entra-javascript'), names.join(', '));
  const { primaryConnectionString } = await communicationServices.listKeys(...place);
  const { token, ...rest } = await new Sdk(primaryConnectionString).createUserAndToken(['chat']);
  assert.equal(await statusOf({ token, ...rest }), 200);
  await communicationServices.regenerateKey(...place, { keyType: 'Primary' });
  assert.equal(await statusOf({ token, ...rest }), 401);
  await communicationServices.beginDeleteAndWait(...place);
  await assert.rejects(communicationServices.get(...place), fails(404));
});

const nobody = '00000000-0000-0000-0000-000000000000';
const { token: teamsUserAadToken, expiredToken, appId, userId } = task.teamsUser;
const good = { teamsUserAadToken, clientId: appId, userObjectId: userId };
const notValid = fails(401, 'Provided access token is not valid.');

type Refused = Exclude<Exchange, 'good'>;

/** What is wrong with each wish, and how it is refused. */
const REFUSED: Record<Refused, [Partial<TeamsUserWish>, (cause: unknown) => boolean][]> = {
  'empty-token': [[{ teamsUserAadToken: '' }, notValid]],
  'malformed-token': [[{ teamsUserAadToken: 'invalid' }, notValid]],
  'expired-token': [[{ teamsUserAadToken: expiredToken }, notValid]],
  'empty-ids': [
    [{ clientId: '' }, fails(400, 'AppId: The AppId field is required.')],
    [{ userObjectId: '' }, fails(400, 'UserId: The UserId field is required.')],
  ],
  'malformed-ids': [
    [{ clientId: 'invalid' }, fails(400, 'Provided AppId has invalid format.')],
    [{ userObjectId: 'invalid' }, fails(400, 'Provided UserId has invalid format.')],
  ],
  'other-ids': [
    [{ clientId: nobody }, fails(400, 'AAD application is not the expected one.')],
    [{ userObjectId: nobody }, fails(400, 'Provided AAD token issued for unexpected user.')],
  ],
};

const SERVICES: Record<Proof, Client> = { key: client, entra: new Sdk(endpoint, machine) };

/** The exchange as a service asks for it, with what differs from a good wish. @throws Absent */
function exchangeOf(service: Client): (wish: Partial<TeamsUserWish>) => Promise<Token> {
  if (!service.getTokenForTeamsUser) throw new Absent('the exchange came with 1.1.0');
  return async (wish) => service.getTokenForTeamsUser?.({ ...good, ...wish }) as Promise<Token>;
}

for (const [proof, service] of Object.entries(SERVICES) as [Proof, Client][]) {
  await operation(`teams-user good ${proof}`, async () => {
    const token = await exchangeOf(service)({});
    assertScopes(token, ['chat', 'voip']);
    // The end is that of the presented token.
    const { exp } = claimsOf(teamsUserAadToken);
    assert.deepEqual([claimsOf(token.token).exp, token.expiresOn.getTime()], [exp, Number(exp) * 1000]);
    assert.equal(await statusOf(token), 200);
  });
  for (const [name, wishes] of Object.entries(REFUSED) as [Refused, (typeof REFUSED)[Refused]][]) {
    await operation(`teams-user ${name} ${proof}`, async () => {
      const exchange = exchangeOf(service);
      for (const [wish, refused] of wishes) await assert.rejects(exchange(wish), refused);
    });
  }
}
