import { randomUUID } from 'node:crypto';
import type { ResourceId, TrustId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { echo } from '../lib/echo.ts';
import type { Resources } from '../resources/resources.ts';
import type { Recording, Revocations } from '../revocation/revocations.ts';
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
    const fresh = await this.#change(key, async (tx, former, record) => {
      if (former) await this.#update(tx, former, { definition, enabled: enabled ?? former.enabled }, record);
      else await this.#insert(tx, key, definition, enabled ?? true);
      return former === undefined;
    });
    return { trust: this.get(key), fresh };
  }

  /** Lets nobody in any more, and ends the tokens issued through it; or lets them in again. @throws ServiceError `TrustNotFound` */
  async setEnabled(name: string, enabled: boolean): Promise<Trust> {
    const found = await this.#change(name, async (tx, former, record) => {
      if (former) await this.#update(tx, former, { enabled }, record);
      return former !== undefined;
    });
    if (!found) throw absent(name);
    return this.get(name);
  }

  /** Forgets a trust and ends the tokens issued through it. @returns false when it was not there */
  delete(name: string): Promise<boolean> {
    return this.#change(name, async (tx, trust, record) => {
      if (!trust) return false;
      await record({ kind: 'trust', trustId: trust.id });
      await this.#uses.store.delete(tx, trust.id);
      return true;
    });
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

  /** Every change of the grants makes a new version: nobody acts by one that is being taken back. */
  async #changeGrants(name: string, work: (tx: Rows, trust: Trust) => Promise<boolean>): Promise<boolean> {
    const { store, clock } = this.#uses;
    const result = await this.#change(name, async (tx, trust) => {
      if (!trust) return undefined;
      const result = await work(tx, trust);
      await store.update(tx, { ...trust, version: trust.version + 1, changedAtMs: clock.now() }, undefined);
      return result;
    });
    if (result === undefined) throw absent(name);
    return result;
  }

  /** Reads a trust and changes it; who changes one meanwhile waits. Every node knows of it when this returns. */
  async #change<T>(
    name: string,
    work: (tx: Rows, former: Trust | undefined, record: Recording) => Promise<T>,
  ): Promise<T> {
    const { store, revocations } = this.#uses;
    const result = await revocations.change(async (tx, record) => {
      const former = (await store.all(tx)).find((trust) => trust.name === name.toLowerCase());
      return work(tx, former, record);
    });
    await this.reload();
    return result;
  }

  async #insert(tx: Rows, name: string, definition: TrustDefinition, enabled: boolean): Promise<void> {
    const { store, revocations, clock } = this.#uses;
    const [id, now] = [randomUUID() as TrustId, clock.now()];
    const trust = { id, name, enabled, version: 1, definition, grants: [], createdAtMs: now, changedAtMs: now };
    await store.insert(tx, trust, await revocations.positionIn(tx));
  }

  async #update(
    tx: Rows,
    former: Trust,
    changes: Partial<Pick<Trust, 'definition' | 'enabled'>>,
    record: Recording,
  ): Promise<void> {
    const { store, clock } = this.#uses;
    const next = { ...former, ...changes, changedAtMs: clock.now() };
    const ends = (former.enabled && !next.enabled) || narrows(former.definition, next.definition);
    const endedSeq = ends ? await record({ kind: 'trust', trustId: former.id }) : undefined;
    await store.update(tx, { ...next, version: former.version + Number(ends) }, endedSeq);
  }
}

const absent = (name: string): ServiceError => new ServiceError('TrustNotFound', { values: { name: echo(name) } });
