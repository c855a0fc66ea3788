import { globSync, writeFileSync } from 'node:fs';
import type { Child } from '../child.ts';
import { type Answer, send } from '../http.ts';
import { inPath } from '../resources.ts';
import type { Random } from '../revocation/simulation.ts';
import { API_VERSION } from '../server.ts';
import { sign } from '../sign.ts';
import type { Report } from './overload.ts';

/** libfaketime, where it is installed. */
export const LIBRARY = globSync('/usr/lib/*/faketime/libfaketime.so.1')[0];

/** Variables for a process whose wall clock follows a file; its monotonic clock is left alone. */
export const followingFile = (file: string): Record<string, string> => ({
  LD_PRELOAD: LIBRARY ?? '',
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_NO_CACHE: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
});

const HOUR = 3600;
const DAY = 24 * HOUR;
/** Seconds by which the clock is wrong, one after the other. */
const JUMPS = [2 * HOUR, -2 * HOUR, 2 * DAY, -2 * DAY];

/** A server whose clock is set, and a client whose signatures carry the server's time. */
export class Skewed {
  readonly #server: Child;
  readonly #file: string;
  #seconds = 0;

  constructor(server: Child, file: string) {
    this.#server = server;
    this.#file = file;
  }

  set(seconds: number): void {
    this.#seconds = seconds;
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`);
  }

  async #asService(path: string, body: object = {}): Promise<Answer> {
    const { port, key } = this.#server;
    const target = `${path}?api-version=${API_VERSION}`;
    const date = new Date(Date.now() + this.#seconds * 1000).toUTCString();
    const text = JSON.stringify(body);
    const headers = sign({ method: 'POST', target, host: `localhost:${port}`, body: text, key, date });
    const answer = await send(port, {
      method: 'POST',
      target,
      body: text,
      headers: { 'Content-Type': 'application/json', ...headers },
    });
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer;
  }

  async create(): Promise<string> {
    return (await this.#asService('/identities')).body.identity.id;
  }

  async issue(id: string, expiresInMinutes = 1440): Promise<string> {
    return (await this.#asService(`${inPath(id)}/:issueAccessToken`, { scopes: ['chat'], expiresInMinutes })).body
      .token;
  }

  async revoke(id: string): Promise<void> {
    await this.#asService(`${inPath(id)}/:revokeAccessTokens`);
  }

  /** @returns `good`, or the reason of the refusal */
  async verdict(token: string): Promise<string> {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await send(this.#server.port, { target: '/-/whoami', headers });
    return answer.status === 200 ? 'good' : (String(answer.headers['x-linarite-reason']).split(';')[0] ?? '');
  }
}

/** Sets the clock forth and back, and revokes and issues at every setting (R9, O5). */
export async function clockJumps(skewed: Skewed, rounds: number, random: Random): Promise<Report> {
  const counts = { jumps: 0, verdicts: 0, wrong: 0, expiredAccepted: 0, wrongAfterwards: 0 };
  const revoked: string[] = [];
  const good: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const jump of JUMPS.toSorted(() => random.next() - 0.5)) {
      skewed.set(jump);
      counts.jumps += 1;
      const id = await skewed.create();
      const before = await skewed.issue(id);
      await skewed.revoke(id);
      const after = await skewed.issue(id);
      const short = await skewed.issue(id, 60);
      skewed.set(random.pick(JUMPS));
      await skewed.revoke(await skewed.create());
      revoked.push(before);

      // At a wrong time a token may count as expired or as of the future, but nobody was revoked who was not.
      for (const token of revoked.slice(-8)) counts.wrong += Number((await skewed.verdict(token)) === 'good');
      counts.wrong += Number((await skewed.verdict(after)).startsWith('revoked'));
      counts.verdicts += Math.min(8, revoked.length) + 1;

      skewed.set(0);
      // Of those issued at a wrong time, these are neither of the future now nor over.
      if (jump === -2 * HOUR) good.push(after);
      for (const token of good.slice(-8)) counts.wrongAfterwards += Number((await skewed.verdict(token)) !== 'good');
      for (const token of revoked.slice(-8)) counts.wrong += Number((await skewed.verdict(token)) === 'good');
      counts.verdicts += Math.min(8, revoked.length) + Math.min(8, good.length);

      if (jump < 0) {
        // Its hour is over now; a clock that goes back to where it was issued must not bring it back.
        counts.expiredAccepted += Number((await skewed.verdict(short)) === 'good');
        skewed.set(jump);
        counts.expiredAccepted += Number((await skewed.verdict(short)) === 'good');
        skewed.set(0);
      }
    }
  }
  const rules: [boolean, string][] = [
    [counts.wrong === 0, `${counts.wrong} verdicts on revocation changed with the clock`],
    [counts.expiredAccepted === 0, `${counts.expiredAccepted} expired tokens were accepted`],
    [counts.wrongAfterwards === 0, `${counts.wrongAfterwards} good tokens were refused once the clock was right`],
  ];
  return { figures: counts, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}
