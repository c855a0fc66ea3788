import { ServiceError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Revocations } from '../../revocation/revocations.ts';
import type { Database } from '../../storage/database.ts';
import { MetaStore } from '../../storage/meta-store.ts';
import type { SigningKeys } from '../../tokens/signing-keys.ts';

interface Uses {
  db: Database;
  revocations: Revocations;
  keys: SigningKeys;
  clock: Clock;
}

/** A probe of the store is good for this long, so that probing it often costs nothing. With the next, what is wrong shows within two seconds. */
const PROBE_MS = 500;
const PROBE_TIMEOUT_MS = 1000;

/** Whether the server can do its work, and why not. */
export class Health {
  readonly #uses: Uses;
  readonly #meta = new MetaStore();
  #stopping = false;
  #probe: { at: number; problem: Promise<string | undefined> } | undefined;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** Not ready after this: balancers send new work elsewhere. */
  stop(): void {
    this.#stopping = true;
  }

  /** What is wrong, or undefined. */
  async problem(): Promise<string | undefined> {
    const { revocations, keys } = this.#uses;
    if (this.#stopping) return 'it is stopping';
    if (revocations.problem !== undefined) return revocations.problem;
    if (keys.countByState().active !== 1) return 'there is no signing key';
    return this.#storeProblem();
  }

  /** @throws ServiceError `NotReady` with what is wrong */
  async requireReady(): Promise<void> {
    const why = await this.problem();
    if (why !== undefined) throw new ServiceError('NotReady', { values: { why }, detail: why });
  }

  #storeProblem(): Promise<string | undefined> {
    const now = this.#uses.clock.elapsed();
    if (!this.#probe || now - this.#probe.at > PROBE_MS) this.#probe = { at: now, problem: this.#probeStore() };
    return this.#probe.problem;
  }

  /** Writes, because a store that can only be read is of no use to anybody who wants to revoke. */
  async #probeStore(): Promise<string | undefined> {
    const { db, clock } = this.#uses;
    const slow = new Promise<'slow'>((resolve) => setTimeout(resolve, PROBE_TIMEOUT_MS, 'slow').unref());
    const probe = db.writer
      .write((tx) => this.#meta.set(tx, 'probe', String(clock.now())), 'probe')
      .then(
        () => undefined,
        () => 'the store does not accept writes',
      );
    const outcome = await Promise.race([probe, slow]);
    return outcome === 'slow' ? 'a write to the store takes longer than a second' : outcome;
  }
}
