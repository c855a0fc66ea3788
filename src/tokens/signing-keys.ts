import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Place } from '../secrets/envelope.ts';
import type { KeyRing } from '../secrets/key-ring.ts';
import { type Database, type SigningKeyRow, type SigningKeyState, StoreError } from '../storage/database.ts';
import { type SigningAlgorithm, type SigningKeyMaterial, type VerifyingKey, verifyingKey } from './jws.ts';
import type { SigningKeyStore } from './signing-key-store.ts';

interface Uses {
  db: Database;
  store: SigningKeyStore;
  revocations: Revocations;
  keyRing: KeyRing;
  clock: Clock;
  events: Events;
}

interface Options {
  algorithm: SigningAlgorithm;
  rsaBits: number;
  /** How long a key signs before the next one takes over. */
  activeMs: number;
  /** Longest life of a token. */
  tokenMs: number;
}

/** A public key as others see it (RFC 7517). */
export interface PublishedKey {
  readonly kty: string;
  readonly kid: string;
  readonly x5t: string;
  readonly alg: SigningAlgorithm;
  readonly use: 'sig';
  readonly [member: string]: string | undefined;
}

interface KnownKey {
  readonly row: SigningKeyRow;
  readonly verifying: VerifyingKey;
  readonly material: SigningKeyMaterial | undefined;
}

const HOUR_MS = 3_600_000;
/** A key is published this long before it signs, so that every cache of the public set has it by then. */
const PUBLISHED_BEFORE_MS = 24 * HOUR_MS;
/** Margin after the last token has expired. */
const GONE_MARGIN_MS = 10 * 60_000;

/**
 * The keys that sign access tokens: exactly one signs, one is published to follow it, former ones verify until their last
 * token has expired. `next → active → retiring → gone`; `killed` is the way out at any point.
 */
export class SigningKeys {
  readonly #uses: Uses;
  readonly #options: Options;
  #known: ReadonlyMap<string, KnownKey> = new Map();
  #killed: ReadonlySet<string> = new Set();
  #active: SigningKeyMaterial | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /** Makes sure that there is a key to sign with. The one to follow it is left to {@link rotate}: nobody waits for it. */
  async start(): Promise<void> {
    await this.reload();
    if (this.#active) return;
    await this.#make('active');
    await this.reload();
  }

  /** The key that signs now. @throws ServiceError `NotReady` before {@link start} */
  get active(): SigningKeyMaterial {
    if (!this.#active) throw new ServiceError('NotReady', { values: { why: 'there is no signing key' } });
    return this.#active;
  }

  /**
   * The key of that id, if tokens may be verified with it. A killed key never comes back as a key: the one who has it can write
   * any position of the revocation log into a token.
   * @throws ServiceError `TokenRefused` for a killed key
   */
  find(kid: string): VerifyingKey | undefined {
    if (this.#killed.has(kid))
      throw new ServiceError('TokenRefused', { reason: 'revoked.signingKey', detail: `key ${kid}` });
    return this.#known.get(kid)?.verifying;
  }

  /** How many keys are in each state, for the metrics. */
  countByState(): Record<string, number> {
    const counts: Record<string, number> = { next: 0, active: 0, retiring: 0 };
    for (const { row } of this.#known.values()) counts[row.state] = (counts[row.state] ?? 0) + 1;
    return counts;
  }

  /** The public set, for `/.well-known/jwks.json`. Public members only. */
  published(): PublishedKey[] {
    return [...this.#known.values()].map(({ verifying }) => {
      const { kty, n, e, crv, x, y } = verifying.publicKey.export({ format: 'jwk' });
      const members = Object.fromEntries(
        Object.entries({ n, e, crv, x, y }).filter(([, value]) => value !== undefined),
      );
      return {
        kty: kty ?? '',
        kid: verifying.kid,
        x5t: thumbprint(verifying.kid),
        alg: verifying.alg,
        use: 'sig',
        ...members,
      };
    });
  }

  /** Reads the keys again. One reading at a time: the last to end must be the last to begin. */
  reload(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read());
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { db, store, keyRing } = this.#uses;
    const rows = await store.withoutGone(db.rows);
    for (const row of rows) if (!this.#known.has(row.kid)) requireIntact(row, keyRing);
    this.#killed = new Set(rows.filter((row) => row.state === 'killed').map((row) => row.kid));
    const usable = rows.filter((row) => row.state !== 'killed');
    const known = usable.map((row): [string, KnownKey] => {
      // The objects stay the same while the key does: caches compare them.
      const before = this.#known.get(row.kid);
      const verifying = before?.verifying ?? verifyingKey(row.kid, row.alg, publicKeyFrom(row.public_key));
      const material = row.state === 'active' ? (before?.material ?? openMaterial(row, keyRing)) : undefined;
      return [row.kid, { row, verifying, material }];
    });
    this.#known = new Map(known);
    this.#active = known.find(([, key]) => key.material)?.[1].material;
  }

  /**
   * Takes each key as far along its life as the time says. To be called now and then; every node may.
   */
  async rotate(): Promise<void> {
    const { store, revocations, clock, events } = this.#uses;
    const nowMs = clock.now();
    await this.#ensureNext();
    const rows = [...this.#known.values()].map((key) => key.row);
    const active = rows.find((row) => row.state === 'active');
    const next = rows.find((row) => row.state === 'next');
    const due = active && next && nowMs - (active.active_at ?? 0) >= this.#options.activeMs;
    if (due && nowMs - next.created_at >= PUBLISHED_BEFORE_MS) await this.#switch(active.kid, next.kid);

    for (const row of rows.filter(({ state, gone_at }) => state === 'retiring' && (gone_at ?? 0) <= nowMs)) {
      const done = await revocations.change((tx) => store.update(tx, row.kid, 'retiring', { state: 'gone' }));
      if (done) events.signingKeyChanged('gone', row.kid);
    }
    await this.reload();
  }

  /** Starts signing with the next key now, whatever its age, as a step of everyday care. The former key goes on verifying. */
  async rotateNow(): Promise<void> {
    await this.#ensureNext();
    const idOf = (state: SigningKeyState) => [...this.#known.values()].find(({ row }) => row.state === state)?.row.kid;
    const [active, next] = [idOf('active'), idOf('next')];
    if (active && next) await this.#switch(active, next);
    await this.reload();
  }

  /**
   * Withdraws a key at once: no node accepts its tokens once this has returned.
   * @throws ServiceError `ResourceNotFound` when no usable key has that id
   */
  async kill(kid: string): Promise<void> {
    const { store, revocations, events } = this.#uses;
    if (this.#known.get(kid)?.row.state === 'active') await this.rotateNow();
    // Nothing is thrown within: a call that finds it killed also waits for the nodes that still accept its tokens.
    const killed = await revocations.change(async (tx, record) => {
      const state = (await store.withoutGone(tx)).find((row) => row.kid === kid)?.state;
      if (state !== 'next' && state !== 'retiring') return false;
      const seq = await record({ kind: 'signingKey', kid });
      return store.update(tx, kid, state, { state: 'killed', destroy: true, killedSeq: seq });
    });
    await this.reload();
    if (!killed) throw new ServiceError('ResourceNotFound');
    events.signingKeyChanged('killed', kid);
  }

  /** One key waits to follow, made as the settings say now. */
  async #ensureNext(): Promise<void> {
    const { algorithm, rsaBits } = this.#options;
    const waiting = [...this.#known.values()].find(({ row }) => row.state === 'next');
    const fits =
      waiting?.verifying.alg === algorithm &&
      (algorithm !== 'RS256' || waiting.verifying.publicKey.asymmetricKeyDetails?.modulusLength === rsaBits);
    if (fits) return;
    await this.#make('next', waiting?.row.kid);
    await this.reload();
  }

  /** Makes a key; in the same step takes back one that waited and never signed. */
  async #make(state: 'active' | 'next', replaces?: string): Promise<void> {
    const { store, revocations, keyRing, clock, events } = this.#uses;
    const { algorithm, rsaBits } = this.#options;
    const { privateKey, publicKey } = await newKeyPair(algorithm, rsaBits);
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const kid = kidOf(spki);
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    const nowMs = clock.now();
    const made = await revocations.change(async (tx) => {
      if (replaces !== undefined) await store.update(tx, replaces, 'next', { state: 'gone', destroy: true });
      if ((await store.withoutGone(tx)).some((row) => row.state === state)) return false; // another node was faster
      await store.insert(tx, {
        kid,
        alg: algorithm,
        state,
        public_key: spki.toString('base64'),
        sealed: keyRing.seal(der, keyPlace(kid)),
        created_at: nowMs,
        active_at: state === 'active' ? nowMs : null,
      });
      return true;
    });
    if (made) events.signingKeyChanged('made', kid);
  }

  async #switch(active: string, next: string): Promise<void> {
    const { store, revocations, clock, events } = this.#uses;
    const nowMs = clock.now();
    const switched = await revocations.change(async (tx) => {
      const goneAt = nowMs + this.#options.tokenMs + GONE_MARGIN_MS;
      if (!(await store.update(tx, active, 'active', { state: 'retiring', destroy: true, goneAtMs: goneAt })))
        return false;
      if (!(await store.update(tx, next, 'next', { state: 'active', activeAtMs: nowMs })))
        throw new Error('no next key');
      return true;
    });
    if (!switched) return;
    await this.reload();
    events.signingKeyChanged('retired', active);
    events.signingKeyChanged('activated', next);
  }
}

async function newKeyPair(
  algorithm: SigningAlgorithm,
  rsaBits: number,
): Promise<{ privateKey: KeyObject; publicKey: KeyObject }> {
  const generate = promisify(generateKeyPair);
  return algorithm === 'RS256'
    ? generate('rsa', { modulusLength: rsaBits, publicExponent: 65537 })
    : generate('ec', { namedCurve: 'P-256' });
}

const kidOf = (spki: Uint8Array): string =>
  createHash('sha256').update(spki).digest().subarray(0, 20).toString('hex').toUpperCase();

const STATES: readonly string[] = ['next', 'active', 'retiring', 'gone', 'killed'] satisfies SigningKeyState[];
const ALGORITHMS: readonly string[] = ['RS256', 'ES256'] satisfies SigningKeyRow['alg'][];

/** A killed key whose state cannot be read any more must not verify again. @throws StoreError when the row is damaged */
function requireIntact({ kid, alg, state, public_key, sealed }: SigningKeyRow, keyRing: KeyRing): void {
  const isIntact =
    STATES.includes(state) && ALGORITHMS.includes(alg) && kidOf(Buffer.from(public_key, 'base64')) === kid;
  if (!isIntact) throw new StoreError(`the store is damaged: signing key ${kid} was changed after it was written`);
  if (sealed !== null) keyRing.unseal(sealed, keyPlace(kid));
}

function openMaterial(row: SigningKeyRow, keyRing: KeyRing): SigningKeyMaterial | undefined {
  if (row.sealed === null) return undefined;
  const der = keyRing.unseal(row.sealed, keyPlace(row.kid));
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { kid: row.kid, x5t: thumbprint(row.kid), alg: row.alg, privateKey };
}

const publicKeyFrom = (base64: string): KeyObject =>
  createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });

/** The wire shows the same 20 bytes twice: `kid` in upper-case hex, `x5t` in base64url. They only name the key. */
const thumbprint = (kid: string): string => Buffer.from(kid, 'hex').toString('base64url');

const keyPlace = (kid: string): Place => ({ table: 'signing_keys', column: 'sealed', row: kid, version: 1 });
