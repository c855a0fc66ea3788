import { ServiceError } from '../../errors.ts';
import { fromBase64 } from '../../lib/bytes.ts';
import { type DevIssuer, TOKEN_SECONDS } from './dev-issuer.ts';
import type { DeviceCodes } from './device-codes.ts';
import { APPLICATIONS, type Application, DIRECTORY_TENANT, USERS, type User } from './directory.ts';
import { applicationGrant, type Grant, userGrant } from './scopes.ts';

/** What clients post; others of their parameters are telemetry. */
export interface TokenRequest {
  readonly grant_type: string;
  readonly client_id?: string | undefined;
  readonly client_secret?: string | undefined;
  /** `1` from MSAL, which wants to be told what it calls `client_info`. */
  readonly client_info?: string | undefined;
  readonly scope?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly refresh_token?: string | undefined;
  readonly device_code?: string | undefined;
}

interface Uses {
  issuer: DevIssuer;
  deviceCodes: DeviceCodes;
  origin: string;
}

type GrantType = (request: TokenRequest, client: Application) => Promise<object>;

/** The grants of RFC 6749, sections 4.3, 4.4 and 6, and of RFC 8628, as MSAL asks for them. */
export class TokenEndpoint {
  readonly #uses: Uses;
  readonly #grantTypes: Readonly<Record<string, GrantType>>;

  constructor(uses: Uses) {
    this.#uses = uses;
    const device: GrantType = (request, client) => this.#redeemDeviceCode(request, client);
    this.#grantTypes = {
      client_credentials: (request, client) => this.#asItself(request, client),
      password: (request, client) => this.#byPassword(request, client),
      refresh_token: (request, client) => this.#refresh(request, client),
      'urn:ietf:params:oauth:grant-type:device_code': device,
      device_code: device, // what MSAL for JavaScript calls it
    };
  }

  get grantTypes(): string[] {
    return Object.keys(this.#grantTypes);
  }

  /**
   * @param authorization the header, for clients that send their secret there (RFC 6749, section 2.3.1)
   * @returns the answer's body
   * @throws ServiceError with a row of OAuth
   */
  async answer(request: TokenRequest, authorization: string | undefined): Promise<object> {
    const { grant_type } = request;
    const grant = Object.hasOwn(this.#grantTypes, grant_type) ? this.#grantTypes[grant_type] : undefined;
    if (!grant) throw new ServiceError('GrantUnsupported', { values: { grants: this.grantTypes.join(', ') } });
    return grant(request, this.clientOf(request, authorization));
  }

  /** Who the client is, with proof where it has a secret. @throws ServiceError `ClientRefused` */
  clientOf(request: Pick<TokenRequest, 'client_id' | 'client_secret'>, authorization: string | undefined): Application {
    const basic = basicCredentials(authorization);
    if (basic && request.client_secret !== undefined) throw new ServiceError('ClientRefused');
    const id = (basic?.id ?? needed(request.client_id, 'client_id')).toLowerCase();
    const secret = basic?.secret ?? request.client_secret;
    const { service, app } = APPLICATIONS;
    if (id === app.clientId && secret === undefined) return app;
    if (id === service.clientId && secret !== undefined && this.#uses.issuer.matches(secret)) return service;
    throw new ServiceError('ClientRefused');
  }

  async #asItself({ scope }: TokenRequest, client: Application): Promise<object> {
    if (client === APPLICATIONS.app) throw new ServiceError('ClientUnauthorized');
    const grant = applicationGrant(needed(scope, 'scope'), this.#uses.origin);
    const { jwt } = await this.#uses.issuer.applicationToken(client, grant);
    return { token_type: 'Bearer', expires_in: TOKEN_SECONDS, ext_expires_in: TOKEN_SECONDS, access_token: jwt };
  }

  async #byPassword(request: TokenRequest, client: Application): Promise<object> {
    const name = needed(request.username, 'username').toLowerCase();
    const user = USERS.find(({ userName }) => userName === name);
    if (!this.#uses.issuer.matches(needed(request.password, 'password')) || !user)
      throw new ServiceError('GrantRefused', { values: { grant: 'user name or password' } });
    return this.#forUser(user, client, this.#wish(request), request);
  }

  async #refresh(request: TokenRequest, client: Application): Promise<object> {
    const user = this.#uses.issuer.refreshedUser(needed(request.refresh_token, 'refresh_token'), client.clientId);
    return this.#forUser(user, client, this.#wish(request), request);
  }

  async #redeemDeviceCode(request: TokenRequest, client: Application): Promise<object> {
    const code = needed(request.device_code, 'device_code');
    const { user, grant } = this.#uses.deviceCodes.redeem(code, client.clientId);
    return this.#forUser(user, client, grant, request);
  }

  #wish({ scope }: TokenRequest): Grant {
    return userGrant(needed(scope, 'scope'), this.#uses.origin);
  }

  async #forUser(user: User, { clientId }: Application, grant: Grant, { client_info }: TokenRequest): Promise<object> {
    const { issuer } = this.#uses;
    const { jwt } = await issuer.userToken(user, clientId, grant);
    return {
      token_type: 'Bearer',
      scope: grant.scope,
      expires_in: TOKEN_SECONDS,
      ext_expires_in: TOKEN_SECONDS,
      access_token: jwt,
      ...(grant.openid && { id_token: (await issuer.idToken(user, clientId)).jwt }),
      ...(grant.offline && { refresh_token: (await issuer.refreshToken(user, clientId)).jwt }),
      // MSAL finds its accounts by it.
      ...(client_info === '1' && { client_info: clientInfo(user) }),
    };
  }
}

const clientInfo = ({ objectId }: User): string =>
  Buffer.from(JSON.stringify({ uid: objectId, utid: DIRECTORY_TENANT })).toString('base64url');

function needed(value: string | undefined, field: string): string {
  if (value === undefined || value === '') throw new ServiceError('FieldMissing', { target: field, values: { field } });
  return value;
}

/** @throws ServiceError `ClientRefused` for a header of another form */
function basicCredentials(header: string | undefined): { id: string; secret: string } | undefined {
  if (header === undefined) return undefined;
  const pair = fromBase64(/^Basic (\S+)$/i.exec(header)?.[1] ?? '')?.toString('utf8') ?? '';
  const [, id, secret] = /^([^:]+):(.+)$/s.exec(pair) ?? [];
  try {
    if (id !== undefined && secret !== undefined)
      return { id: decodeURIComponent(id), secret: decodeURIComponent(secret) };
  } catch {
    // a percent sign that begins no escape: said below
  }
  throw new ServiceError('ClientRefused');
}
