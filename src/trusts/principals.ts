import type {
  EntraUserCaller,
  OperatorCaller,
  PresentedUser,
  ResourceId,
  ServiceCaller,
  TrustCredential,
} from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Resources } from '../resources/resources.ts';
import type { ForeignToken } from './foreign-token.ts';
import type { ForeignTokens } from './foreign-tokens.ts';
import type { Grant, Purpose, Right, Trust } from './trust.ts';

interface Uses {
  tokens: Pick<ForeignTokens, 'verify'>;
  resources: Pick<Resources, 'list' | 'has' | 'namedBy'>;
}

interface Options {
  /** The resource that is meant when neither the host nor the grants tell; undefined: then nobody is let in. */
  usualResource: ResourceId | undefined;
}

/** Turns verified tokens of trusted issuers into callers: who may do what, by the grants of the trust. */
export class Principals {
  readonly #uses: Uses;
  readonly #options: Options;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /**
   * A caller for the data plane.
   * @param host host name without port; where it names a resource, that one is meant
   * @param reads whether nothing will be changed
   * @throws ServiceError `Denied`, `GrantMissing`, `ProviderUnavailable`
   */
  async serviceOf(jwt: string, host: string, reads: boolean): Promise<ServiceCaller> {
    const token = await this.#uses.tokens.verify(jwt, 'service', 'Denied');
    const granted = grantsOf(token, reads ? ['data', 'read'] : ['data']).map(({ resource }) => resource);
    if (granted.length === 0) throw notGranted(token);
    const resourceId = this.#resourceFor(host, granted);
    if (!granted.includes('*') && !granted.includes(resourceId)) throw notGranted(token);
    return { kind: 'service', resourceId, credential: credentialOf(token.trust) };
  }

  /** A caller for the management plane. @throws ServiceError `Denied`, `GrantMissing`, `ProviderUnavailable` */
  async operatorOf(jwt: string, reads: boolean): Promise<OperatorCaller> {
    const token = await this.#uses.tokens.verify(jwt, 'management', 'Denied');
    const granted = grantsOf(token, reads ? ['management', 'read'] : ['management']).map(({ resource }) => resource);
    if (granted.length === 0) throw notGranted(token);
    const some = new Set(granted.flatMap((resource) => (resource === '*' ? [] : [resource])));
    return {
      kind: 'operator',
      over: granted.includes('*') ? 'everything' : some,
      credential: credentialOf(token.trust),
    };
  }

  /** A user who asks a resource for a token. @throws ServiceError `InvalidAccessToken`, `ProviderUnavailable` */
  async entraUserOf(jwt: string, purpose: 'entraUser' | 'teamsExtension', host: string): Promise<EntraUserCaller> {
    const user = await this.userOf(jwt, purpose);
    return { kind: 'entraUser', resourceId: this.#resourceFor(host, ['*']), user };
  }

  /** A user of another directory, by a token made for that purpose. @throws ServiceError `InvalidAccessToken`, `ProviderUnavailable` */
  async userOf(jwt: string, purpose: Exclude<Purpose, 'service' | 'management'>): Promise<PresentedUser> {
    const token = await this.#uses.tokens.verify(jwt, purpose, 'InvalidAccessToken');
    const { trust, tenantId = '', objectId, applicationId = '', scopes, groups, tokenId } = token;
    return {
      credential: credentialOf(trust),
      tenantId,
      objectId: objectId.toLowerCase(),
      applicationId,
      permissions: scopes,
      groups,
      issuedAtSeconds: token.issuedAtSeconds,
      expSeconds: token.expSeconds,
      tokenId,
    };
  }

  /**
   * The resource that a request is about: the one that the host names, or the only one that it can be.
   * @throws ServiceError `Denied` with reason `resource.unnamed`
   */
  #resourceFor(host: string, granted: readonly (ResourceId | '*')[]): ResourceId {
    const { resources } = this.#uses;
    const { usualResource } = this.#options;
    const named = resources.namedBy(host);
    if (named) return named.resource.id;
    const all = resources.list().map(({ id }) => id);
    const possible = granted.includes('*') ? all : all.filter((id) => granted.includes(id));
    const [only, ...others] = possible;
    if (only !== undefined && others.length === 0) return only;
    if (usualResource !== undefined && possible.includes(usualResource)) return usualResource;
    throw new ServiceError('Denied', { reason: 'resource.unnamed' });
  }
}

const credentialOf = ({ id, version }: Trust): TrustCredential => ({ kind: 'trust', trustId: id, version });

/** What of the trust's grants is about the principal that a token names, and gives one of the rights. */
const grantsOf = (token: ForeignToken, rights: readonly Right[]): Grant[] =>
  token.trust.grants.filter((grant) => rights.includes(grant.right) && isMeant(grant.principal, token));

function isMeant({ kind, value }: Grant['principal'], token: ForeignToken): boolean {
  const { objectId, applicationId, roles, isApplication } = token;
  switch (kind) {
    case 'objectId':
      return value.toLowerCase() === objectId.toLowerCase();
    case 'applicationId':
      return isApplication && value.toLowerCase() === applicationId?.toLowerCase();
    case 'role':
      return roles.includes(value);
  }
}

const notGranted = ({ trust, objectId }: ForeignToken): ServiceError =>
  new ServiceError('GrantMissing', {
    reason: 'grant.missing',
    detail: `trust ${trust.name}, object ${objectId.slice(0, 64)}`,
  });
