import type { AssignmentId, PresentedUser, ResourceId, ServiceCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Forgetter } from '../resources/forgetting.ts';
import type { Recording, Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { removeInSteps } from '../storage/steps.ts';
import {
  type Assignment,
  type AssignmentWish,
  admits,
  assignment,
  candidatesFor,
  entraAssignmentId,
  guid,
  narrows,
  type Plane,
  requireFew,
} from './assignment.ts';
import type { AssignmentStore } from './assignment-store.ts';

interface Uses {
  db: Database;
  store: AssignmentStore;
  revocations: Revocations;
  clock: Clock;
}

/** Members of an assignment that change; those that are missing stay as they are, null takes one away (RFC 7396). */
type AssignmentChange = { readonly [Member in keyof AssignmentWish]?: AssignmentWish[Member] | null | undefined };

/** Who of other directories may get access tokens of a resource by themselves. */
export class Assignments {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** @throws ServiceError `AssignmentNotFound` */
  async get(caller: ServiceCaller, id: AssignmentId): Promise<Assignment> {
    const found = await this.#find(caller, id);
    if (!found) throw new ServiceError('AssignmentNotFound');
    return found;
  }

  async has(caller: ServiceCaller, id: AssignmentId): Promise<boolean> {
    return (await this.#find(caller, id)) !== undefined;
  }

  #find({ resourceId }: ServiceCaller, id: AssignmentId): Promise<Assignment | undefined> {
    const { db, store } = this.#uses;
    return store.find(db.rows, resourceId, id);
  }

  /** @returns a page in the order of ids, and what to begin the next one after; undefined when there is none */
  async list(
    { resourceId }: ServiceCaller,
    plane: Plane,
    { size, after }: { size: number; after: AssignmentId | undefined },
  ): Promise<{ page: Assignment[]; next: AssignmentId | undefined }> {
    const { db, store } = this.#uses;
    const found = await store.page(db.rows, resourceId, plane, after, size + 1);
    const page = found.slice(0, size);
    return { page, next: found.length > size ? page.at(-1)?.id : undefined };
  }

  /** Makes an assignment, or replaces the one of that id. What it takes back ends tokens. @returns whether it is new */
  async put(assignment: Assignment): Promise<boolean> {
    const { resourceId } = assignment;
    return this.#uses.revocations.end(
      async (tx, record) =>
        (await this.#writeIn(tx, record, resourceId, [assignment.id], () => assignment)).fresh.length > 0,
      resourceId,
    );
  }

  /** Removes an assignment, and ends the tokens issued by it. Removing what is not there is not an error. */
  async delete({ resourceId }: ServiceCaller, id: AssignmentId): Promise<void> {
    await this.#uses.revocations.end(
      (tx, record) => this.#writeIn(tx, record, resourceId, [id], () => undefined),
      resourceId,
    );
  }

  /**
   * Changes several assignments of Entra users, groups and tenants at once: all of it or nothing.
   * @param changes by object id: members that change; null removes
   * @returns those that were made or changed, as they are now
   * @throws ServiceError `AssignmentInvalid`
   */
  async patch(
    { resourceId }: ServiceCaller,
    changes: ReadonlyMap<string, AssignmentChange | null | undefined>,
  ): Promise<Assignment[]> {
    requireFew(changes.size);
    const byId = new Map([...changes].map(([text, change]) => [guid(text, 'objectId'), change] as const));
    const changed = (id: AssignmentId, former: Assignment | undefined): Assignment | undefined => {
      const objectId = id.slice(entraAssignmentId('').length);
      const change = byId.get(objectId);
      if (!change) return undefined;
      const { tenantId, principalType, clientIds } = { ...former, ...change };
      const wish = { tenantId: tenantId ?? '', principalType: principalType ?? '', clientIds };
      return assignment(resourceId, 'entra', objectId, wish);
    };
    const ids = [...byId.keys()].map(entraAssignmentId);
    const { written } = await this.#uses.revocations.end(
      (tx, record) => this.#writeIn(tx, record, resourceId, ids, changed),
      resourceId,
      ids.length,
    );
    return written;
  }

  /** Removes the assignments of a deleted resource. */
  get forgetter(): Forgetter {
    const { db, store } = this.#uses;
    return {
      name: 'assignments',
      resource: (id, signal) => removeInSteps(db, { turn: id, signal }, (tx, limit) => store.deleteSome(tx, id, limit)),
    };
  }

  /**
   * Finds, within the transaction that issues, the assignment that lets a user in.
   * @throws ServiceError `AssignmentMissing`
   */
  async admitIn(tx: Rows, resourceId: ResourceId, plane: Plane, user: PresentedUser): Promise<AssignmentId> {
    for (const id of candidatesFor(plane, user)) {
      const found = await this.#uses.store.find(tx, resourceId, id);
      if (found && admits(found, user)) return id;
    }
    throw new ServiceError('AssignmentMissing', { reason: 'assignment.missing' });
  }

  /**
   * Writes some assignments of a resource, and ends the tokens of those that are removed or that let fewer in than before.
   * @param next what an assignment is to be, given what it is; undefined removes it
   */
  async #writeIn(
    tx: Rows,
    record: Recording,
    resourceId: ResourceId,
    ids: readonly AssignmentId[],
    next: (id: AssignmentId, former: Assignment | undefined) => Assignment | undefined,
  ): Promise<{ written: Assignment[]; fresh: Assignment[] }> {
    const { store, revocations, clock } = this.#uses;
    const former = await store.findAll(tx, resourceId, ids);
    const written: Assignment[] = [];
    const fresh: Assignment[] = [];
    const narrowed: Assignment[] = [];
    const widened: Assignment[] = [];
    const removed: AssignmentId[] = [];
    for (const id of ids) {
      const was = former.get(id);
      const is = next(id, was);
      if (is) {
        written.push(is);
        (was === undefined ? fresh : narrows(was, is) ? narrowed : widened).push(is);
      } else if (was) removed.push(id);
    }
    const subjects = [...narrowed.map(({ id }) => id), ...removed];
    const events = subjects.map((assignmentId) => ({ kind: 'assignment', resourceId, assignmentId }) as const);
    const ended = events.length > 0 ? await record(...events) : 0;
    // A new one starts where the log is: tokens of one that was removed stay void.
    const position = ended === 0 && fresh.length > 0 ? await revocations.positionIn(tx) : ended;
    const puts = [...fresh, ...narrowed].map((one) => ({ assignment: one, endedSeq: position }));
    await store.putAll(tx, puts, clock.now());
    await store.widenAll(tx, widened);
    await store.delete(tx, resourceId, removed);
    return { written, fresh };
  }
}
