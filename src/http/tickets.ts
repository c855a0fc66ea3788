import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ProvenUser, TokenFacts } from '../callers.ts';
import { ServiceError } from '../errors.ts';

interface Uses {
  /** Secrets that all nodes of a store have, the one that signs first. */
  keys: () => readonly [Uint8Array, ...Uint8Array[]];
  /** Milliseconds since 1970, never going back: a clock that was set back brings no ticket back. */
  now: () => number;
}

interface Options {
  readonly lifetimeMs: number;
  readonly lettersMost: number;
}

const USUAL: Options = { lifetimeMs: 60_000, lettersMost: 4096 };

interface Payload {
  readonly id: string;
  readonly expiresMs: number;
  readonly user: ProvenUser;
}

/**
 * Tickets open a socket whose address is all that its client can send. A checked request gets one, and the client that
 * presents it is the user of that request. A ticket is short-lived, and each node takes it once: so in an address, where it
 * may be seen, it is worth nothing afterwards. It is made as `<base64url of JSON>.<HMAC-SHA256>`.
 */
export class Tickets {
  readonly #uses: Uses;
  readonly #options: Options;
  /** Id of a used ticket → when it expires, in the order of use. */
  readonly #used = new Map<string, number>();

  constructor(uses: Uses, options: Partial<Options> = {}) {
    this.#uses = uses;
    this.#options = { ...USUAL, ...options };
  }

  /** @param purpose what the ticket opens: it opens nothing else */
  issue(purpose: string, user: ProvenUser): string {
    const { keys, now } = this.#uses;
    const expiresMs = Math.min(now() + this.#options.lifetimeMs, user.caller.expiresOnMs);
    const { caller, token } = user;
    const id = randomBytes(12).toString('base64url');
    const payload: Payload = { id, expiresMs, user: { caller, token: factsOf(token) } };
    const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
    return `${text}.${mac(keys()[0], purpose, text)}`;
  }

  /**
   * Takes a ticket, once. Whether the token of its user still holds is to be asked afterwards.
   * @throws ServiceError `TokenRefused`
   */
  redeem(purpose: string, ticket: string): ProvenUser {
    const { id, expiresMs, user } = this.#read(purpose, ticket);
    const now = this.#uses.now();
    if (expiresMs <= now) throw new ServiceError('TokenRefused', { reason: 'ticket.expired' });
    this.#forgetExpired(now);
    if (this.#used.has(id)) throw new ServiceError('TokenRefused', { reason: 'ticket.used' });
    this.#used.set(id, expiresMs);
    return user;
  }

  #read(purpose: string, ticket: string): Payload {
    const [text = '', given = '', ...more] = ticket.length > this.#options.lettersMost ? [] : ticket.split('.');
    const isOurs = this.#uses.keys().some((key) => equal(mac(key, purpose, text), given));
    if (!isOurs || more.length > 0) throw new ServiceError('TokenRefused', { reason: 'ticket.malformed' });
    return JSON.parse(Buffer.from(text, 'base64url').toString()) as Payload;
  }

  /** The oldest come first, and all live equally long or shorter. */
  #forgetExpired(now: number): void {
    for (const [id, expiresMs] of this.#used) {
      if (expiresMs > now) return;
      this.#used.delete(id);
    }
  }
}

/** Nothing else that the object may have, such as what is computed from these. */
const factsOf = ({
  resourceId,
  identityId,
  keySlot,
  trustId,
  assignmentId,
  kid,
  position,
  issuedAtSeconds,
}: TokenFacts): TokenFacts => ({
  resourceId,
  identityId,
  keySlot,
  trustId,
  assignmentId,
  kid,
  position,
  issuedAtSeconds,
});

const mac = (key: Uint8Array, purpose: string, text: string): string =>
  createHmac('sha256', key).update(`linarite ticket\n${purpose}\n${text}`).digest('base64url');

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
