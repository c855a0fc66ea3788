import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import OidcProvider from 'oidc-provider';
import type { TrustId } from '../../src/callers.ts';
import { ForeignTokens } from '../../src/trusts/foreign-tokens.ts';
import { KeySets } from '../../src/trusts/key-sets.ts';
import { type Trust, trustDefinition } from '../../src/trusts/trust.ts';
import { TestClock } from '../harness/server.ts';

// Nothing of this provider is ours: its documents, its key set, and access tokens as RFC 9068 has them.
test('tokens of a certified OpenID provider are accepted for what they were made for', async (t) => {
  const server = http.createServer().listen(0, '127.0.0.1');
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  await once(server, 'listening');
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ed = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const provider = new OidcProvider(origin, {
    jwks: {
      keys: [{ ...rsa, use: 'sig', kid: 'rsa' } as object, { ...ed, use: 'sig', alg: 'EdDSA', kid: 'ed' } as object],
    },
    clients: [
      {
        client_id: 'backend',
        client_secret: 'secret',
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: unknown, resource: string) => ({
          scope: '',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: resource.includes('management') ? 'EdDSA' : 'RS256' } },
        }),
      },
    },
  });
  server.on('request', provider.callback());

  const tokenFor = async (resource: string): Promise<string> => {
    const answer = await fetch(`${origin}/token`, {
      method: 'POST',
      headers: { Authorization: `Basic ${btoa('backend:secret')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource }),
    });
    return ((await answer.json()) as { access_token: string }).access_token;
  };
  const claims = { objectId: 'sub', tenantId: null, applicationId: 'client_id', scopes: 'scope' };
  const wish = { issuers: [origin], algorithms: ['RS256', 'EdDSA'], privateAddresses: true, claims };
  const trust: Trust = {
    id: 'f3a1c9d2-0b6e-4c57-8f42-9d1e7a6b5c40' as TrustId,
    name: 'provider',
    enabled: true,
    version: 1,
    definition: trustDefinition(wish, { plainHttp: true }),
    grants: [],
    createdAtMs: 0,
    changedAtMs: 0,
  };
  const clock = new TestClock();
  const endpoint = 'https://linarite.example';
  const keySets = new KeySets({ clock, endpoint, events: { notice: () => undefined } }, { plainHttp: true });
  const tokens = new ForeignTokens({ trusts: () => [trust], keySets, clock, endpoint });

  const data = await tokenFor('https://communication.azure.com/');
  const management = await tokenFor('https://management.azure.com/');
  const proven = await tokens.verify(data, 'service', 'Denied');
  assert.deepEqual([proven.objectId, proven.applicationId, proven.isApplication], ['backend', 'backend', true]);
  assert.equal((await tokens.verify(management, 'management', 'Denied')).objectId, 'backend');
  for (const [jwt, purpose] of [
    [data, 'management'],
    [management, 'service'],
  ] as const) {
    await assert.rejects(tokens.verify(jwt, purpose, 'Denied'), { reason: 'foreign.audience' });
  }
});
