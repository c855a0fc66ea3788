import { ServiceError } from '../../errors.ts';
import { type From, ok, type Reply, type Route, route } from '../../http/route.ts';
import { int32, listOf, maybe, object, type Shape, secret, text } from '../../http/schema.ts';
import { echo } from '../../lib/echo.ts';
import type { DevIssuer } from './dev-issuer.ts';
import { DEVICE_CODE_SECONDS, type DeviceCodes } from './device-codes.ts';
import { deviceDone, deviceForm, PAGE_HEADERS } from './device-page.ts';
import { DIRECTORY_TENANT, USERS } from './directory.ts';
import { managedIdentityToken } from './managed-identity.ts';
import { operatorToken } from './operator-routes.ts';
import { userGrant } from './scopes.ts';
import type { TokenEndpoint, TokenRequest } from './token-endpoint.ts';

export interface IssuerParts {
  issuer: DevIssuer;
  endpoint: TokenEndpoint;
  deviceCodes: DeviceCodes;
}

interface IssuerContext {
  /** Address of this server, without a trailing slash. */
  origin: string;
  isOperator: (secret: string) => boolean;
  /** Where the published key is taken from; `off` when secrets are random. */
  wellKnownKey: 'loopback' | 'off' | 'everywhere';
}

const DiscoveryShape = object({
  issuer: text(),
  authorization_endpoint: text(),
  token_endpoint: text(),
  device_authorization_endpoint: text(),
  jwks_uri: text(),
});

const TokenBody = object({
  grant_type: text(),
  client_id: maybe(text()),
  client_secret: maybe(secret()),
  client_info: maybe(text()),
  scope: maybe(text()),
  username: maybe(text()),
  password: maybe(secret()),
  refresh_token: maybe(secret()),
  device_code: maybe(secret()),
});

const TokenShape = object({
  token_type: text(),
  expires_in: int32(),
  access_token: secret(),
  scope: maybe(text()),
  refresh_token: maybe(secret()),
  id_token: maybe(secret()),
});

const ManagedShape = object({
  access_token: secret(),
  client_id: text(),
  expires_on: text(),
  resource: text(),
  token_type: text(),
});

const DeviceCodeBody = object({ client_id: text(), client_secret: maybe(secret()), scope: text() });
const DeviceCodeShape = object({
  device_code: secret(),
  user_code: text(),
  verification_uri: text(),
  expires_in: int32(),
  interval: int32(),
});

const DeviceAnswerBody = object({ user_code: text(), user: maybe(text()), answer: text() });
const ResourceBody = object({ resource: text() });

/** What the flavours of the managed-identity endpoint are asked. */
const IDENTITY_QUERY = {
  'api-version': text(),
  resource: text({ description: 'The audience of the token.' }),
  client_id: text(),
  object_id: text(),
  principal_id: text(),
  mi_res_id: text(),
  msi_res_id: text(),
};

/** How often a device asks. Short, since the person who answers sits in front of the same machine. */
const POLL_SECONDS = 1;
const DEVICE_PAGE = '/-/devicelogin';

/** Names under which clients look for a directory: its id, those that leave the directory open, and ADFS's. */
const TENANTS = [DIRECTORY_TENANT, 'adfs', 'common', 'organizations'];

function requireTenant(tenant: string): void {
  if (!TENANTS.includes(tenant.toLowerCase()))
    throw new ServiceError('TenantUnknown', { values: { tenant: echo(tenant), known: DIRECTORY_TENANT } });
}

/**
 * The development issuer on the wire: what `@azure/identity` and MSAL call (management-cli-connector, section 6.2). MSAL asks
 * Microsoft about every authority but those whose tenant is called `adfs`, so that name stands for the directory too.
 */
export function issuerRoutes(parts: IssuerParts, { origin, isOperator, wellKnownKey }: IssuerContext): Route[] {
  /** What takes the published secret goes no further than the secret may; what takes none stays on this machine. */
  const bySecret: From = wellKnownKey === 'loopback' ? 'loopback' : 'anywhere';
  const withoutSecret: From = wellKnownKey === 'everywhere' ? 'anywhere' : 'loopback';

  const discovery = (tenant: string): object => {
    requireTenant(tenant);
    const authority = `${origin}/${tenant.toLowerCase() === 'adfs' ? 'adfs' : DIRECTORY_TENANT}`;
    return {
      issuer: parts.issuer.issuerOf(origin),
      authorization_endpoint: `${authority}/oauth2/v2.0/authorize`, // MSAL takes no authority without one
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      device_authorization_endpoint: `${authority}/oauth2/v2.0/devicecode`,
      jwks_uri: `${authority}/discovery/v2.0/keys`,
      grant_types_supported: parts.endpoint.grantTypes,
      response_types_supported: ['none'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
      tenant: DIRECTORY_TENANT,
    };
  };

  const token = {
    access: { caller: 'nobody', from: bySecret },
    body: { schema: TokenBody, kind: 'form' },
    answers: { 200: TokenShape },
  } as const;
  const issue = async (tenant: string, body: TokenRequest, authorization: string | undefined): Promise<Reply> => {
    const asOperator = operatorToken(tenant, body, isOperator);
    if (asOperator) return asOperator;
    requireTenant(tenant);
    return ok(await parts.endpoint.answer(body, authorization));
  };

  const deviceCode = {
    access: { caller: 'nobody', from: withoutSecret },
    body: { schema: DeviceCodeBody, kind: 'form' },
    answers: { 200: DeviceCodeShape },
  } as const;
  const startDevice = (
    tenant: string,
    body: Shape<typeof DeviceCodeBody>,
    authorization: string | undefined,
  ): Reply => {
    requireTenant(tenant);
    const { clientId } = parts.endpoint.clientOf(body, authorization);
    const { deviceCode, userCode } = parts.deviceCodes.start(clientId, userGrant(body.scope, origin));
    const address = `${origin}${DEVICE_PAGE}`;
    return ok({
      device_code: deviceCode,
      user_code: userCode,
      verification_uri: address,
      verification_uri_complete: `${address}?user_code=${userCode}`,
      expires_in: DEVICE_CODE_SECONDS,
      interval: POLL_SECONDS,
      message: `To sign in, open ${address} and enter the code ${userCode}.`,
    });
  };

  return [
    ...(['/{tenant}/v2.0', '/{tenant}'] as const).map((authority) =>
      route({
        operation: authority === '/{tenant}' ? 'getAuthorityDiscovery' : 'getIssuerDiscovery',
        summary: 'Names the endpoints and the keys of the development issuer (OpenID Connect Discovery 1.0).',
        at: `GET ${authority}/.well-known/openid-configuration`,
        access: { caller: 'nobody', from: bySecret },
        answers: { 200: DiscoveryShape },
        handle: ({ path }) => ok(discovery(path.tenant)),
      }),
    ),
    route({
      operation: 'getIssuerKeys',
      summary: 'The public key that tokens of the development issuer are verified with (RFC 7517).',
      at: 'GET /{tenant}/discovery/v2.0/keys',
      access: { caller: 'nobody', from: bySecret },
      answers: { 200: object({ keys: listOf(object({})) }) },
      handle({ path }) {
        requireTenant(path.tenant);
        return ok(parts.issuer.keySet());
      },
    }),
    route({
      operation: 'issueDirectoryToken',
      summary:
        'Gives tokens of the dev directory to its applications and users (RFC 6749, RFC 8628). With the operator key as the client secret it signs the operator in, under `adfs` or any GUID as the tenant.',
      at: 'POST /{tenant}/oauth2/v2.0/token',
      ...token,
      handle: ({ path, header, body }) => issue(path.tenant, body, header('authorization')),
    }),
    route({
      operation: 'issueTenantToken',
      summary:
        'Does the same as issueDirectoryToken, at the path of HashiCorp’s client. That client appends the tenant to the sign-in address, which ends in `adfs`.',
      at: 'POST /adfs/{tenant}/oauth2/v2.0/token',
      ...token,
      handle: ({ path, header, body }) => issue(path.tenant, body, header('authorization')),
    }),
    route({
      operation: 'issueAdfsToken',
      summary: 'Does the same as issueDirectoryToken, at the path that MSAL for Java uses under `adfs`.',
      at: 'POST /adfs/oauth2/token',
      ...token,
      handle: ({ header, body }) => issue('adfs', body, header('authorization')),
    }),
    route({
      operation: 'startDeviceSignIn',
      summary: 'Gives a device a code. A person enters it on another device to sign the first one in (RFC 8628).',
      at: 'POST /{tenant}/oauth2/v2.0/devicecode',
      ...deviceCode,
      handle: ({ path, header, body }) => startDevice(path.tenant, body, header('authorization')),
    }),
    route({
      operation: 'startAdfsDeviceSignIn',
      summary: 'Does the same as startDeviceSignIn, at the path that MSAL for Java uses under `adfs`.',
      at: 'POST /adfs/oauth2/devicecode',
      ...deviceCode,
      handle: ({ header, body }) => startDevice('adfs', body, header('authorization')),
    }),
    route({
      operation: 'getUserRealm',
      summary:
        'Says that users sign in at this server. MSAL for Java and .NET ask for this before they send a password.',
      at: 'GET /common/userrealm/{user}',
      access: { caller: 'nobody', from: bySecret },
      answers: { 200: object({ account_type: text() }) },
      handle: () => ok({ ver: '1.0', account_type: 'Managed', domain_name: 'dev.linarite.test' }),
    }),
    route({
      operation: 'showDeviceSignIn',
      summary: 'Shows the page on which a person picks a test user for a device.',
      at: `GET ${DEVICE_PAGE}`,
      access: { caller: 'nobody', from: withoutSecret, pages: 'own' },
      query: { user_code: text({ description: 'The code that the page shows in its field.' }) },
      answers: { 200: 'text' },
      handle: ({ query }) => page(200, deviceForm(query.user_code ?? '')),
    }),
    route({
      operation: 'answerDeviceSignIn',
      summary: 'Receives the answer that a person gave on the page of showDeviceSignIn.',
      at: `POST ${DEVICE_PAGE}`,
      access: { caller: 'nobody', from: withoutSecret, pages: 'own' },
      body: { schema: DeviceAnswerBody, kind: 'form' },
      answers: { 200: 'text' },
      handle({ body }) {
        const allowed = body.answer === 'allow';
        const answer = allowed ? USERS.find(({ objectId }) => objectId === body.user) : 'declined';
        if (answer === undefined) return page(400, deviceForm(body.user_code, 'Pick one of the users.'));
        if (!parts.deviceCodes.answer(body.user_code, answer))
          return page(400, deviceForm(body.user_code, 'No device waits for that code.'));
        return page(200, deviceDone(allowed));
      },
    }),

    route({
      operation: 'getManagedIdentityToken',
      summary:
        'Gives a token for the managed identity, as App Service does, to callers that send the `IDENTITY_HEADER`.',
      at: 'GET /msi/token',
      access: { caller: 'nobody', from: bySecret },
      query: IDENTITY_QUERY,
      answers: { 200: ManagedShape },
      async handle({ query, header }) {
        if (!parts.issuer.matches(header('x-identity-header') ?? '')) throw new ServiceError('IdentityHeaderWrong');
        if (query['api-version'] !== '2019-08-01')
          throw new ServiceError('MetadataVersionInvalid', { values: { versions: '2019-08-01' } });
        return ok(await managedIdentityToken(parts.issuer, query, origin));
      },
    }),
    route({
      operation: 'getCloudShellToken',
      summary: 'Gives a token for the managed identity, as Cloud Shell does, to programs on this machine.',
      at: 'POST /msi/token',
      access: { caller: 'nobody', from: withoutSecret },
      body: { schema: ResourceBody, kind: 'form' },
      answers: { 200: ManagedShape },
      async handle({ body, header }) {
        requireMetadata(header('metadata'));
        return ok(await managedIdentityToken(parts.issuer, body, origin));
      },
    }),
    // Clients of `@azure/identity` end the path with a slash.
    ...(['', '/'] as const).map((end) =>
      route({
        operation: end === '' ? 'getInstanceToken' : 'getInstanceTokenBySlash',
        summary:
          'Gives a token for the managed identity, as the metadata service of virtual machines does, to programs on this machine.',
        at: `GET /metadata/identity/oauth2/token${end}`,
        access: { caller: 'nobody', from: withoutSecret },
        query: IDENTITY_QUERY,
        answers: { 200: ManagedShape },
        async handle({ query, header }) {
          requireMetadata(header('metadata'));
          if (!/^\d{4}-\d\d-\d\d$/.test(query['api-version'] ?? ''))
            throw new ServiceError('MetadataVersionInvalid', { values: { versions: 'a date such as 2018-02-01' } });
          return ok(await managedIdentityToken(parts.issuer, query, origin));
        },
      }),
    ),
  ];
}

const page = (status: number, body: string): Reply => ({
  status,
  body,
  contentType: 'text/html; charset=utf-8',
  headers: PAGE_HEADERS,
});

/** A header that no page of another origin can send, and no address that somebody was made to call. */
function requireMetadata(header: string | undefined): void {
  if (header?.toLowerCase() !== 'true') throw new ServiceError('MetadataHeaderMissing');
}
