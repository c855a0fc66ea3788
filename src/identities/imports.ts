import type { IdentityId, OperatorCaller, ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import type { Resources } from '../resources/resources.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { type GivenIdentity, type Identity, importedIdentity } from './identity.ts';
import type { IdentityStore } from './identity-store.ts';

interface Uses {
  db: Database;
  store: IdentityStore;
  revocations: Pick<Revocations, 'positionIn'>;
  resources: Pick<Resources, 'isLivingIn'>;
  clock: Clock;
  events: Pick<Events, 'identitiesImported'>;
}

/** One that was not imported, by its place in the list, and why. */
interface Refused {
  readonly index: number;
  readonly error: ServiceError;
}

/** What became of a list of identities. */
export interface ImportResult {
  readonly imported: number;
  /** There already, as they were given. */
  readonly unchanged: number;
  /** In the order of the list. */
  readonly refused: readonly Refused[];
}

/** What the list says of one id. */
interface Candidate extends Pick<Identity, 'id' | 'customId' | 'createdAtMs'> {
  /** Where it says so: once as a rule. */
  readonly at: number[];
}

/** Of one request, which is one transaction. */
export const IMPORT_MOST = 1000;

/** Takes over identities that keep the ids they have elsewhere. */
export class Imports {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Imports a list of identities: each that can be, whatever is wrong with others. What is there is never changed. An
   * identity that was deleted comes back without the tokens it had.
   * @throws ServiceError `ImportTooLarge`, `ResourceNotFound`; `GrantMissing` when the caller manages other resources only
   */
  async run(caller: OperatorCaller, resourceId: ResourceId, given: readonly GivenIdentity[]): Promise<ImportResult> {
    const { db, clock, events } = this.#uses;
    if (caller.over !== 'everything' && !caller.over.has(resourceId))
      throw new ServiceError('GrantMissing', { reason: 'grant.missing' });
    if (given.length > IMPORT_MOST) throw new ServiceError('ImportTooLarge', { values: { most: IMPORT_MOST } });

    const { candidates, refused } = sorted(given, resourceId, clock.now());
    const { imported, taken } = await db.writer.write(
      (tx) => this.#insert(tx, resourceId, candidates),
      resourceId,
      candidates.length,
    );
    const all = [...refused, ...taken].sort((one, other) => one.index - other.index);
    const result = { imported, unchanged: given.length - imported - all.length, refused: all };
    events.identitiesImported(resourceId, { ...result, refused: all.length });
    return result;
  }

  async #insert(tx: Rows, resourceId: ResourceId, candidates: readonly Candidate[]) {
    const { store, revocations, resources } = this.#uses;
    // First, as everywhere: an event that ends tokens of theirs has its position before, or waits for this turn.
    const position = await revocations.positionIn(tx);
    if (!(await resources.isLivingIn(tx, resourceId))) throw new ServiceError('ResourceNotFound');
    const fresh = await store.insertAll(tx, resourceId, candidates, position);
    const others = candidates.filter(({ id }) => !fresh.has(id));
    const customIds = await store.customIds(
      tx,
      resourceId,
      others.map(({ id }) => id),
    );
    const taken = others.flatMap(({ id, customId, at }): Refused[] => {
      const error = complaintAbout(customId, customIds.get(id));
      return error ? at.map((index) => ({ index, error })) : [];
    });
    return { imported: fresh.size, taken };
  }
}

/** @param existing of the identity that has the id: its custom id, or null; undefined when nobody has the id */
function complaintAbout(customId: string | undefined, existing: string | null | undefined): ServiceError | undefined {
  if (existing === undefined) return new ServiceError('CustomIdTaken');
  return customId === undefined || customId === existing ? undefined : new ServiceError('IdentityDiffers');
}

/** Tells what can be imported from what cannot. Of an id that is there twice the first entry counts. */
function sorted(given: readonly GivenIdentity[], resourceId: ResourceId, nowMs: number) {
  const candidates = new Map<IdentityId, Candidate>();
  const refused: Refused[] = [];
  for (const [index, entry] of given.entries()) {
    try {
      const identity = importedIdentity(entry, resourceId, nowMs);
      const earlier = candidates.get(identity.id);
      const complaint = earlier && complaintAbout(identity.customId, earlier.customId ?? null);
      if (complaint) throw complaint;
      if (earlier) earlier.at.push(index);
      else candidates.set(identity.id, { ...identity, at: [index] });
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      refused.push({ index, error: cause });
    }
  }
  return { candidates: [...candidates.values()], refused };
}
