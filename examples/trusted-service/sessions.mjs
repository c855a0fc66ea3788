// Who is signed in. In memory: a restart signs everybody out.
import { randomBytes } from 'node:crypto';

const IDLE_MS = 30 * 60_000;
export const SESSION_SECONDS = 8 * 3600;

export class Sessions {
  /** By id, oldest first: `{ name, endsAtMs, idleAtMs }`. */
  #sessions = new Map();
  #now;

  constructor(now = Date.now) {
    this.#now = now;
  }

  /** @returns the id, for the cookie and nothing else */
  start(name) {
    for (const [id, session] of this.#sessions) if (this.#isOver(session)) this.#sessions.delete(id);
    const id = randomBytes(16).toString('base64url');
    this.#sessions.set(id, { name, endsAtMs: this.#now() + SESSION_SECONDS * 1000, idleAtMs: this.#now() + IDLE_MS });
    return id;
  }

  /** @returns the name of the user, or undefined */
  nameOf(id) {
    const session = this.#sessions.get(id);
    if (!session || this.#isOver(session)) return undefined;
    session.idleAtMs = this.#now() + IDLE_MS;
    return session.name;
  }

  end(id) {
    this.#sessions.delete(id);
  }

  endAllOf(name) {
    for (const [id, session] of this.#sessions) if (session.name === name) this.#sessions.delete(id);
  }

  #isOver({ endsAtMs, idleAtMs }) {
    return Math.min(endsAtMs, idleAtMs) <= this.#now();
  }
}
