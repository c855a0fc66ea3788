// A program as an Entra user has it who gets access tokens without a service: run in a process of its own by
// entra-user.test.ts. Argument: JSON of {@link EntraTask}. Standard output: one JSON line per finding.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { DeviceCodeCredential, type TokenCredential, UsernamePasswordCredential } from '@azure/identity';
import {
  APPLICATIONS,
  DIRECTORY_TENANT,
  GROUP,
  PUBLISHED_SECRET,
  USERS,
  type User,
} from '../../../src/planes/sign-in/directory.ts';
import { sign } from '../sign.ts';
import type { Finding } from './run-client.ts';

export interface EntraTask {
  /** Name of the package in node_modules. */
  package: string;
  port: number;
  key: string;
  resourceId: string;
}

interface Held {
  token: string;
  expiresOnTimestamp: number;
}
interface Credential {
  getToken(): Promise<Held>;
  dispose(): void;
}
interface Wish {
  resourceEndpoint: string;
  tokenCredential: TokenCredential;
  scopes?: string[];
}

const task = JSON.parse(process.argv[2] ?? '') as EntraTask;
const { AzureCommunicationTokenCredential } = createRequire(import.meta.url)(task.package) as {
  AzureCommunicationTokenCredential: new (wish: Wish) => Credential;
};
const endpoint = `https://localhost:${task.port}`;
const [alice, bob, carol] = USERS as [User, User, User];
const app = APPLICATIONS.app.clientId;
const authority = { authorityHost: endpoint, tenantId: 'adfs' };

const CLIENTS = 'https://communication.azure.com/clients';
const TEAMS = 'https://auth.msft.communication.azure.com';
const ENTRA_ID = (user: User) => `8:acs:${task.resourceId}_wf_${DIRECTORY_TENANT}_${user.objectId}`;
const TEAMS_ID = (user: User) => `8:acs:${task.resourceId}_${DIRECTORY_TENANT}_${user.objectId}`;

const signedIn = (user: User): TokenCredential =>
  new UsernamePasswordCredential('adfs', app, user.userName, PUBLISHED_SECRET, authority);

async function finding(name: string, check: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  let error: string | undefined;
  try {
    await check();
  } catch (cause) {
    error = String((cause as Error).stack ?? cause);
  }
  const result: Finding = { name, milliseconds: performance.now() - started, ...(error !== undefined && { error }) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** Asks as the service does to which users are assigned. */
async function asService(method: string, target: string, body?: object): Promise<void> {
  const text = body && JSON.stringify(body);
  const signed = sign({ method, target, host: `localhost:${task.port}`, body: text, key: task.key });
  const headers = { 'Content-Type': 'application/json', ...signed };
  const { ok, status } = await fetch(`${endpoint}${target}`, { method, headers, ...(text && { body: text }) });
  assert.ok(ok, `${method} ${target}: ${status}`);
}

const entraPath = (objectId: string) => `/access/entra/assignments/${objectId}?api-version=2025-03-02-preview`;
const assign = (principalType: string, objectId: string) =>
  asService('PUT', entraPath(objectId), { principalType, tenantId: DIRECTORY_TENANT, clientIds: [app] });
const unassign = (objectId: string) => asService('DELETE', entraPath(objectId));
const teamsPath = (objectId: string) =>
  `/access/teamsExtension/tenants/${DIRECTORY_TENANT}/assignments/${objectId}?api-version=2025-06-30`;

interface Me {
  status: number;
  id?: string;
  scopes?: string[];
}

async function whoami({ token }: Held): Promise<Me> {
  const response = await fetch(`${endpoint}/-/whoami`, { headers: { Authorization: `Bearer ${token}` } });
  const { identity, scopes } = (await response.json()) as { identity?: { id: string }; scopes?: string[] };
  return { status: response.status, ...(identity && { id: identity.id }), ...(scopes && { scopes }) };
}

async function tokenFor(tokenCredential: TokenCredential, more: Partial<Wish> = {}): Promise<Held> {
  const credential = new AzureCommunicationTokenCredential({ resourceEndpoint: endpoint, tokenCredential, ...more });
  try {
    return await credential.getToken();
  } finally {
    credential.dispose();
  }
}

const notAssigned = /Status: 403, Body: .*The user is not assigned to this resource\./;
const ALL = ['chat', 'chat.join', 'chat.join.limited', 'voip', 'voip.join'];

await finding('is refused while nobody is assigned', () => assert.rejects(tokenFor(signedIn(alice)), notAssigned));

await finding('an assigned user gets a token that is accepted, and ends with that of the directory', async () => {
  await assign('user', alice.objectId);
  const directory = signedIn(alice);
  const held = await tokenFor(directory);
  assert.deepEqual(await whoami(held), { status: 200, id: ENTRA_ID(alice), scopes: ALL });
  const { exp } = JSON.parse(Buffer.from(held.token.split('.')[1] ?? '', 'base64url').toString());
  assert.equal(held.expiresOnTimestamp, exp * 1000);
  const theirs = await directory.getToken(`${CLIENTS}/.default`);
  assert.ok(Math.abs((theirs?.expiresOnTimestamp ?? 0) - held.expiresOnTimestamp) < 5000);
  await assert.rejects(tokenFor(signedIn(bob)), notAssigned);
});

await finding('the endpoint may end with a slash', async () => {
  const held = await tokenFor(signedIn(alice), { resourceEndpoint: `${endpoint}/` });
  assert.equal((await whoami(held)).status, 200);
});

await finding('scopes that are asked for are all there is', async () => {
  for (const [scopes, expected] of [
    [['VoIP'], ['voip']],
    [['Chat.Join.Limited'], ['chat.join.limited']],
    [
      ['VoIP.Join', 'Chat'],
      ['chat', 'voip.join'],
    ],
  ] as const) {
    const held = await tokenFor(signedIn(alice), { scopes: scopes.map((scope) => `${CLIENTS}/${scope}`) });
    assert.deepEqual(await whoami(held), { status: 200, id: ENTRA_ID(alice), scopes: [...expected] });
  }
});

await finding('the token is kept, and exchanged again for another one of the directory', async () => {
  let [asked, current] = [0, signedIn(alice)];
  const directory: TokenCredential = {
    getToken: (...given) => {
      asked++;
      return current.getToken(...given);
    },
  };
  const credential = new AzureCommunicationTokenCredential({ resourceEndpoint: endpoint, tokenCredential: directory });
  const first = await credential.getToken();
  assert.equal((await credential.getToken()).token, first.token);
  assert.ok(asked >= 1);
  current = signedIn(alice); // signs in once more: another token
  const second = await credential.getToken();
  assert.notEqual(second.token, first.token);
  assert.deepEqual([(await whoami(first)).status, (await whoami(second)).status], [200, 200]);
  credential.dispose();
});

await finding('members of an assigned group get tokens, others do not', async () => {
  await assign('group', GROUP.objectId);
  assert.deepEqual(await whoami(await tokenFor(signedIn(bob))), { status: 200, id: ENTRA_ID(bob), scopes: ALL });
  await assert.rejects(tokenFor(signedIn(carol)), notAssigned);
});

await finding('everybody of an assigned tenant gets a token', async () => {
  await assign('tenant', DIRECTORY_TENANT);
  const held = await tokenFor(signedIn(carol));
  assert.equal((await whoami(held)).id, ENTRA_ID(carol));
  await unassign(DIRECTORY_TENANT);
  assert.equal((await whoami(held)).status, 401);
  await assert.rejects(tokenFor(signedIn(carol)), notAssigned);
});

await finding('is refused at once after the assignment is deleted, and gets no other', async () => {
  const credential = new AzureCommunicationTokenCredential({
    resourceEndpoint: endpoint,
    tokenCredential: signedIn(alice),
  });
  const held = await credential.getToken();
  assert.equal((await whoami(held)).status, 200);
  await unassign(alice.objectId);
  await unassign(GROUP.objectId);
  assert.equal((await whoami(held)).status, 401);
  credential.dispose();
  await assert.rejects(tokenFor(signedIn(alice)), notAssigned);
});

await finding('a Teams user exchanges by the Teams-extension scopes', async () => {
  const wish = { scopes: [`${TEAMS}/TeamsExtension.ManageCalls`] };
  await assert.rejects(tokenFor(signedIn(alice), wish), notAssigned);
  await asService('PUT', teamsPath(alice.objectId), { principalType: 'user' });
  for (const resourceEndpoint of [endpoint, `${endpoint}/`]) {
    const held = await tokenFor(signedIn(alice), { ...wish, resourceEndpoint });
    assert.deepEqual(await whoami(held), { status: 200, id: TEAMS_ID(alice), scopes: ['voip'] });
  }
  const held = await tokenFor(signedIn(alice), wish);
  await asService('DELETE', teamsPath(alice.objectId));
  assert.equal((await whoami(held)).status, 401);
  await assert.rejects(tokenFor(signedIn(alice), wish), notAssigned);
});

await finding('a person signs in for a device by its code', async () => {
  await assign('user', bob.objectId);
  const directory = new DeviceCodeCredential({
    ...authority,
    clientId: app,
    userPromptCallback: async ({ userCode, verificationUri }) => {
      const body = new URLSearchParams({ user_code: userCode, user: bob.objectId, answer: 'allow' });
      const answered = await fetch(verificationUri, { method: 'POST', body, headers: { Origin: endpoint } });
      assert.equal(answered.status, 200);
    },
  });
  assert.equal((await whoami(await tokenFor(directory))).id, ENTRA_ID(bob));
});

await finding('a token of the wrong kind is refused with 401', async () => {
  await assign('user', alice.objectId);
  for (const [scope, wish] of [
    [`${TEAMS}/.default`, {}],
    [`${CLIENTS}/.default`, { scopes: [`${TEAMS}/TeamsExtension.ManageCalls`] }],
    ['https://communication.azure.com//.default', {}],
  ] as const) {
    const wrong: TokenCredential = { getToken: () => signedIn(alice).getToken(scope) };
    const more: Partial<Wish> = 'scopes' in wish ? { scopes: [...wish.scopes] } : {};
    await assert.rejects(tokenFor(wrong, more), /Status: 401, Body: .*Provided access token is not valid\./);
  }
});
