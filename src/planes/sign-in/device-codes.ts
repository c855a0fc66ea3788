import { randomBytes, randomInt } from 'node:crypto';
import { ServiceError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { User } from './directory.ts';
import type { Grant } from './scopes.ts';

/** A device that waits for a person to sign in for it. */
interface Waiting {
  readonly userCode: string;
  readonly clientId: string;
  readonly grant: Grant;
  readonly endsAtMs: number;
  answer: User | 'declined' | undefined;
}

export const DEVICE_CODE_SECONDS = 900;
const MOST_WAITING = 1000;
/** Without vowels and what looks alike (RFC 8628, section 6.1). */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

/** Sign-ins of devices under way. In memory only: after a restart a device begins again. */
export class DeviceCodes {
  readonly #clock: Clock;
  /** By device code, oldest first. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(clientId: string, grant: Grant): { deviceCode: string; userCode: string } {
    for (const [code, { endsAtMs }] of this.#waiting) {
      if (endsAtMs > this.#clock.now() && this.#waiting.size < MOST_WAITING) break;
      this.#waiting.delete(code);
    }
    const deviceCode = randomBytes(32).toString('base64url');
    const userCode = `${letters(4)}-${letters(4)}`;
    const endsAtMs = this.#clock.now() + DEVICE_CODE_SECONDS * 1000;
    this.#waiting.set(deviceCode, { userCode, clientId, grant, endsAtMs, answer: undefined });
    return { deviceCode, userCode };
  }

  /** Notes what the person with the user code said, once. @returns false when nothing waits for that code */
  answer(userCode: string, answer: User | 'declined'): boolean {
    const spelt = userCode.toUpperCase().replace(/[^A-Z]/g, '');
    const found = [...this.#waiting.values()].find((waiting) => waiting.userCode.replace('-', '') === spelt);
    if (!found || found.answer !== undefined || found.endsAtMs <= this.#clock.now()) return false;
    found.answer = answer;
    return true;
  }

  /**
   * Takes what a device code was answered with, once.
   * @throws ServiceError `DeviceSignInPending`, `DeviceSignInDeclined`, `DeviceCodeExpired`
   */
  redeem(deviceCode: string, clientId: string): { user: User; grant: Grant } {
    const waiting = this.#waiting.get(deviceCode);
    if (!waiting || waiting.clientId !== clientId || waiting.endsAtMs <= this.#clock.now())
      throw new ServiceError('DeviceCodeExpired');
    const { answer, grant } = waiting;
    if (answer === undefined) throw new ServiceError('DeviceSignInPending');
    this.#waiting.delete(deviceCode);
    if (answer === 'declined') throw new ServiceError('DeviceSignInDeclined');
    return { user: answer, grant };
  }
}

const letters = (count: number): string =>
  Array.from({ length: count }, () => LETTERS.charAt(randomInt(LETTERS.length))).join('');
