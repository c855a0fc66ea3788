// A program as a user of the official JavaScript SDK writes it, run in a process of its own by javascript.test.ts.
// Argument: JSON of {@link Task}. Standard output: one JSON line per finding.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import type { Finding } from './run-client.ts';

export interface Task {
  /** Name of the package in node_modules. */
  package: string;
  release: string;
  port: number;
  /** Where a reverse proxy takes plain HTTP. */
  proxyPort: number;
  key: string;
  secondaryKey: string;
  foreignId: string;
}

interface Token {
  token: string;
  expiresOn: Date;
}
interface User {
  communicationUserId: string;
}
/** What the releases have in common. */
interface Client {
  createUser(): Promise<User>;
  createUserAndToken(scopes: string[], options?: object): Promise<Token & { user: User }>;
  getToken(user: User, scopes: string[], options?: object): Promise<Token>;
  revokeTokens(user: User): Promise<unknown>;
  deleteUser(user: User): Promise<unknown>;
}
type NewClient = new (...given: unknown[]) => Client;

const task = JSON.parse(process.argv[2] ?? '') as Task;
const { CommunicationIdentityClient } = createRequire(import.meta.url)(task.package) as {
  CommunicationIdentityClient: NewClient;
};
const { AzureKeyCredential } = createRequire(import.meta.url)('@azure/core-auth') as {
  AzureKeyCredential: new (key: string) => unknown;
};

const https = `https://localhost:${task.port}/`;
const client = new CommunicationIdentityClient(`endpoint=${https};accesskey=${task.key}`);
const isBefore = (release: string): boolean => task.release.localeCompare(release, undefined, { numeric: true }) < 0;

/** Lifetimes may be off by this part of what was asked, as in the SDK's own suite: clocks and networks. */
const TOLERANCE = 0.05;
const USUAL_MINUTES = 1440;

const SCOPES = [
  ['chat'],
  ['voip'],
  ['chat', 'voip'],
  // What came with 2023-10-01, the version that 1.3.0 was the first to send.
  ...(isBefore('1.3.0')
    ? []
    : [
        ['chat.join'],
        ['chat.join.limited'],
        ['voip.join'],
        ['chat', 'chat.join', 'chat.join.limited'],
        ['voip', 'voip.join'],
        ['chat.join', 'voip.join'],
      ]),
];

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

const isUser = (user: User): void => assert.match(user.communicationUserId, /^8:acs:[0-9a-f-]{36}_[0-9a-f-]{36}$/);

function isToken({ token, expiresOn }: Token, minutes = USUAL_MINUTES): void {
  assert.equal(typeof token, 'string');
  assert.ok(expiresOn instanceof Date);
  const lives = (expiresOn.getTime() - Date.now()) / 60_000;
  assert.ok(Math.abs(lives - minutes) <= minutes * TOLERANCE, `lives for ${lives} minutes`);
}

const fails = (status: number, message?: RegExp) => (cause: unknown) => {
  const { statusCode, message: said } = cause as { statusCode?: number; message: string };
  assert.equal(statusCode, status, String(cause));
  if (message) assert.match(said, message);
  return true;
};

async function usable(other: Client): Promise<void> {
  const user = await other.createUser();
  isUser(user);
  isToken(await other.getToken(user, ['chat']));
  await other.revokeTokens(user);
  await other.deleteUser(user);
}

await finding('creates a user', async () => isUser(await client.createUser()));

for (const scopes of SCOPES) {
  await finding(`creates a user with a token for ${scopes.join(', ')}`, async () => {
    const { user, ...token } = await client.createUserAndToken(scopes);
    isUser(user);
    isToken(token);
  });
  await finding(`gets a token for ${scopes.join(', ')}`, async () => {
    isToken(await client.getToken(await client.createUser(), scopes));
  });
}

// Lifetimes came with 1.2.0.
if (!isBefore('1.2.0')) {
  for (const minutes of [60, 1440]) {
    await finding(`gets tokens for ${minutes} minutes`, async () => {
      const options = { tokenExpiresInMinutes: minutes };
      const { user, ...token } = await client.createUserAndToken(['chat'], options);
      isToken(token, minutes);
      isToken(await client.getToken(user, ['chat'], options), minutes);
    });
  }
  for (const minutes of [59, 1441]) {
    await finding(`is refused tokens for ${minutes} minutes with 400`, async () => {
      const options = { tokenExpiresInMinutes: minutes };
      const user = await client.createUser();
      const expected = fails(400, new RegExp(`^ExpiresInMinutes value ${minutes} is invalid\\.`));
      await assert.rejects(client.createUserAndToken(['chat'], options), expected);
      await assert.rejects(client.getToken(user, ['chat'], options), expected);
    });
  }
}

await finding('is told about missing scopes in the original’s words', async () => {
  const user = await client.createUser();
  await assert.rejects(client.getToken(user, []), fails(400, /^Invalid scopes - Scopes field is required\.$/));
});

await finding('revokes the tokens of a user and may go on with new ones', async () => {
  const { user } = await client.createUserAndToken(['chat', 'voip']);
  await client.revokeTokens(user);
  isToken(await client.getToken(user, ['chat']));
});

await finding('deletes a user, and once more', async () => {
  const user = await client.createUser();
  await client.deleteUser(user);
  await client.deleteUser(user);
});

for (const [which, communicationUserId] of [
  ['that nobody has', '8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000'],
  ['of this server', task.foreignId],
] as const) {
  await finding(`is refused a user of another resource ${which} with 401`, async () => {
    const user = { communicationUserId };
    const expected = fails(401, /^Provided identity doesn't belong to the resource\.$/);
    await assert.rejects(client.getToken(user, ['chat']), expected);
    await assert.rejects(client.revokeTokens(user), expected);
    await assert.rejects(client.deleteUser(user), expected);
  });
}

await finding('is refused a wrong key with 401', async () => {
  const wrong = Buffer.alloc(64).toString('base64');
  const unknownCaller = new CommunicationIdentityClient(`endpoint=${https};accesskey=${wrong}`);
  await assert.rejects(unknownCaller.createUser(), fails(401, /^Denied by the resource provider\.$/));
});

await finding('takes the secondary key', () =>
  usable(new CommunicationIdentityClient(`endpoint=${https};accesskey=${task.secondaryKey}`)),
);
await finding('takes an endpoint and a key credential', () =>
  usable(new CommunicationIdentityClient(https, new AzureKeyCredential(task.key))),
);
await finding('takes an endpoint without a slash behind', () =>
  usable(new CommunicationIdentityClient(https.slice(0, -1), new AzureKeyCredential(task.key))),
);
await finding('takes a connection string without a slash behind the endpoint', () =>
  usable(new CommunicationIdentityClient(`endpoint=${https.slice(0, -1)};accesskey=${task.key}`)),
);
await finding('takes 127.0.0.1 for a name', () =>
  usable(new CommunicationIdentityClient(`endpoint=https://127.0.0.1:${task.port}/;accesskey=${task.key}`)),
);
const overHttp = (port: number, key: string): Client => {
  const options = isBefore('1.1.0') ? {} : { allowInsecureConnection: true };
  return new CommunicationIdentityClient(`endpoint=http://localhost:${port}/;accesskey=${key}`, options);
};
await finding('works over plain http, where asked to', () => usable(overHttp(task.port, task.key)));
// The published key is not taken through a proxy.
await finding('works through a reverse proxy', () => usable(overHttp(task.proxyPort, task.secondaryKey)));
await finding('makes twenty users at once', async () => {
  const users = await Promise.all(Array.from({ length: 20 }, () => client.createUser()));
  assert.equal(new Set(users.map(({ communicationUserId }) => communicationUserId)).size, 20);
});
