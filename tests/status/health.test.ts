import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { Health } from '../../src/planes/operator/health.ts';
import type { Rows } from '../../src/storage/sql.ts';
import { GroupWriter } from '../../src/storage/writer.ts';
import { assertError } from '../harness/envelope.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer, TestClock } from '../harness/server.ts';

// O6: health tells the truth within two seconds, whatever is wrong. Time is simulated.

const TWO_SECONDS = 2000;
const STEP_MS = 50;
const report = { id: 'O6', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

/** What health looks at. */
interface State {
  lease: string | undefined;
  activeKeys: number;
  store: 'well' | 'refuses' | 'hangs';
  stopping: boolean;
}

const WELL: State = { lease: undefined, activeKeys: 1, store: 'well', stopping: false };

const FAULTS: Readonly<Record<string, { change: Partial<State>; says: RegExp; isFinal?: true }>> = {
  'the lease has run out': { change: { lease: 'the last heartbeat is too old' }, says: /heartbeat/ },
  'committed state is lost': { change: { lease: 'the store has lost committed state' }, says: /lost/ },
  'there is no signing key': { change: { activeKeys: 0 }, says: /signing key/ },
  'two keys sign': { change: { activeKeys: 2 }, says: /signing key/ },
  'the store does not accept writes': { change: { store: 'refuses' }, says: /does not accept writes/ },
  'the store hangs': { change: { store: 'hangs' }, says: /longer than a second/ },
  'the server stops': { change: { stopping: true }, says: /stopping/, isFinal: true },
};

/** Asks for the health every 50 ms, as a balancer with no patience, while faults come and go. */
class Watched {
  readonly #clock = new TestClock();
  readonly #t: TestContext;
  readonly #health: Pick<Health, 'problem' | 'stop'>;
  #state = WELL;
  said: string | undefined;

  constructor(
    t: TestContext,
    make: (uses: ConstructorParameters<typeof Health>[0]) => Pick<Health, 'problem' | 'stop'>,
  ) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    this.#t = t;
    const state = (): State => this.#state;
    const write = (): Promise<void> => {
      if (state().store === 'hangs') return new Promise(() => undefined);
      return state().store === 'refuses' ? Promise.reject(new Error('disk full')) : Promise.resolve();
    };
    const revocations = {
      get problem() {
        return state().lease;
      },
    };
    const keys = { countByState: () => ({ active: state().activeKeys }) };
    this.#health = make({ revocations, keys, clock: this.#clock, db: { writer: { write } } } as never);
  }

  set(change: Partial<State>): void {
    this.#state = { ...WELL, ...change };
    if (change.stopping) this.#health.stop();
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      void this.#health.problem().then((problem) => {
        this.said = problem;
      });
      await new Promise((resolve) => setImmediate(resolve));
      this.#clock.advance(STEP_MS);
      this.#t.mock.timers.tick(STEP_MS);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const [name, { change, says, isFinal }] of Object.entries(FAULTS)) {
  test(`${name}: said within two seconds, and so is its end`, async (t) => {
    const watched = new Watched(t, (uses) => new Health(uses));
    await watched.pass(TWO_SECONDS);
    assert.equal(watched.said, undefined);
    watched.set(change);
    await watched.pass(TWO_SECONDS);
    assert.match(watched.said ?? 'well', says);
    if (isFinal) return;
    watched.set({});
    await watched.pass(TWO_SECONDS);
    assert.equal(watched.said, undefined);
    report.figures = { faults: Object.keys(FAULTS).length };
    report.passed = true;
  });
}

test('the check reports a health that remembers for too long', async (t) => {
  const watched = new Watched(t, (uses) => {
    const health = new Health(uses);
    let asked = 0;
    let remembered: Promise<string | undefined> | undefined;
    return {
      stop: () => health.stop(),
      problem() {
        if (asked++ % 60 === 0) remembered = health.problem(); // three seconds
        return remembered as Promise<string | undefined>;
      },
    };
  });
  await watched.pass(TWO_SECONDS / 2);
  watched.set({ activeKeys: 0 });
  await watched.pass(TWO_SECONDS - 2 * STEP_MS);
  assert.equal(watched.said, undefined);
  report.planted = true;
});

describe('over HTTP', () => {
  test('what is wrong makes it 503 with the reason, while the process goes on to say that it lives', async (t) => {
    const server = await startTestServer(t);
    assert.equal((await server.send({ target: '/-/health/ready' })).status, 200);
    t.mock.method(server.server.keys, 'countByState', () => ({ active: 0 }));
    const answer = await server.send({ target: '/-/health/ready' });
    const message = 'The server is not ready: there is no signing key';
    assertError(answer, { status: 503, code: 'NotReady', message });
    assert.equal((await server.send({ target: '/-/health/live' })).status, 200);
  });

  test('a store that reads, and begins and ends transactions, but takes no writes is not ready', async (t) => {
    const server = await startTestServer(t);
    const { write } = GroupWriter.prototype;
    t.mock.method(GroupWriter.prototype, 'write', function (this: GroupWriter, work: (tx: Rows) => Promise<unknown>) {
      const full = async (): Promise<never> => {
        throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
      };
      return write.call(this, (tx) => work({ ...tx, run: full }));
    });
    const answer = await server.send({ target: '/-/health/ready' });
    const message = 'The server is not ready: the store does not accept writes';
    assertError(answer, { status: 503, code: 'NotReady', message });
  });
});
