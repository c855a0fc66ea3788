import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEV_RESOURCE } from '../../../src/resources/resource.ts';
import { type Answer, send } from '../http.ts';
import type { Random } from '../revocation/simulation.ts';
import { sign } from '../sign.ts';

/**
 * How far a call has come. `asked`: it was sent, and no answer, or a 503, came back, so it may count or not.
 * `none`: it had not reached the server at the instant that is looked at.
 */
export type Stage = 'none' | 'asked' | 'confirmed';

/** One request that changes something, or issues a token. */
export interface Call {
  /** Sent as `x-ms-client-request-id`, which the answer repeats. */
  readonly id: string;
  /** Whether the answer must wait for the disk. */
  readonly writes: boolean;
  stage: Exclude<Stage, 'none'>;
}

/** What became of an identity, as far as the server said so. */
export interface Life {
  readonly id: string;
  readonly hasCustomId: boolean;
  readonly created: Call;
  readonly deletions: Call[];
  /** Revocations; each ends the tokens that were there before it. */
  readonly revocations: Call[];
  readonly tokens: { readonly jwt: string; readonly issued: Call; readonly ends: Call[] }[];
}

/** How a check asks the server; by HTTP where there is no shorter way. */
export interface Questions {
  /** @returns the status of GET on an identity */
  identity(id: string): Promise<number>;
  /** @returns the status that a user's token gets, and why */
  token(jwt: string): Promise<{ status: number; reason: string }>;
}

/** A 503: the store did not confirm. Everything else that was not expected is a failure of the test. */
export class Unconfirmed extends Error {}

export const WRITERS = 8;

/** Clients that write without pause, and remember what they were told. */
export class Clients {
  readonly #random: Random;
  readonly lives: Life[] = [];
  readonly calls: Call[] = [];
  /** Operations that were answered with success; those among them that had to wait for the disk. */
  confirmed = 0;
  written = 0;
  /** Operations answered 503. */
  unconfirmed = 0;
  /** 503 without Retry-After: must stay 0. */
  withoutRetryAfter = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /**
   * Goes on until the server is gone, or `enough` says so. Each writer has identities of its own, so that it knows what
   * came before what.
   */
  async write(port: number, enough: () => boolean = () => false): Promise<void> {
    const one = async (): Promise<void> => {
      const mine: Life[] = [];
      while (!enough()) {
        await this.#step(port, mine).catch(async (cause: unknown) => {
          if (!(cause instanceof Unconfirmed)) throw cause;
          this.unconfirmed += 1;
          await sleep(20);
        });
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: WRITERS }, one));
    for (const outcome of outcomes)
      if (outcome.status === 'rejected' && outcome.reason instanceof assert.AssertionError) throw outcome.reason;
  }

  async #step(port: number, mine: Life[]): Promise<void> {
    const random = this.#random;
    const living = mine.filter(({ deletions }) => deletions.length === 0).slice(-20);
    const what = random.next();
    if (living.length === 0 || what < 0.3) return this.#create(port, mine);
    const life = random.pick(living);
    if (what < 0.6) return this.#issue(port, life);
    return what > 0.85 ? this.#delete(port, life) : this.#revoke(port, life);
  }

  async #create(port: number, mine: Life[]): Promise<void> {
    const hasCustomId = this.#random.chance(0.25);
    const call = this.#call(true);
    const body = { createTokenWithScopes: ['chat'], ...(hasCustomId && { customId: `custom-${call.id}` }) };
    const answer = await this.#ask(call, port, 'POST', '/identities', JSON.stringify(body), 201);
    const { identity, accessToken } = answer.body;
    const tokens = [{ jwt: accessToken.token, issued: call, ends: [] }];
    const life: Life = { id: identity.id, hasCustomId, created: call, deletions: [], revocations: [], tokens };
    mine.push(life);
    this.lives.push(life);
  }

  async #issue(port: number, life: Life): Promise<void> {
    const call = this.#call(life.hasCustomId); // only they keep when they were last given a token
    const at = `${path(life)}/:issueAccessToken`;
    const answer = await this.#ask(call, port, 'POST', at, '{"scopes":["voip"]}', 200);
    // A revocation whose outcome is unknown may end this token, too.
    const ends = life.revocations.filter(({ stage }) => stage === 'asked');
    life.tokens.push({ jwt: answer.body.token, issued: call, ends });
  }

  async #revoke(port: number, life: Life): Promise<void> {
    const call = this.#call(true);
    life.revocations.push(call);
    for (const { ends } of life.tokens) ends.push(call);
    await this.#ask(call, port, 'POST', `${path(life)}/:revokeAccessTokens`, '', 204);
  }

  async #delete(port: number, life: Life): Promise<void> {
    const call = this.#call(true);
    life.deletions.push(call);
    for (const { ends } of life.tokens) ends.push(call);
    await this.#ask(call, port, 'DELETE', path(life), '', 204);
  }

  #call(writes: boolean): Call {
    const call: Call = { id: `call-${this.calls.length}`, writes, stage: 'asked' };
    this.calls.push(call);
    return call;
  }

  async #ask(
    call: Call,
    port: number,
    method: string,
    target: string,
    body: string,
    expected: number,
  ): Promise<Answer> {
    const answer = await asService(port, method, target, body, { 'x-ms-client-request-id': call.id });
    if (answer.status === 503) {
      if (!(Number(answer.headers['retry-after']) > 0)) this.withoutRetryAfter += 1;
      throw new Unconfirmed(answer.text);
    }
    assert.equal(answer.status, expected, answer.text);
    call.stage = 'confirmed';
    this.confirmed += 1;
    if (call.writes) this.written += 1;
    return answer;
  }

  /** Only the last ones are looked at again and again. */
  forgetOld(most = 300): void {
    this.lives.splice(0, Math.max(0, this.lives.length - most));
  }
}

/**
 * Everything that is not as the server had said.
 * @param stageOf how far a call had come at the instant that is looked at
 */
export async function broken(
  lives: readonly Life[],
  questions: Questions,
  stageOf: (call: Call) => Stage = ({ stage }) => stage,
): Promise<string[]> {
  const found: string[] = [];
  const look = async (life: Life): Promise<void> => {
    if (stageOf(life.created) !== 'confirmed') return;
    const deletion = furthest(life.deletions, stageOf);
    const status = await questions.identity(life.id);
    if (deletion === 'none' && status !== 200) found.push(`${life.id} is lost: ${status}`);
    if (deletion === 'confirmed' && status !== 404) found.push(`${life.id} came back: ${status}`);
    for (const { jwt, issued, ends } of life.tokens) {
      if (stageOf(issued) !== 'confirmed') continue;
      const end = furthest(ends, stageOf);
      const { status, reason } = await questions.token(jwt);
      if (end === 'confirmed' && status !== 401) found.push(`a token of ${life.id} came back: ${status}`);
      if (end === 'none' && status !== 200) found.push(`a token of ${life.id} is lost: ${status} ${reason}`);
    }
  };
  for (let start = 0; start < lives.length; start += WRITERS)
    await Promise.all(lives.slice(start, start + WRITERS).map(look));
  return found;
}

const STAGES: readonly Stage[] = ['none', 'asked', 'confirmed'];

const furthest = (calls: readonly Call[], stageOf: (call: Call) => Stage): Stage =>
  STAGES[Math.max(0, ...calls.map((call) => STAGES.indexOf(stageOf(call))))] ?? 'none';

/** Asks over HTTP, as any client. */
export const byHttp = (port: number): Questions => ({
  identity: async (id) => (await asService(port, 'GET', path({ id }))).status,
  async token(jwt) {
    const answer = await send(port, { target: '/-/whoami', headers: { Authorization: `Bearer ${jwt}` } });
    return { status: answer.status, reason: String(answer.headers['x-linarite-reason'] ?? '') };
  },
});

const path = ({ id }: { id: string }): string => `/identities/${encodeURIComponent(id)}`;

/** Sends a request signed with the development key. */
export function asService(
  port: number,
  method: string,
  target: string,
  body = '',
  more: Record<string, string> = {},
): Promise<Answer> {
  const full = `${target}?api-version=2023-10-01`;
  const headers = sign({ method, target: full, host: `localhost:${port}`, body, key: DEV_RESOURCE.primaryKey });
  return send(port, {
    method,
    target: full,
    body,
    headers: { 'Content-Type': 'application/json', ...headers, ...more },
  });
}
