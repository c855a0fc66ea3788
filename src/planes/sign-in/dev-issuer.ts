import { createPublicKey } from 'node:crypto';
import { ServiceError } from '../../errors.ts';
import { digestOf, sameBytes } from '../../lib/bytes.ts';
import type { Clock } from '../../lib/clock.ts';
import { own } from '../../lib/compact-jws.ts';
import { randomId } from '../../lib/random.ts';
import { type SigningKeyMaterial, signJws, type VerifyingKey, verifyingKey, verifyJws } from '../../tokens/jws.ts';
import type { PublishedKey } from '../../tokens/signing-keys.ts';
import { type Application, DIRECTORY_TENANT, USERS, type User } from './directory.ts';
import type { Grant } from './scopes.ts';

interface Parts {
  key: SigningKeyMaterial;
  /** Client secret of the service, password of the users, `IDENTITY_HEADER`. */
  secret: string;
  clock: Clock;
  /** Address of this server, without a trailing slash. */
  origin: string;
}

/** A token with its times, in seconds. */
export interface DevToken {
  readonly jwt: string;
  readonly iat: number;
  readonly exp: number;
}

export const TOKEN_SECONDS = 3600;
const REFRESH_SECONDS = 24 * 3600;
/** No service has this audience, so nobody else takes a refresh token for an access token. */
const REFRESH_AUDIENCE = 'urn:linarite:issuer:refresh';

/**
 * Issues tokens for the dev directory, with the claims of Entra's v2.0 tokens (management-cli-connector, section 6.1). A
 * stand-in for a directory, so that code which signs in can be tried without one; there is none in production mode.
 */
export class DevIssuer {
  readonly secret: string;
  readonly #key: SigningKeyMaterial;
  readonly #verifying: VerifyingKey;
  readonly #clock: Clock;
  readonly #origin: string;

  constructor({ key, secret, clock, origin }: Parts) {
    this.secret = secret;
    this.#key = key;
    this.#verifying = verifyingKey(key.kid, key.alg, createPublicKey(key.privateKey));
    this.#clock = clock;
    this.#origin = origin;
  }

  /** `iss` of the tokens of a server at this address. */
  issuerOf(origin: string): string {
    return `${origin}/${DIRECTORY_TENANT}/v2.0`;
  }

  /** The public key (RFC 7517). */
  keySet(): { keys: PublishedKey[] } {
    const { kid, x5t, alg } = this.#key;
    const { kty = '', n, e } = this.#verifying.publicKey.export({ format: 'jwk' });
    return { keys: [{ kty, n, e, kid, x5t, alg, use: 'sig' }] };
  }

  /** Whether a text is the secret; takes as long whatever differs. */
  matches(text: string): boolean {
    return sameBytes(digestOf(text), digestOf(this.secret));
  }

  applicationToken({ clientId, objectId }: Application, { aud }: Pick<Grant, 'aud'>): Promise<DevToken> {
    return this.#sign({ aud, azp: clientId, idtyp: 'app', oid: objectId, sub: objectId });
  }

  userToken(user: User, clientId: string, { aud, permissions }: Grant): Promise<DevToken> {
    const groups = user.groups.length > 0 ? { groups: user.groups } : {};
    return this.#sign({ aud, azp: clientId, ...personal(user), ...groups, scp: permissions.join(' ') });
  }

  /** Tells the client itself who signed in (OpenID Connect Core, section 2). */
  idToken(user: User, clientId: string): Promise<DevToken> {
    return this.#sign({ aud: clientId, ...personal(user) });
  }

  refreshToken(user: User, clientId: string): Promise<DevToken> {
    return this.#sign(
      { aud: REFRESH_AUDIENCE, azp: clientId, oid: user.objectId, sub: user.objectId },
      REFRESH_SECONDS,
    );
  }

  /** Whom a refresh token of a client stands for. @throws ServiceError `GrantRefused` */
  refreshedUser(token: string, clientId: string): User {
    const payload = this.#payloadOf(token);
    const exp = own(payload, 'exp');
    const valid =
      own(payload, 'aud') === REFRESH_AUDIENCE &&
      own(payload, 'azp') === clientId &&
      typeof exp === 'number' &&
      exp > this.#seconds();
    const user = valid ? USERS.find(({ objectId }) => objectId === own(payload, 'oid')) : undefined;
    if (!user) throw refusedRefresh();
    return user;
  }

  #payloadOf(token: string) {
    try {
      return verifyJws(token, (kid) => (kid === this.#key.kid ? this.#verifying : undefined)).payload;
    } catch (cause) {
      if (cause instanceof ServiceError) throw refusedRefresh();
      throw cause;
    }
  }

  async #sign(claims: object, seconds = TOKEN_SECONDS): Promise<DevToken> {
    const iat = this.#seconds();
    const exp = iat + seconds;
    const jwt = await signJws(this.#key, {
      iss: this.issuerOf(this.#origin),
      iat,
      nbf: iat,
      exp,
      ...claims,
      tid: DIRECTORY_TENANT,
      uti: randomId('base64url'),
      ver: '2.0',
    });
    return { jwt, iat, exp };
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}

const personal = ({ objectId, userName, name }: User) => ({
  name,
  oid: objectId,
  preferred_username: userName,
  sub: objectId,
});

const refusedRefresh = (): ServiceError => new ServiceError('GrantRefused', { values: { grant: 'refresh token' } });
