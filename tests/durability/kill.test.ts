import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { type Answer, send } from '../harness/http.ts';
import { sign } from '../harness/sign.ts';
import { Random } from '../revocation/simulation.ts';
import { type ChildServer, startChild } from './child-server.ts';

/** 1,000 for a release, 50 for a pull request. */
const CYCLES = Number(process.env.TEST_KILL_CYCLES ?? 5);
const SEED = Number(process.env.TEST_KILL_SEED ?? Date.now() % 1_000_000);
const WRITERS = 8;

/** What became of an identity, as far as the server said so. A call whose answer did not come may count or not. */
interface Life {
  readonly id: string;
  deletion: 'none' | 'asked' | 'confirmed';
  readonly tokens: { readonly jwt: string; end: 'none' | 'asked' | 'confirmed' }[];
}

/** Clients that write without pause, and remember what they were told. */
class Clients {
  readonly #random: Random;
  readonly lives: Life[] = [];
  confirmed = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Goes on until the server is gone. Each writer has identities of its own, so that it knows what came before what. */
  async write({ port }: ChildServer): Promise<void> {
    const one = async (): Promise<void> => {
      const mine: Life[] = [];
      for (;;) {
        await this.#step(port, mine);
        this.confirmed += 1;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: WRITERS }, one));
    for (const outcome of outcomes)
      if (outcome.status === 'rejected' && outcome.reason instanceof assert.AssertionError) throw outcome.reason;
  }

  async #step(port: number, mine: Life[]): Promise<void> {
    const random = this.#random;
    const living = mine.filter(({ deletion }) => deletion === 'none').slice(-20);
    const what = random.next();
    if (living.length === 0 || what < 0.3) {
      const answer = await asService(port, 'POST', '/identities', '{"createTokenWithScopes":["chat"]}');
      assert.equal(answer.status, 201);
      const { identity, accessToken } = answer.body;
      const life: Life = { id: identity.id, deletion: 'none', tokens: [{ jwt: accessToken.token, end: 'none' }] };
      mine.push(life);
      this.lives.push(life);
      return;
    }
    const life = random.pick(living);
    if (what < 0.6) {
      const answer = await asService(port, 'POST', `${path(life)}/:issueAccessToken`, '{"scopes":["voip"]}');
      assert.equal(answer.status, 200);
      life.tokens.push({ jwt: answer.body.token, end: 'none' });
      return;
    }
    const deletes = what > 0.85;
    const before = life.tokens.filter(({ end }) => end !== 'confirmed');
    for (const token of before) token.end = 'asked';
    if (deletes) life.deletion = 'asked';
    const answer = deletes
      ? await asService(port, 'DELETE', path(life))
      : await asService(port, 'POST', `${path(life)}/:revokeAccessTokens`);
    assert.equal(answer.status, 204);
    for (const token of before) token.end = 'confirmed';
    if (deletes) life.deletion = 'confirmed';
  }

  /** Everything that is not as the server had said. */
  async broken({ port }: ChildServer): Promise<string[]> {
    const found: string[] = [];
    const look = async (life: Life): Promise<void> => {
      const { status } = await asService(port, 'GET', path(life));
      if (life.deletion === 'none' && status !== 200) found.push(`${life.id} is lost: ${status}`);
      if (life.deletion === 'confirmed' && status !== 404) found.push(`${life.id} came back: ${status}`);
      for (const { jwt, end } of life.tokens) {
        const headers = { Authorization: `Bearer ${jwt}` };
        const answer = await send(port, { target: '/-/whoami', headers });
        if (end === 'confirmed' && answer.status !== 401)
          found.push(`a token of ${life.id} came back: ${answer.status}`);
        if (end === 'none' && life.deletion === 'none' && answer.status !== 200)
          found.push(`a token of ${life.id} is lost: ${answer.status} ${answer.headers['x-linarite-reason']}`);
      }
    };
    for (let start = 0; start < this.lives.length; start += WRITERS)
      await Promise.all(this.lives.slice(start, start + WRITERS).map(look));
    return found;
  }

  /** Only the last ones are looked at again and again. */
  forgetOld(): void {
    this.lives.splice(0, Math.max(0, this.lives.length - 300));
  }
}

const path = ({ id }: Life): string => `/identities/${encodeURIComponent(id)}`;

function asService(port: number, method: string, target: string, body = ''): Promise<Answer> {
  const full = `${target}?api-version=2023-10-01`;
  const headers = sign({ method, target: full, host: `localhost:${port}`, body, key: DEV_RESOURCE.primaryKey });
  return send(port, { method, target: full, body, headers: { 'Content-Type': 'application/json', ...headers } });
}

function integrity(folder: string): string {
  const db = new DatabaseSync(join(folder, 'linarite.db'));
  try {
    return String(db.prepare('pragma integrity_check').get()?.integrity_check);
  } finally {
    db.close();
  }
}

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-kill-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe('kill -9 at any moment', () => {
  test(`${CYCLES} times: what was confirmed holds, and nothing that was ended comes back`, async (t) => {
    const random = new Random(SEED);
    const folder = givenFolder(t);
    const clients = new Clients(random);
    let server = await startChild(folder);
    t.after(() => server.kill());
    for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
      const writing = clients.write(server);
      await sleep(random.between(100, 900));
      await server.kill();
      await writing;
      assert.equal(integrity(folder), 'ok');
      server = await startChild(folder);
      assert.deepEqual(await clients.broken(server), [], `seed ${SEED}, cycle ${cycle}`);
      clients.forgetOld();
    }
    t.diagnostic(`seed ${SEED}: ${clients.confirmed} confirmed operations`);
    assert.ok(clients.confirmed > CYCLES * 10);
  });

  test('the harness reports revocations and deletions that were kept in memory only', async (t) => {
    const folder = givenFolder(t);
    const clients = new Clients(new Random(SEED));
    const first = await startChild(folder);
    t.after(() => first.kill());
    const writing = clients.write(first);
    await sleep(700);
    await first.kill();
    await writing;
    const db = new DatabaseSync(join(folder, 'linarite.db'));
    db.exec('delete from revocation_log; update identities set revoked_seq = 0');
    db.close();
    const second = await startChild(folder);
    t.after(() => second.kill());
    assert.ok((await clients.broken(second)).some((text) => text.includes('came back')));
  });

  test('the harness reports confirmed identities that are lost', async (t) => {
    const folder = givenFolder(t);
    const clients = new Clients(new Random(SEED));
    const first = await startChild(folder);
    t.after(() => first.kill());
    const writing = clients.write(first);
    await sleep(700);
    await first.kill();
    await writing;
    const db = new DatabaseSync(join(folder, 'linarite.db'));
    db.exec("delete from identities where substr(id, -1) < '8'");
    db.close();
    const second = await startChild(folder);
    t.after(() => second.kill());
    assert.ok((await clients.broken(second)).some((text) => text.includes('is lost')));
  });
});
