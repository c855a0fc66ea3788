// The users of this service: its own, with its own passwords. The server never hears of either.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { readPrivate } from './private-file.mjs';
import { ROLES } from './roles.mjs';

const COST = { N: 2 ** 14, r: 8, p: 5, maxmem: 64 * 1024 * 1024 };
const scryptAsync = promisify(scrypt);

/** @returns salt and hash in base64, parted by a dot */
export async function hashPassword(password, salt = randomBytes(16)) {
  const hash = await scryptAsync(password.normalize(), salt, 32, COST);
  return `${salt.toString('base64')}.${hash.toString('base64')}`;
}

export class Users {
  /** By name: `{ name, role, password, inboxes?, site?, demo? }`. */
  #byName;

  constructor(file) {
    const users = readPrivate(file) ?? [];
    for (const { name, role } of users) {
      if (!/^[a-z0-9-]{1,32}$/.test(name)) throw new Error(`${file}: no user can be called ${name}`);
      if (!Object.hasOwn(ROLES, role)) throw new Error(`${file}: ${name} has no role of ${Object.keys(ROLES)}`);
    }
    this.#byName = new Map(users.map((user) => [user.name, user]));
  }

  get(name) {
    return this.#byName.get(name);
  }

  /** Whether there are users whose passwords are in the README. */
  get hasDemoUsers() {
    return [...this.#byName.values()].some(({ demo }) => demo);
  }

  /** Takes as long for a name that nobody has, so that names cannot be guessed. @returns the user, or undefined */
  async signIn(name, password) {
    const user = this.#byName.get(name);
    const known = user?.password ?? `${'A'.repeat(22)}==.`;
    const given = await hashPassword(password, Buffer.from(known.split('.')[0], 'base64'));
    const same =
      Buffer.byteLength(given) === Buffer.byteLength(known) && timingSafeEqual(Buffer.from(given), Buffer.from(known));
    return same ? user : undefined;
  }
}
