import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type Rows, statement } from '../../src/storage/sql.ts';
import { GroupWriter } from '../../src/storage/writer.ts';
import { OPERATOR_KEY } from '../harness/dev-tokens.ts';
import { FOR_GOOD, FOR_NOW, type Subject } from '../harness/revocation/endings.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

// D1 tries kills at random moments. Here the store fails at each statement of everything that ends tokens: an event and
// what it is about come together or not at all, so that a second try does not find the work half done.

const FULL = Object.assign(new Error('database or disk is full'), { errcode: 13 });
/** More than any of them has. */
const MOST_STATEMENTS = 40;

const { write } = GroupWriter.prototype;

/** Has every statement of a write go through `each` until the test is over. */
function watchWrites(t: TestContext, each: <T>(run: () => Promise<T>, tx: Rows) => Promise<T>): () => void {
  GroupWriter.prototype.write = function <T>(this: GroupWriter, work: (tx: Rows) => Promise<T>): Promise<T> {
    const watched = (tx: Rows): Rows => ({
      all: (query) => each(() => tx.all(query), tx),
      first: (query) => each(() => tx.first(query), tx),
      run: (query) => each(() => tx.run(query), tx),
    });
    return write.call(this, (tx) => work(watched(tx))) as Promise<T>;
  };
  const stop = (): void => {
    GroupWriter.prototype.write = write;
  };
  t.after(stop);
  return stop;
}

/** Cuts an ending at each of its statements, and tells what was half done. */
async function halves(
  t: TestContext,
  server: TestServer,
  given: (server: TestServer) => Promise<Subject>,
  forGood: boolean,
  afterEach: (tx: Rows) => Promise<unknown> = async () => undefined,
): Promise<string[]> {
  const found: string[] = [];
  for (let cut = 1; cut <= MOST_STATEMENTS; cut += 1) {
    const subject = await given(server);
    const token = (await subject.issue()) ?? '';
    const works = async (): Promise<boolean> => (await server.asUser(token)).status === 200;
    if (!(await works())) return [...found, `before cut ${cut}: no token works`];
    let left = cut;
    const stop = watchWrites(t, async (run, tx) => {
      left -= 1;
      if (left === 0) throw FULL;
      const result = await run();
      await afterEach(tx);
      return result;
    });
    const status = await subject.end();
    stop();
    const about = `cut at statement ${cut}`;
    if (left > 0) {
      if (await works()) found.push('not cut: the token still works');
      return found;
    }
    if (status !== 503) found.push(`${about}: answered ${status}`);
    if (!(await works())) found.push(`${about}: not done, and the token is ended`);
    if ((await subject.issue()) === undefined) found.push(`${about}: not done, and no token is given`);
    const again = await subject.end();
    if (again >= 300) found.push(`${about}: tried again: ${again}`);
    if (await works()) found.push(`${about}: tried again: the token still works`);
    if (forGood && (await subject.issue()) !== undefined) found.push(`${about}: tried again: a token is given`);
  }
  throw new Error(`more than ${MOST_STATEMENTS} statements`);
}

describe('what ends tokens, with a store that fails at one of its statements,', () => {
  let server: TestServer;
  shareServer(
    (started) => {
      server = started;
    },
    { env: { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
  );

  for (const [endings, forGood] of [
    [FOR_GOOD, true],
    [FOR_NOW, false],
  ] as const)
    for (const [what, given] of Object.entries(endings))
      test(`is done as a whole or not at all: ${what}`, async (t) => {
        assert.deepEqual(await halves(t, server, given, forGood), []);
      });

  test('is reported when each statement is a transaction of its own', async (t) => {
    const apart = async (tx: Rows): Promise<void> => {
      for (const text of ['commit', 'begin immediate']) await tx.run(statement(text));
    };
    const [given] = Object.values(FOR_GOOD);
    assert.ok(given);
    assert.notDeepEqual(await halves(t, server, given, true, apart), []);
  });
});
