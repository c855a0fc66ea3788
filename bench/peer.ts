// A process of its own: oidc-provider, as a service gets JWT access tokens from it by client credentials.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

const { alg, jwk, secret } = JSON.parse(process.env.BENCH_PEER ?? '{}');
const ISSUER = 'http://localhost';
const AUDIENCE = 'urn:linarite:bench';
const DAY_SECONDS = 86_400;

const provider = new Provider(ISSUER, {
  jwks: { keys: [{ ...jwk, alg, use: 'sig', kid: 'bench' }] },
  clients: [
    {
      client_id: 'bench',
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: alg,
    },
  ],
  scopes: ['chat', 'voip'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      getResourceServerInfo: () => ({
        scope: 'chat voip',
        audience: AUDIENCE,
        accessTokenTTL: DAY_SECONDS,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg } },
      }),
    },
  },
});

const server = createServer({ keepAliveTimeout: 65_000 }, provider.callback());
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`));
