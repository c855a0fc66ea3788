import type { Caller, EntraUserCaller, Nobody, OperatorCaller, ProvenUser, ServiceCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import { bearerToken, isBearer } from './credentials.ts';
import type { Dialect } from './dialect.ts';
import { hostOf, type SignatureVerifier } from './hmac.ts';
import { isLocal } from './peer.ts';
import type { Access, Route } from './route.ts';
import { type Match, queryOf } from './routes.ts';
import type { WireRequest } from './wire.ts';

/** Those who know callers by what they present. */
export interface CallerSources {
  signatures: SignatureVerifier;
  /** Verifies a user's token. @param host host name without port, which may name the resource. @throws ServiceError `TokenRefused` */
  userOf: (jwt: string, host: string) => Promise<ProvenUser>;
  /** The same for a ticket, which is used up by it. */
  userOfTicket: (ticket: string, purpose: string, host: string) => Promise<ProvenUser>;
  isOperator: (secret: string) => boolean;
  principals: Principals;
  /** Insists that what this node knows of keys is current. @throws ServiceError `NotFresh` */
  requireFresh: () => Promise<void>;
}

/**
 * Those who come with a token of a trusted issuer. All of these throw ServiceError: `Denied` or `InvalidAccessToken` for a
 * token that is not good, `GrantMissing` when nothing permits what is asked, `ProviderUnavailable`.
 */
interface Principals {
  /** @param host host name without port, which may name the resource. @param reads whether nothing will be changed */
  serviceOf(jwt: string, host: string, reads: boolean): Promise<ServiceCaller>;
  operatorOf(jwt: string, reads: boolean): Promise<OperatorCaller>;
  entraUserOf(jwt: string, purpose: 'entraUser' | 'teamsExtension', host: string): Promise<EntraUserCaller>;
}

/** Who is asking, and how they proved it. */
export interface ProvenCaller {
  readonly caller: Caller;
  /** The caller of a route for users. */
  readonly user?: ProvenUser;
  /** The hash that the body must have, when the caller signed one. */
  readonly bodyHash?: Buffer | undefined;
  /** Whether the proof is the published key, accepted from everywhere. */
  readonly exposed?: boolean;
}

export const NOBODY: Nobody = { kind: 'nobody' };

/** Finds out who is asking, in the way that a route names. */
export class Authentication {
  readonly #uses: CallerSources;

  constructor(uses: CallerSources) {
    this.#uses = uses;
  }

  /** @throws ServiceError `Denied`, `TokenRefused`, `InvalidAccessToken`, `GrantMissing`, `NotFresh`, `ProviderUnavailable` */
  async callerOf(request: WireRequest, { api, route }: Match): Promise<ProvenCaller> {
    const { signatures, requireFresh } = this.#uses;
    const { access } = route;
    if (access.caller === 'nobody') {
      if (access.from === 'loopback' && !isLocal(request))
        throw new ServiceError('Denied', { reason: 'issuer.loopbackOnly' });
      return { caller: NOBODY };
    }
    if (access.caller === 'user') {
      const user = await this.#userOf(request, access, api.dialect);
      return { caller: user.caller, user };
    }
    if (access.caller !== 'operator' && access.caller !== 'entraUser' && !isBearer(request)) {
      await requireFresh(); // a node that was cut off may still know keys that were replaced, and not know the new ones
      return signatures.verify(request);
    }
    return { caller: await this.#bearer(request, route, access) };
  }

  /** By their token; by a ticket where the route takes one, and there is no token. */
  #userOf(
    request: WireRequest,
    { ticket }: Extract<Access, { caller: 'user' }>,
    dialect: Dialect,
  ): Promise<ProvenUser> {
    const { userOf, userOfTicket } = this.#uses;
    const host = hostOf(request);
    if (ticket && request.header('authorization').length === 0) {
      const search = queryOf(request.target);
      const [value, ...more] = search.getAll(ticket.parameter);
      if (value !== undefined && more.length === 0) return userOfTicket(value, ticket.purpose, host);
    }
    return userOf(dialect.userToken(request), host);
  }

  /** The caller behind a Bearer token that is not a user's of ours: the operator, or somebody whom a trust lets in. */
  async #bearer(
    request: WireRequest,
    route: Route,
    access: Exclude<Access, { caller: 'nobody' | 'user' }>,
  ): Promise<ServiceCaller | OperatorCaller | EntraUserCaller> {
    const { isOperator, principals, requireFresh } = this.#uses;
    const token = bearerToken(request, access.caller === 'entraUser' ? 'InvalidAccessToken' : 'Denied');
    const forOperators = access.caller === 'operator' || access.caller === 'serviceOrOperator';
    if (forOperators && isOperator(token)) return { kind: 'operator', over: 'everything' };
    // Every token of an issuer has dots in it. The operator's key is told apart so that a wrong one is called by its name.
    if (forOperators && !token.includes('.')) throw new ServiceError('Denied', { reason: 'operatorKey.wrong' });
    await requireFresh();
    const host = hostOf(request);
    if (access.caller === 'entraUser') return principals.entraUserOf(token, access.purpose, host);
    if (access.caller === 'operator') return principals.operatorOf(token, readsOnly(route));
    return principals.serviceOf(token, host, readsOnly(route));
  }
}

/** Whether a route changes nothing. */
const readsOnly = ({ at, reads }: Route): boolean => reads ?? /^(?:GET|HEAD) /.test(at);
