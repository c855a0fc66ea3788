import { randomUUID } from 'node:crypto';
import type { ResourceId, TrustId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { echo } from '../lib/echo.ts';
import type { Resources } from '../resources/resources.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import {
  type Grant,
  grant,
  narrows,
  type Trust,
  type TrustDefinition,
  type TrustWish,
  trustDefinition,
  trustName,
} from './trust.ts';
import type { TrustStore } from './trust-store.ts';

interface Uses {
  db: Database;
  store: TrustStore;
  revocations: Revocations;
  resources: Resources;
  clock: Clock;
}

interface Options {
  /** Whether providers at private addresses may be reached without TLS. */
  plainHttp: boolean;
}

/** A grant as somebody writes it down. */
export interface GrantWish {
  principal: { kind: string; value: string };
  right: string;
  /** Name or id of a resource, or `*`. */
  resource: string;
}

/** The trusts of this server. All of them are kept in memory; a change on any node makes every node read them again. */
export class Trusts {
  readonly #uses: Uses;
  readonly #options: Options;
  #byName: ReadonlyMap<string, Trust> = new Map();
  #enabled: readonly Trust[] = [];
  #reading: Promise<void> = Promise.resolve();

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    uses.revocations.onConfigChanged(() => this.reload());
  }

  /** Reads all trusts. One reading at a time: the last to end must be the last to begin. */
  reload(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read());
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { db, store } = this.#uses;
    const trusts = await store.all(db.rows);
    this.#byName = new Map(trusts.map((trust) => [trust.name, trust]));
    this.#enabled = trusts.filter(({ enabled }) => enabled);
  }

  list(): Trust[] {
    return [...this.#byName.values()];
  }

  /** Those through which anybody comes in now. */
  enabled(): readonly Trust[] {
    return this.#enabled;
  }

  /** @throws ServiceError `TrustNotFound` */
  get(name: string): Trust {
    const found = this.#byName.get(name.toLowerCase());
    if (!found) throw new ServiceError('TrustNotFound', { values: { name: echo(name) } });
    return found;
  }

  /**
   * Makes a trust, or changes what the one of that name accepts. A change that takes something back ends the tokens that
   * were issued through it.
   * @param enabled undefined leaves it as it is; a new trust is enabled
   * @returns the trust, and whether it is new
   * @throws ServiceError `TrustInvalid`
   */
  async put(name: string, wish: TrustWish, enabled?: boolean): Promise<{ trust: Trust; fresh: boolean }> {
    const key = trustName(name);
    const definition = trustDefinition(wish, this.#options);
    const fresh = !(await this.#change(key, (trust) => ({ definition, enabled: enabled ?? trust.enabled })));
    if (fresh) await this.#create(key, definition, enabled ?? true);
    return { trust: this.get(key), fresh };
  }

  /** Lets nobody in any more, and ends the tokens issued through it; or lets them in again. @throws ServiceError `TrustNotFound` */
  async setEnabled(name: string, enabled: boolean): Promise<Trust> {
    if (!(await this.#change(name.toLowerCase(), () => ({ enabled })))) throw absent(name);
    return this.get(name);
  }

  /** Forgets a trust and ends the tokens issued through it. @returns false when it was not there */
  async delete(name: string): Promise<boolean> {
    const { store, revocations } = this.#uses;
    const deleted = await revocations.end(async (tx, record) => {
      const trust = await this.#lock(tx, name.toLowerCase());
      if (!trust) return false;
      await record({ kind: 'trust', trustId: trust.id });
      await store.delete(tx, trust.id);
      return true;
    });
    await this.reload();
    return deleted;
  }

  /**
   * Lets a principal do something, under a name to take it back by. Tokens issued at its request live on when it is taken
   * back; disabling the trust ends them.
   * @throws ServiceError `TrustNotFound`, `TrustInvalid`, `ResourceNotFound`
   */
  async putGrant(trustName: string, name: string, wish: GrantWish): Promise<{ grant: Grant; fresh: boolean }> {
    const { definition } = this.get(trustName);
    const made = grant(name, { ...wish, resource: this.#resourceId(wish.resource) }, definition);
    const fresh = await this.#changeGrants(trustName, async (tx, trust) => {
      await this.#uses.store.putGrant(tx, trust.id, made);
      return !trust.grants.some((former) => former.name === made.name);
    });
    return { grant: made, fresh };
  }

  /** @returns false when it was not there. @throws ServiceError `TrustNotFound` */
  deleteGrant(trustName: string, name: string): Promise<boolean> {
    return this.#changeGrants(trustName, async (tx, trust) => {
      await this.#uses.store.deleteGrant(tx, trust.id, name.toLowerCase());
      return trust.grants.some((former) => former.name === name.toLowerCase());
    });
  }

  #resourceId(text: string): ResourceId | '*' {
    if (text === '*') return '*';
    const wanted = text.toLowerCase();
    const found = this.#uses.resources.list().find(({ id, name }) => id === wanted || name === wanted);
    if (!found) throw new ServiceError('ResourceNotFound');
    return found.id;
  }

  async #create(name: string, definition: TrustDefinition, enabled: boolean): Promise<void> {
    const { db, store, revocations, clock } = this.#uses;
    const now = clock.now();
    const id = randomUUID() as TrustId;
    await db.writer.write(async (tx) => {
      if (await this.#lock(tx, name))
        throw new ServiceError('TrustInvalid', {
          target: 'name',
          values: { why: 'another request has just created a trust with that name' },
        });
      const position = await revocations.positionIn(tx);
      const trust = { id, name, enabled, version: 1, definition, grants: [], createdAtMs: now, changedAtMs: now };
      await store.insert(tx, trust, position);
    });
    await this.reload();
  }

  /** @returns false when there is no such trust */
  async #change(
    name: string,
    changes: (trust: Trust) => Partial<Pick<Trust, 'definition' | 'enabled'>>,
  ): Promise<boolean> {
    const { store, revocations, clock } = this.#uses;
    const found = await revocations.end(async (tx, record) => {
      const former = await this.#lock(tx, name);
      if (!former) return false;
      const next = { ...former, ...changes(former), changedAtMs: clock.now() };
      const ends = (former.enabled && !next.enabled) || narrows(former.definition, next.definition);
      const endedSeq = ends ? await record({ kind: 'trust', trustId: former.id }) : undefined;
      await store.update(tx, { ...next, version: former.version + Number(ends) }, endedSeq);
      return true;
    });
    await this.reload();
    return found;
  }

  /** Every change of the grants makes a new version: nobody acts by one that is being taken back. */
  async #changeGrants(name: string, work: (tx: Rows, trust: Trust) => Promise<boolean>): Promise<boolean> {
    const { db, store, clock } = this.#uses;
    const result = await db.writer.write(async (tx) => {
      const trust = await this.#lock(tx, name.toLowerCase());
      if (!trust) throw absent(name);
      const result = await work(tx, trust);
      await store.update(tx, { ...trust, version: trust.version + 1, changedAtMs: clock.now() }, undefined);
      return result;
    });
    await this.reload();
    return result;
  }

  /** Reads a trust that is about to be changed. Announcing comes first: it makes whoever changes one meanwhile wait. */
  async #lock(tx: Rows, name: string): Promise<Trust | undefined> {
    const { store, revocations } = this.#uses;
    await revocations.announceConfig(tx);
    return (await store.all(tx)).find((trust) => trust.name === name);
  }
}

const absent = (name: string): ServiceError => new ServiceError('TrustNotFound', { values: { name: echo(name) } });
