import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, customFetch, type JWTPayload, jwtVerify } from 'jose';
import {
  APPLICATIONS,
  DIRECTORY_TENANT,
  GROUP,
  MANAGED_IDENTITY_RESOURCE,
  PUBLISHED_SECRET,
  USERS,
} from '../../src/planes/sign-in/directory.ts';
import type { ClientLine, ClientTask } from '../harness/sdk/credential-client.ts';

// The real clients, unmodified, each in a process of its own. The server runs as its users start it, and what they copy
// from its ready block is what the clients get.

const SERVICE = 'https://communication.azure.com/';
const SERVICE_SCOPE = `${SERVICE}/.default`;
const { service, managedIdentity, app } = APPLICATIONS;
const [alice] = USERS;

interface Running {
  readonly port: number;
  readonly caPath: string;
  /** The environment that a line of the ready block names. */
  readonly lines: Readonly<Record<string, Record<string, string>>>;
}

const MAIN = join(import.meta.dirname, '../../src/main.ts');

async function readyBlock(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout);
  let said = '';
  for await (const line of createInterface(child.stdout)) {
    said += `${line}\n`;
    if (/^\s*curl /.test(line)) return said;
  }
  throw new Error(`the server did not start:\n${said}`);
}

describe('the credentials of @azure/identity and MSAL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-issuer-'));
  let child: ChildProcess;
  let server: Running;

  before(async () => {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LINARITE_'));
    child = spawn(process.execPath, [MAIN], {
      env: { ...Object.fromEntries(inherited), LINARITE_DATA: folder, LINARITE_PORT: '0', LINARITE_LOG_LEVEL: 'error' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const block = await readyBlock(child);
    const variables = (label: string): Record<string, string> => {
      const line = new RegExp(`^${label}: (.+)$`, 'm').exec(block)?.[1] ?? '';
      return Object.fromEntries(line.split(' ').map((pair) => pair.split(/=(.*)/s, 2)));
    };
    server = {
      port: Number(/^Endpoint: https:\/\/localhost:(\d+)\/$/m.exec(block)?.[1]),
      caPath: /^CA certificate: (.+)$/m.exec(block)?.[1] ?? '',
      lines: { managed: variables('Managed identity'), principal: variables('Service principal') },
    };
  });

  after(async () => {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
    rmSync(folder, { recursive: true, force: true });
  });

  const trust = () => ({ NODE_EXTRA_CA_CERTS: server.caPath });
  const authority = () => `https://localhost:${server.port}`;

  /** Runs a client with this environment and nothing else. */
  async function run(
    task: ClientTask,
    env: Record<string, string> = {},
    onDevice?: (line: ClientLine & { kind: 'device' }) => Promise<void>,
  ): Promise<ClientLine & { kind: 'token' }> {
    const client = spawn(
      process.execPath,
      [join(import.meta.dirname, '../harness/sdk/credential-client.ts'), JSON.stringify(task)],
      {
        env: { PATH: process.env.PATH, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: 60_000,
      },
    );
    let last: ClientLine | undefined;
    for await (const text of createInterface(client.stdout)) {
      last = JSON.parse(text) as ClientLine;
      if (last.kind === 'device') await onDevice?.(last);
    }
    assert.ok(last?.kind === 'token', `no token: ${JSON.stringify(last)}`);
    return last;
  }

  /** Verifies with another library, against the keys that discovery names, fetched by plain HTTP. */
  async function verified(token: string, audience: string, tenant = DIRECTORY_TENANT): Promise<JWTPayload> {
    const asPlain = (address: string): string => address.replace('https:', 'http:');
    const path = tenant === 'adfs' ? 'adfs' : `${tenant}/v2.0`;
    const discovery = (await (
      await fetch(`http://localhost:${server.port}/${path}/.well-known/openid-configuration`)
    ).json()) as { issuer: string; jwks_uri: string };
    const keys = createRemoteJWKSet(new URL(asPlain(discovery.jwks_uri)), { [customFetch]: fetch });
    const { payload } = await jwtVerify(token, keys, { issuer: discovery.issuer, audience, algorithms: ['RS256'] });
    assert.equal(payload.iss, `${authority()}/${DIRECTORY_TENANT}/v2.0`);
    assert.equal(payload.tid, DIRECTORY_TENANT);
    assert.equal(payload.ver, '2.0');
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 3600);
    return payload;
  }

  const actor = ({ idtyp, azp, oid, sub }: JWTPayload) => ({ idtyp, azp, oid, sub });
  const actorOf = ({ clientId, objectId }: typeof service | typeof managedIdentity) => ({
    idtyp: 'app',
    azp: clientId,
    oid: objectId,
    sub: objectId,
  });

  test('DefaultAzureCredential works with the line of the ready block alone, over plain HTTP', async () => {
    const { token, expiresInSeconds } = await run(
      { credential: 'default', scopes: [SERVICE_SCOPE] },
      server.lines.managed,
    );
    assert.deepEqual(actor(await verified(token, SERVICE)), actorOf(managedIdentity));
    assert.ok(expiresInSeconds > 3500 && expiresInSeconds <= 3600, `${expiresInSeconds} s`);
  });

  for (const [name, ids] of Object.entries({
    'no id': {},
    'the client id': { clientId: managedIdentity.clientId },
    'the object id': { objectId: managedIdentity.objectId },
    'the resource id': { resourceId: MANAGED_IDENTITY_RESOURCE },
  })) {
    test(`ManagedIdentityCredential with ${name}: App Service`, async () => {
      const { token } = await run({ credential: 'managed', scopes: [SERVICE_SCOPE], ids }, server.lines.managed);
      assert.deepEqual(actor(await verified(token, SERVICE)), actorOf(managedIdentity));
    });
    test(`ManagedIdentityCredential with ${name}: virtual machine`, async () => {
      const env = { AZURE_POD_IDENTITY_AUTHORITY_HOST: `http://localhost:${server.port}` };
      const { token } = await run({ credential: 'managed', scopes: [SERVICE_SCOPE], ids }, env);
      assert.deepEqual(actor(await verified(token, SERVICE)), actorOf(managedIdentity));
    });
  }

  test('ManagedIdentityCredential: Cloud Shell', async () => {
    const env = { MSI_ENDPOINT: `http://localhost:${server.port}/msi/token` };
    const { token } = await run({ credential: 'managed', scopes: [SERVICE_SCOPE] }, env);
    assert.deepEqual(actor(await verified(token, SERVICE)), actorOf(managedIdentity));
  });

  test('DefaultAzureCredential and EnvironmentCredential work with the line for service principals', async () => {
    for (const credential of ['default', 'environment'] as const) {
      const { token } = await run({ credential, scopes: [SERVICE_SCOPE] }, { ...server.lines.principal, ...trust() });
      assert.deepEqual(actor(await verified(token, SERVICE, 'adfs')), actorOf(service));
    }
  });

  for (const tenant of ['adfs', DIRECTORY_TENANT]) {
    const asClient = (more: Omit<ClientTask, 'tenant' | 'authority'>): ClientTask => ({
      tenant,
      authority: authority(),
      ...more,
    });

    test(`ClientSecretCredential in ${tenant}, for each audience of applications`, async () => {
      const own = `${authority()}/`;
      for (const [scope, aud] of [
        [SERVICE_SCOPE, SERVICE],
        ['https://management.azure.com/.default', 'https://management.azure.com/'],
        ['https://management.core.windows.net//.default', 'https://management.core.windows.net/'],
        [`${own}.default`, own],
      ] as const) {
        const task = asClient({
          credential: 'secret',
          client: service.clientId,
          secret: PUBLISHED_SECRET,
          scopes: [scope],
        });
        assert.deepEqual(actor(await verified((await run(task, trust())).token, aud)), actorOf(service), scope);
      }
    });

    test(`UsernamePasswordCredential in ${tenant}`, async () => {
      const scopes = ['https://communication.azure.com/clients/Chat'];
      const user = alice?.userName ?? '';
      const task = { client: app.clientId, user, secret: PUBLISHED_SECRET, scopes };
      const { token } = await run(asClient({ credential: 'password', ...task }), trust());
      const { azp, oid, scp, groups, name, preferred_username, idtyp } = await verified(
        token,
        'https://communication.azure.com/clients',
      );
      assert.deepEqual(
        { azp, oid, scp, groups, name, preferred_username, idtyp },
        {
          azp: app.clientId,
          oid: alice?.objectId,
          scp: 'Chat',
          groups: [GROUP.objectId],
          name: 'Alice',
          preferred_username: user,
          idtyp: undefined,
        },
      );
    });

    test(`DeviceCodeCredential in ${tenant}, answered on the page`, async () => {
      const scopes = ['https://auth.msft.communication.azure.com/.default'];
      const bob = USERS[1];
      const task = asClient({ credential: 'device', client: app.clientId, scopes });
      const { token } = await run(task, trust(), async ({ address, code }) => {
        assert.equal(address, `${authority()}/-/devicelogin`);
        const plain = address.replace('https:', 'http:');
        const form = await (await fetch(plain)).text();
        assert.match(form, new RegExp(`value="${bob?.objectId}"`));
        const answer = await fetch(plain, {
          method: 'POST',
          headers: { Origin: new URL(plain).origin },
          body: new URLSearchParams({ user_code: code, user: bob?.objectId ?? '', answer: 'allow' }),
        });
        assert.equal(answer.status, 200);
        assert.match(await answer.text(), /The device is signed in/);
      });
      const { oid, scp } = await verified(token, 'https://auth.msft.communication.azure.com');
      assert.deepEqual([oid, scp], [bob?.objectId, 'Teams.ManageCalls Teams.ManageChats TeamsExtension.ManageCalls']);
    });

    test(`MSAL in ${tenant}: by password, then by refresh token`, async () => {
      const scopes = ['https://communication.azure.com/clients/.default'];
      const task = { client: app.clientId, user: USERS[2]?.userName ?? '', secret: PUBLISHED_SECRET, scopes };
      const { token, again = '', account } = await run(asClient({ credential: 'msal', ...task }), trust());
      assert.equal(account, 'carol@dev.linarite.test');
      assert.notEqual(again, token);
      for (const jwt of [token, again]) {
        const { oid, scp, groups } = await verified(jwt, 'https://communication.azure.com/clients');
        assert.deepEqual(
          [oid, scp, groups],
          [USERS[2]?.objectId, 'Chat Chat.Join Chat.Join.Limited VoIP VoIP.Join', undefined],
        );
      }
    });
  }

  test('these tests fail where they should: with another secret no credential gets a token', async () => {
    const wrong = { ...server.lines.managed, IDENTITY_HEADER: 'another' };
    await assert.rejects(run({ credential: 'default', scopes: [SERVICE_SCOPE] }, wrong), /X-IDENTITY-HEADER/);
    const principal = { ...server.lines.principal, ...trust(), AZURE_CLIENT_SECRET: 'another' };
    await assert.rejects(run({ credential: 'environment', scopes: [SERVICE_SCOPE] }, principal), /invalid_client/);
  });
});
