import type { AssignmentId, PresentedUser, ResourceId, ServiceCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Recording, Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
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
  async get({ resourceId }: ServiceCaller, id: AssignmentId): Promise<Assignment> {
    const { db, store } = this.#uses;
    const found = await store.find(db.rows, resourceId, id);
    if (!found) throw new ServiceError('AssignmentNotFound');
    return found;
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
    return this.#uses.revocations.end((tx, record) => this.#putIn(tx, record, assignment), assignment.resourceId);
  }

  /** Removes an assignment, and ends the tokens issued by it. Removing what is not there is not an error. */
  async delete({ resourceId }: ServiceCaller, id: AssignmentId): Promise<void> {
    await this.#uses.revocations.end((tx, record) => this.#deleteIn(tx, record, resourceId, id), resourceId);
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
    const { store, revocations } = this.#uses;
    requireFew(changes.size);
    return revocations.end(async (tx, record) => {
      const changed: Assignment[] = [];
      for (const [objectId, change] of changes) {
        const id = entraAssignmentId(guid(objectId, 'objectId'));
        if (!change) {
          await this.#deleteIn(tx, record, resourceId, id);
          continue;
        }
        const former = await store.find(tx, resourceId, id);
        const { tenantId, principalType, clientIds } = { ...former, ...change };
        const wish = { tenantId: tenantId ?? '', principalType: principalType ?? '', clientIds };
        const next = assignment(resourceId, 'entra', objectId, wish);
        await this.#putIn(tx, record, next);
        changed.push(next);
      }
      return changed;
    }, resourceId);
  }

  /** Removes every assignment of a deleted resource. */
  async removeAllOf(resourceId: ResourceId): Promise<void> {
    const { db, store } = this.#uses;
    await db.writer.write((tx) => store.deleteAll(tx, resourceId), resourceId);
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

  async #deleteIn(tx: Rows, record: Recording, resourceId: ResourceId, id: AssignmentId): Promise<void> {
    const { store } = this.#uses;
    if (!(await store.find(tx, resourceId, id))) return;
    await record({ kind: 'assignment', resourceId, assignmentId: id });
    await store.delete(tx, resourceId, id);
  }

  async #putIn(tx: Rows, record: Recording, next: Assignment): Promise<boolean> {
    const { store, revocations, clock } = this.#uses;
    const { resourceId, id: assignmentId } = next;
    const former = await store.find(tx, resourceId, assignmentId);
    if (former && !narrows(former, next)) {
      await store.widen(tx, next);
      return false;
    }
    // A new one starts where the log is: tokens of one that was removed stay void.
    const endedSeq = former
      ? await record({ kind: 'assignment', resourceId, assignmentId })
      : await revocations.positionIn(tx);
    await store.put(tx, next, endedSeq, clock.now());
    return former === undefined;
  }
}
