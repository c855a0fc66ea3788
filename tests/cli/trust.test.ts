import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { APPLICATIONS, DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import { beside, cliAtTerminal, cliBeside, cliJson, terminalSkip } from '../harness/cli.ts';
import type { Answer } from '../harness/http.ts';
import { Provider as TestProvider } from '../harness/provider.ts';
import { DEV_ID } from '../harness/resources.ts';
import { API_VERSION, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const SERVICE_AUDIENCE = 'https://communication.azure.com/';
const DEV_ISSUER = `{endpoint}/${DIRECTORY_TENANT}/v2.0`;
const [FIRST, SECOND] = ['7a3c9d10-0000-4000-8000-00000000000a', '7a3c9d10-0000-4000-8000-00000000000b'];

let server: TestServer;
shareServer(async (started) => {
  server = started;
  // What the tests believe they say themselves.
  await cliJson(server, ['trust', 'delete', '--name', 'dev', '--yes']);
});

/** Most issuers in here are made up, so nobody tries to reach them. */
const trust = (...args: string[]) =>
  cliJson(server, ['trust', ...args, ...(/^(?:create|update)$/.test(args[0] ?? '') ? ['--no-check'] : [])]);
const fails = async (args: string[]) => {
  const { code, stdout, stderr } = await cliBeside(server, args);
  assert.equal(stdout, '');
  return [code, stderr];
};

/** A token of the development issuer, for the service with the secret. */
async function serviceToken(): Promise<string> {
  const { issuer } = server.server;
  assert.ok(issuer);
  return (await issuer.applicationToken(APPLICATIONS.service, { aud: SERVICE_AUDIENCE })).jwt;
}

const asBearer = (token: string, path: string, body = {}): Promise<Answer> =>
  server.send({
    method: 'POST',
    target: `${path}?api-version=${API_VERSION}`,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

const createStatus = async (token: string): Promise<number> => (await asBearer(token, '/identities')).status;

/** Makes a trust in the development issuer that lets the service in, and forgets it after the test. */
async function givenTrust(t: TestContext, name: string): Promise<void> {
  await trust('create', '--name', name, '--issuer', DEV_ISSUER, '--tenant', DIRECTORY_TENANT);
  t.after(() => cliBeside(server, ['trust', 'delete', '--name', name, '--yes']));
  const { objectId } = APPLICATIONS.service;
  const may = ['--object-id', objectId, '--right', 'data', '--resource', 'dev'];
  await trust('grant', 'add', '--trust', name, '--name', 'service', ...may);
}

/** An access token that was issued at the request of somebody who came in through a trust. */
async function issuedThrough(token: string): Promise<string> {
  const made = await asBearer(token, '/identities', { createTokenWithScopes: ['chat'] });
  assert.equal(made.status, 201);
  return made.body.accessToken.token;
}

const holds = async (accessToken: string): Promise<boolean> => (await server.asUser(accessToken)).status === 200;

describe('definitions', () => {
  test('every member can be said; what was made is listed, shown and deleted', async () => {
    const ca = join(server.folder, 'ca.pem');
    const made = await trust(
      ...['create', '--name', 'Whole', '--issuer', 'https://id.example.org/{tenantId}', 'https://id.example.org/'],
      ...['--metadata', 'https://id.example.org/openid', '--key-set', 'https://keys.example.org/jwks'],
      ...['--tenant', FIRST.toUpperCase(), '--tenant', SECOND, '--application', '*'],
      ...['--audience', 'service=api://chat', 'service=api://more', '--audience', 'entraUser=api://user?a=b'],
      ...['--algorithm', 'ES256', 'RS256', '--claim', 'objectId=sub', 'roles=/realm_access/roles'],
      ...['--private-addresses', '--ca-file', ca],
    );
    const { id, certificateAuthority, createdAt, changedAt, ...rest } = made;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.match(certificateAuthority, /^-----BEGIN CERTIFICATE-----/);
    assert.ok(Date.parse(createdAt) <= Date.parse(changedAt));
    assert.deepEqual(rest, {
      name: 'whole',
      enabled: true,
      issuers: ['https://id.example.org/{tenantId}', 'https://id.example.org/'],
      metadata: 'https://id.example.org/openid',
      keySet: 'https://keys.example.org/jwks',
      tenants: [FIRST, SECOND],
      audiences: { service: ['api://chat', 'api://more'], entraUser: ['api://user?a=b'] },
      applications: ['*'],
      algorithms: ['ES256', 'RS256'],
      claims: {
        objectId: 'sub',
        tenantId: 'tid',
        applicationId: null,
        scopes: 'scp',
        roles: '/realm_access/roles',
        groups: 'groups',
      },
      privateAddresses: true,
      grants: [],
    });
    assert.deepEqual(await trust('show', '--name', 'whole'), made);
    assert.deepEqual(await trust('list'), [made]);
    const table = await cliBeside(server, ['trust', 'list', '--output', 'table']);
    assert.match(table.stdout, /^Name +Enabled +Issuers +Tenants +Grants\n-.*\nwhole +true +https:\S+ https:\S+ +7a3c/);

    assert.equal(await trust('delete', '--name', 'whole', '--yes'), undefined);
    const gone = [1, "linarite: TrustNotFound: There is no trust 'whole'. (TrustNotFound)\n"];
    assert.deepEqual(await fails(['trust', 'show', '--name', 'whole']), gone);
    assert.deepEqual(await fails(['trust', 'delete', '--name', 'whole', '--yes']), gone);
  });

  test('create changes nothing of a trust that is there', async (t) => {
    await givenTrust(t, 'taken');
    const before = await trust('show', '--name', 'taken');
    assert.deepEqual(await fails(['trust', 'create', '--name', 'Taken', '--issuer', 'https://id.example.org']), [
      1,
      'linarite: the trust Taken already exists: change it with `trust update`\n',
    ]);
    assert.deepEqual(await trust('show', '--name', 'taken'), before);
  });

  test('--keycloak fills in what Keycloak’s tokens are like; what is said besides wins', async () => {
    const made = await trust(
      ...['create', '--name', 'realm', '--keycloak', 'https://id.example.org/realms/shop/', '--claim', 'groups=teams'],
    );
    assert.deepEqual(made.issuers, ['https://id.example.org/realms/shop']);
    assert.equal(made.metadata, 'https://id.example.org/realms/shop/.well-known/openid-configuration');
    assert.deepEqual(made.claims, {
      objectId: 'sub',
      tenantId: null,
      applicationId: 'azp',
      scopes: 'scope',
      roles: '/realm_access/roles',
      groups: 'teams',
    });
    await trust('delete', '--name', 'realm', '--yes');
  });

  test('update changes what is named, and asks before it takes anything back', async (t) => {
    await givenTrust(t, 'change');
    const before = await trust('show', '--name', 'change');
    const accessToken = await issuedThrough(await serviceToken());

    const wider = await trust('update', '--name', 'change', '--application', '*', '--tenant', DIRECTORY_TENANT, FIRST);
    const { changedAt } = wider;
    assert.deepEqual(wider, { ...before, applications: ['*'], tenants: [DIRECTORY_TENANT, FIRST], changedAt });
    assert.ok(await holds(accessToken));

    const narrow = ['trust', 'update', '--name', 'change', '--application', '', '--tenant', DIRECTORY_TENANT];
    assert.deepEqual(await fails(narrow), [
      2,
      'linarite: cannot ask for confirmation without a terminal: add --yes (Change the trust change and end the tokens issued through it?)\n',
    ]);
    assert.ok(await holds(accessToken));
    const { changedAt: again, ...narrower } = await cliJson(server, [...narrow, '--yes']);
    assert.deepEqual({ ...narrower, changedAt: before.changedAt }, before, again);
    assert.equal(await holds(accessToken), false);
  });

  test('empty text takes a member back to its default', async (t) => {
    await givenTrust(t, 'defaults');
    const before = await trust('show', '--name', 'defaults');
    const ca = join(server.folder, 'ca.pem');
    const said = ['--key-set', 'https://keys.example.org/', '--audience', 'service=a', '--claim', 'applicationId=azp'];
    const where = ['--metadata', 'https://id.example.org/', '--private-addresses', '--ca-file', ca];
    const changed = await trust('update', '--name', 'defaults', ...said, ...where, '--yes');
    assert.deepEqual(
      [changed.keySet, changed.audiences, changed.claims.applicationId, changed.privateAddresses],
      ['https://keys.example.org/', { service: ['a'] }, 'azp', true],
    );
    const unsaid = ['--key-set', '', '--audience', 'service=', '--claim', 'applicationId='];
    const nowhere = ['--metadata', '', '--no-private-addresses', '--ca-file', ''];
    const back = await trust('update', '--name', 'defaults', ...unsaid, ...nowhere, '--yes');
    assert.deepEqual({ ...back, changedAt: before.changedAt }, before);
  });

  const REFUSED: [args: string[], code: number, complaint: RegExp][] = [
    [['update', '--name', 'nobody', '--tenant', FIRST], 1, /TrustNotFound: There is no trust 'nobody'/],
    [['create', '--name', 'no name', '--issuer', 'https://id.example.org'], 1, /not valid: name: a name has 1 to 63/],
    [['enable', '--name', 'nobody'], 1, /TrustNotFound/],
    [['disable', '--name', 'nobody', '--yes'], 1, /TrustNotFound/],
    [['grant', 'list', '--trust', 'nobody'], 1, /TrustNotFound/],
  ];
  for (const [args, code, complaint] of REFUSED) {
    test(`is refused in one line: trust ${args.join(' ')}`, async () => {
      const ran = await cliBeside(server, ['trust', ...args]);
      assert.equal(ran.code, code);
      assert.match(ran.stderr, complaint);
      assert.match(ran.stderr, /^linarite: [^\n]+\n$/);
    });
  }

  test('update without a change is wrong usage', async (t) => {
    await givenTrust(t, 'same');
    const same = 'linarite: nothing would change: give an option with a new value\n';
    assert.deepEqual(await fails(['trust', 'update', '--name', 'same']), [2, same]);
    assert.deepEqual(await fails(['trust', 'update', '--name', 'same', '--tenant', DIRECTORY_TENANT]), [2, same]);
  });

  test('an issuer that cannot be reached is told at once, and tried again by check', async (t) => {
    const provider = await TestProvider.start();
    t.after(() => provider.stop());
    const named = ['--name', 'reached', '--output', 'table'];
    const wish = [
      '--issuer',
      provider.issuer('{tenantId}'),
      '--tenant',
      FIRST,
      '--metadata',
      provider.metadata,
      '--private-addresses',
    ];
    const made = await cliBeside(server, ['trust', 'create', ...named, ...wish]);
    assert.deepEqual([made.code, made.stderr], [0, '']);
    const checked = await cliBeside(server, ['trust', 'check', ...named]);
    assert.deepEqual([checked.code, checked.stderr], [0, '']);
    assert.match(checked.stdout, /^Tenant +Keys +Failure\n-.*\n +[1-9]\d*\n$/);

    provider.behaviour = 'failing';
    const failed = await cliBeside(server, ['trust', 'check', ...named]);
    assert.deepEqual([failed.code, failed.stderr], [1, 'linarite: the keys of the trust reached cannot be read\n']);
    assert.match(failed.stdout, /it answers 500/);
    const updated = await cliBeside(server, ['trust', 'update', ...named, '--no-private-addresses', '--yes']);
    assert.equal(updated.code, 2); // the provider has no TLS
    const tried = await cliBeside(server, ['trust', 'update', ...named, '--application', '*', '--yes']);
    assert.equal(tried.code, 0);
    assert.match(
      tried.stderr,
      /^linarite: warning: the keys of the issuer cannot be read now: it answers 500; `linarite trust check` tries again\n$/,
    );
    const quiet = await cliBeside(server, ['trust', 'update', ...named, '--application', '', '--no-check', '--yes']);
    assert.deepEqual([quiet.code, quiet.stderr], [0, '']);
  });

  test('a certificate authority that is none is refused before anything is sent', async () => {
    const file = join(server.folder, 'no.pem');
    writeFileSync(file, 'hello');
    const create = ['trust', 'create', '--name', 'x', '--issuer', 'https://id.example.org', '--ca-file'];
    assert.deepEqual(await fails([...create, file]), [
      2,
      'linarite: The trust is not valid: certificateAuthority: must be the PEM text of a certificate.\n',
    ]);
    assert.deepEqual(await fails([...create, '/nonexistent']), [2, 'linarite: /nonexistent cannot be read (ENOENT)\n']);
  });
});

describe('use', () => {
  test('a token opens what a grant of the trust says, from the moment it is said', async (t) => {
    const token = await serviceToken();
    assert.equal(await createStatus(token), 401, 'nobody believes the issuer');
    await givenTrust(t, 'used');
    assert.equal(await createStatus(token), 201);

    const listed = await trust('grant', 'list', '--trust', 'used');
    const principal = { kind: 'objectId', value: APPLICATIONS.service.objectId };
    assert.deepEqual(listed, [{ name: 'service', principal, right: 'data', resource: DEV_ID }]);
    const table = await cliBeside(server, ['trust', 'grant', 'list', '--trust', 'used', '-o', 'table']);
    assert.match(table.stdout, /^Name +Principal +Right +Resource\n-.*\nservice +objectId 5e1f\S+ +data +5e1f\S+\n$/);

    assert.deepEqual(await fails(['trust', 'grant', 'remove', '--trust', 'used', '--name', 'servcie', '--yes']), [
      1,
      'linarite: the trust used has no grant servcie\n',
    ]);
    assert.equal(await createStatus(token), 201);
    await trust('grant', 'remove', '--trust', 'used', '--name', 'Service', '--yes');
    assert.equal(await createStatus(token), 403);
  });

  test('a grant names an application, or a role; add replaces the one of that name', async (t) => {
    await givenTrust(t, 'kinds');
    const add = ['grant', 'add', '--trust', 'kinds', '--name', 'service', '--right', 'data', '--resource', '*'];
    const token = await serviceToken();
    await trust(...add, '--role', 'nobody-has-it');
    assert.equal(await createStatus(token), 403);
    await trust(...add, '--application-id', APPLICATIONS.service.clientId);
    assert.equal(await createStatus(token), 201);
    assert.equal((await trust('grant', 'list', '--trust', 'kinds')).length, 1);
    const [code, stderr] = await fails(['trust', ...add.slice(0, -1), 'nowhere', '--role', 'x']);
    assert.equal(code, 1);
    assert.match(String(stderr), /^linarite: ResourceNotFound: .*\n$/);
  });

  for (const ends of ['disable', 'delete']) {
    test(`${ends} ends the tokens issued through the trust, and lets nobody in any more`, async (t) => {
      await givenTrust(t, 'ending');
      const token = await serviceToken();
      const through = await issuedThrough(token);
      const byKey = await server.givenToken(await server.givenIdentity());
      assert.ok(await holds(through));
      await trust(ends, '--name', 'ending', '--yes');
      assert.equal(await createStatus(token), 401);
      assert.equal(await holds(through), false);
      assert.ok(await holds(byKey), 'what was issued otherwise lives on');
    });
  }

  test('enable lets in again; what was ended stays ended', async (t) => {
    await givenTrust(t, 'again');
    const token = await serviceToken();
    const through = await issuedThrough(token);
    assert.equal((await trust('disable', '--name', 'again', '--yes')).enabled, false);
    assert.equal((await trust('enable', '--name', 'again')).enabled, true);
    assert.equal(await createStatus(token), 201);
    assert.equal(await holds(through), false);
  });

  test('disable asks at a terminal, and a no changes nothing', terminalSkip, async (t) => {
    await givenTrust(t, 'asked');
    const args = ['trust', 'disable', '--name', 'asked'];
    const { code, stdout } = await cliAtTerminal(args, { env: beside(server), input: 'n\n' });
    assert.equal(code, 1);
    assert.match(stdout, /Disable the trust asked and end the tokens issued through it\? \(y\/n\) /);
    assert.equal(await createStatus(await serviceToken()), 201);
  });
});

describe('--entra', () => {
  const ENTRA = 'https://login.microsoftonline.com';

  test('names both issuers of each tenant, and where each tenant’s metadata is', async (t) => {
    const made = await givenEntra(t);
    assert.deepEqual(made.issuers, [`${ENTRA}/{tenantId}/v2.0`, 'https://sts.windows.net/{tenantId}/']);
    assert.equal(made.metadata, `${ENTRA}/{tenantId}/v2.0/.well-known/openid-configuration`);
    assert.deepEqual([made.tenants, made.applications], [[FIRST, SECOND], []]);
    const { objectId, tenantId, applicationId, scopes } = made.claims;
    assert.deepEqual([objectId, tenantId, applicationId, scopes], ['oid', 'tid', null, 'scp']);
  });

  test('accepts tokens of both versions and of each tenant from a provider of that shape, and of no other', async (t) => {
    const provider = await startProvider(t);
    const made = await givenEntra(t);
    // The same definition, with the provider in the place of Entra.
    const here = (text: string): string =>
      text.replace(ENTRA, provider.origin).replace('https://sts.windows.net', provider.sts);
    const where = ['--issuer', ...made.issuers.map(here), '--metadata', here(made.metadata), '--private-addresses'];
    await trust('update', '--name', 'entra', ...where, '--yes');
    const may = ['--object-id', OBJECT, '--right', 'data', '--resource', 'dev'];
    await trust('grant', 'add', '--trust', 'entra', '--name', 'app', ...may);

    const status = async (iss: string, tid: string): Promise<number> => createStatus(provider.token({ iss, tid }));
    const v2 = (tenant: string): string => `${provider.origin}/${tenant}/v2.0`;
    const v1 = (tenant: string): string => `${provider.sts}/${tenant}/`;
    assert.equal(await status(v1(SECOND), SECOND), 201);
    assert.equal(await status(v2(SECOND), SECOND), 201);
    assert.equal(await status(v2(FIRST), FIRST), 201);
    assert.equal(await status(v1(FIRST), FIRST), 201);
    assert.equal(await status(v2(FIRST), SECOND), 401, 'a tenant speaks for another');
    assert.equal(await status(v2(DIRECTORY_TENANT), DIRECTORY_TENANT), 401, 'a tenant that is not named');
    // Each tenant has a document of its own, read once; the keys are at one address, read once for each.
    const openid = 'v2.0/.well-known/openid-configuration';
    assert.deepEqual(provider.asked, [`/${SECOND}/${openid}`, '/common/keys', `/${FIRST}/${openid}`, '/common/keys']);
  });

  test('does not take the metadata of another tenant for a tenant’s own', async (t) => {
    const provider = await startProvider(t, { issuerOf: () => SECOND });
    const made = await givenEntra(t);
    const issuer = `${provider.origin}/{tenantId}/v2.0`;
    const metadata = made.metadata.replace(ENTRA, provider.origin);
    await trust(
      'update',
      '--name',
      'entra',
      '--issuer',
      issuer,
      '--metadata',
      metadata,
      '--private-addresses',
      '--yes',
    );
    await trust(
      ...['grant', 'add', '--trust', 'entra', '--name', 'app', '--object-id', OBJECT],
      ...['--right', 'data', '--resource', 'dev'],
    );
    const of = (tid: string) => createStatus(provider.token({ iss: `${provider.origin}/${tid}/v2.0`, tid }));
    assert.equal(await of(SECOND), 201);
    assert.equal(await of(FIRST), 503);
  });

  async function givenEntra(t: TestContext) {
    t.after(() => cliBeside(server, ['trust', 'delete', '--name', 'entra', '--yes']));
    return trust('create', '--name', 'entra', '--entra', FIRST, '--entra', SECOND);
  }
});

describe('--keycloak', () => {
  test('lets in a role of a realm, and its users when the realm is given a tenant', async (t) => {
    const provider = await startProvider(t);
    const realm = `${provider.origin}/shop/v2.0`;
    t.after(() => cliBeside(server, ['trust', 'delete', '--name', 'keycloak', '--yes']));
    const users = ['--tenant', FIRST, '--application', '*', '--audience', 'entraUser=account', 'service=account'];
    await trust('create', '--name', 'keycloak', '--keycloak', realm, '--private-addresses', ...users);
    const role = ['--role', 'linarite-service', '--right', 'data', '--resource', 'dev'];
    await trust('grant', 'add', '--trust', 'keycloak', '--name', 'services', ...role);

    const token = (more: object): string =>
      provider.token({ iss: realm, aud: ['account'], sub: OBJECT, oid: undefined, typ: 'Bearer', ...more });
    const roles = (...roles: string[]) => ({ scope: 'email profile', realm_access: { roles } });
    assert.equal(await createStatus(token(roles('offline_access', 'linarite-service'))), 201);
    assert.equal(await createStatus(token(roles('offline_access'))), 403);

    const exchange = async (scope: string): Promise<number> => {
      const version = 'api-version=2025-03-02-preview';
      return (await server.asUser(token({ scope }), `POST /access/entra/:exchangeAccessToken?${version}`)).status;
    };
    assert.equal(await exchange('openid Chat'), 403);
    const user = ['--object-id', OBJECT, '--tenant', FIRST, '--client-id', OBJECT];
    await cliJson(server, ['assignment', 'create', ...user]);
    assert.equal(await exchange('openid Chat'), 200);
    assert.equal(await exchange('openid'), 401, 'no permission of ours');
  });
});

const OBJECT = '7a3c9d10-0000-4000-8000-0000000000d1';

interface Provider {
  readonly origin: string;
  /** Where issuers of version 1 begin. */
  readonly sts: string;
  /** Paths, in order. */
  readonly asked: readonly string[];
  /** Signs a token that is good but for what these claims say. */
  token(claims: object): string;
}

/**
 * A provider at this machine: a document for each tenant, and one key set for all.
 * @param issuerOf which tenant the document of a tenant says it is of
 */
async function startProvider(
  t: TestContext,
  { issuerOf = (tenant) => tenant }: { issuerOf?: (tenant: string) => string } = {},
): Promise<Provider> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' };
  const asked: string[] = [];
  const listener = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    const tenant = path.split('/')[1] ?? '';
    const document = { issuer: `${origin}/${issuerOf(tenant)}/v2.0`, jwks_uri: `${origin}/common/keys` };
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(path === '/common/keys' ? { keys: [jwk] } : document));
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.after(() => listener.close());
  const origin = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return {
    origin,
    sts: `${origin}/sts`,
    asked,
    token(claims) {
      const iat = Math.floor(Date.now() / 1000);
      const payload = { aud: SERVICE_AUDIENCE, oid: OBJECT, azp: OBJECT, iat, nbf: iat, exp: iat + 600, ...claims };
      const parts = [{ alg: 'RS256', typ: 'JWT', kid: 'one' }, payload];
      const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
    },
  };
}
