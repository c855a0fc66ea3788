import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { APPLICATIONS, DIRECTORY_TENANT, PUBLISHED_SECRET, USERS } from '../../src/issuer/directory.ts';

/** What Teams users' tokens are made for. */
const AUDIENCE = 'https://auth.msft.communication.azure.com';
const KID = 'of-the-clients';

/** A directory beside the server's own, that gives tokens of any age. */
export interface Provider {
  readonly issuer: string;
  /** A token of Alice's for the application without a secret. @param lifeSeconds from now; negative for one that has run out */
  teamsUserToken(lifeSeconds: number): string;
  stop(): void;
}

/** Starts a provider (OpenID Connect Discovery 1.0) on loopback, with a key of its own. */
export async function startProvider(): Promise<Provider> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...publicKey.export({ format: 'jwk' }), kid: KID, alg: 'RS256', use: 'sig' };
  let issuer = '';
  const server = createServer((request, response) => {
    const isKeys = request.url === '/keys';
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(isKeys ? { keys: [key] } : { issuer, jwks_uri: `${issuer}/keys` }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    teamsUserToken(lifeSeconds) {
      const exp = Math.floor(Date.now() / 1000) + lifeSeconds;
      const claims = {
        iss: issuer,
        aud: AUDIENCE,
        iat: exp - 3600,
        exp,
        azp: APPLICATIONS.app.clientId,
        oid: USERS[0]?.objectId,
        tid: DIRECTORY_TENANT,
        scp: 'Teams.ManageCalls Teams.ManageChats',
      };
      const parts = [{ alg: 'RS256', kid: KID, typ: 'JWT' }, claims];
      const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
    },
    stop: () => server.close(),
  };
}

/** Signs Alice in at the development issuer of a server. */
export function signedIn(port: number): Promise<string> {
  const { app } = APPLICATIONS;
  return askIssuer(port, {
    grant_type: 'password',
    client_id: app.clientId,
    username: USERS[0]?.userName ?? '',
    password: PUBLISHED_SECRET,
    scope: `${AUDIENCE}/Teams.ManageCalls ${AUDIENCE}/Teams.ManageChats`,
  });
}

/** Makes a server believe a provider. @throws when it does not: then a token that ran out would be refused for another reason */
export async function makeBelieved(provider: Provider, port: number, operatorKey: string): Promise<void> {
  const { issuer } = provider;
  const trust = { issuers: [issuer], tenants: [DIRECTORY_TENANT], applications: ['*'], privateAddresses: true };
  await ask(port, 'PUT', '/-/trusts/provider', operatorKey, trust);
  const { app, service } = APPLICATIONS;
  const token = await askIssuer(port, {
    grant_type: 'client_credentials',
    client_id: service.clientId,
    client_secret: PUBLISHED_SECRET,
    scope: 'https://communication.azure.com//.default',
  });
  const body = { token: provider.teamsUserToken(60), appId: app.clientId, userId: USERS[0]?.objectId };
  await ask(port, 'POST', '/teamsUser/:exchangeAccessToken?api-version=2023-10-01', token, body);
}

async function askIssuer(port: number, fields: Record<string, string>): Promise<string> {
  const url = `http://localhost:${port}/adfs/oauth2/v2.0/token`;
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(fields) });
  const { access_token, error_description } = (await response.json()) as Record<string, string>;
  if (access_token === undefined) throw new Error(`no token from the development issuer: ${error_description}`);
  return access_token;
}

async function ask(port: number, method: string, target: string, bearer: string, body: object): Promise<void> {
  const response = await fetch(`http://localhost:${port}${target}`, {
    method,
    headers: { Authorization: `Bearer ${bearer}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
}
