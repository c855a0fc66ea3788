import type { AssignmentId, IdentityId, ResourceId, TokenFacts, TrustId } from '../callers.ts';
import type { RevocationEvent } from '../revocation/event.ts';
import { Groups } from './groups.ts';

/** Something that is open for a token. */
export interface Holder {
  readonly token: TokenFacts;
}

/**
 * What is open, by everything that an event can be about. An event is compared with those that it may concern, and not with
 * all: a node may have ten thousand open, and thousands of identities may be revoked in a second.
 */
export class SessionIndex<H extends Holder> {
  readonly #all = new Set<H>();
  readonly #resources = new Groups<ResourceId, H>();
  readonly #identities = new Groups<IdentityId, H>();
  readonly #assignments = new Groups<AssignmentId, H>();
  readonly #trusts = new Groups<TrustId, H>();
  readonly #signingKeys = new Groups<string, H>();

  get size(): number {
    return this.#all.size;
  }

  add(holder: H): void {
    this.#all.add(holder);
    const { resourceId, identityId, assignmentId, trustId, kid } = holder.token;
    this.#resources.add(resourceId, holder);
    this.#identities.add(identityId, holder);
    this.#signingKeys.add(kid, holder);
    if (assignmentId) this.#assignments.add(assignmentId, holder);
    if (trustId) this.#trusts.add(trustId, holder);
  }

  remove(holder: H): void {
    this.#all.delete(holder);
    const { resourceId, identityId, assignmentId, trustId, kid } = holder.token;
    this.#resources.remove(resourceId, holder);
    this.#identities.remove(identityId, holder);
    this.#signingKeys.remove(kid, holder);
    if (assignmentId) this.#assignments.remove(assignmentId, holder);
    if (trustId) this.#trusts.remove(trustId, holder);
  }

  all(): H[] {
    return [...this.#all];
  }

  /** Those whose token an event is about. Whether it ended the token, its position and time tell. */
  concernedBy(event: RevocationEvent): H[] {
    const mayBe = this.#candidatesFor(event);
    return 'resourceId' in event ? mayBe.filter(({ token }) => isIn(event, token)) : mayBe;
  }

  /** One for each resource and signing key: what holds for one of them holds for all. */
  samples(): H[] {
    const oneOfEach = <Name>(groups: Groups<Name, H>) => groups.names().flatMap((name) => groups.oneOf(name) ?? []);
    return [...oneOfEach(this.#resources), ...oneOfEach(this.#signingKeys)];
  }

  #candidatesFor(event: RevocationEvent): H[] {
    switch (event.kind) {
      case 'identity':
      case 'identityDeleted':
      case 'validFrom':
        return this.#identities.of(event.identityId);
      case 'assignment':
        return this.#assignments.of(event.assignmentId);
      case 'key':
      case 'resource':
        return this.#resources.of(event.resourceId);
      case 'trust':
        return this.#trusts.of(event.trustId);
      case 'signingKey':
        return this.#signingKeys.of(event.kid);
      case 'all':
        return this.all();
    }
  }
}

/** A Teams user has the same id in all resources, and so has an assignment of one user. */
const isIn = (event: Extract<RevocationEvent, { resourceId: ResourceId }>, token: TokenFacts): boolean =>
  event.resourceId === token.resourceId && (event.kind !== 'key' || event.slot === token.keySlot);
