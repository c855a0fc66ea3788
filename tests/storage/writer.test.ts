import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from '../../src/errors.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { batches, type Rows, sql, statement } from '../../src/storage/sql.ts';
import { GroupWriter } from '../../src/storage/writer.ts';
import { givenEmptyStore } from '../harness/given-store.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { startTestServer } from '../harness/server.ts';

const insert =
  (n: number) =>
  (tx: Rows): Promise<number> =>
    tx.run(sql`insert into things (n) values (${n})`);

const numbers = async (rows: Rows): Promise<number[]> =>
  (await rows.all<{ n: number }>(sql`select n from things order by n`)).map(({ n }) => n);

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

for (const store of STORES) {
  describe(`the writer on ${store}`, () => {
    test('gathers what arrives together in few transactions, and answers each with its own', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      const before = db.writer.counts.groups;
      const answers = await Promise.all(
        upTo(300).map((n) =>
          db.writer.write(async (tx) => {
            await insert(n)(tx);
            return n;
          }),
        ),
      );
      assert.deepEqual(answers, upTo(300));
      assert.deepEqual(await numbers(db.rows), upTo(300));
      assert.ok(db.writer.counts.groups - before <= 10, `${db.writer.counts.groups - before} transactions`);
    });

    test('keeps jobs that fail from leaving a trace or harming the others', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      const outcomes = await Promise.allSettled(
        upTo(60).map((n) =>
          db.writer.write(async (tx) => {
            await insert(n)(tx);
            if (n % 7 === 3) throw new ServiceError('IdentityNotFound'); // after it has written
            if (n % 7 === 5) await insert(n)(tx); // a statement that the database refuses
          }),
        ),
      );
      const good = upTo(60).filter((n) => n % 7 !== 3 && n % 7 !== 5);
      assert.deepEqual(await numbers(db.rows), good);
      for (const [n, { status }] of outcomes.entries())
        assert.equal(status, good.includes(n) ? 'fulfilled' : 'rejected', `job ${n}`);
      const [failed] = outcomes.filter((_, n) => n % 7 === 3);
      assert.ok(failed?.status === 'rejected' && failed.reason.error === 'IdentityNotFound');
    });

    test('keeps a job that fails alone from leaving a trace', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      const failing = db.writer.write(async (tx) => {
        await insert(1)(tx);
        throw new Error('no');
      });
      await assert.rejects(failing, { message: 'no' });
      assert.deepEqual(await numbers(db.rows), []);
    });

    test('shows a job what the jobs before it have written, in the order in which they were asked for', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      const seen = await Promise.all(
        upTo(20).map((n) =>
          db.writer.write(async (tx) => {
            const before = await numbers(tx);
            await insert(n)(tx);
            return before;
          }),
        ),
      );
      assert.deepEqual(seen, upTo(20).map(upTo));
    });

    test('shows readers what was committed, and nothing that may yet be taken back', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      const [wrote, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const failing = db.writer.write(async (tx) => {
        await insert(1)(tx);
        wrote.resolve();
        await end.promise;
        throw new Error('no');
      });
      await wrote.promise;
      const seen = [numbers(db.rows), db.rows.first(sql`select n from things`)];
      setImmediate(end.resolve);
      await assert.rejects(failing, { message: 'no' });
      assert.deepEqual(await Promise.all(seen), [[], undefined]);
    });

    test('runs again what lost a race: two that wait for each other both succeed', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      for (const n of [1, 2]) await db.rows.run(sql`insert into things (n) values (${n})`);
      const [firstHas, secondHas] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const lock = (tx: Rows, n: number) => tx.run(sql`update things set n = n where n = ${n}`);
      const first = db.writer.write(async (tx) => {
        await lock(tx, 1);
        firstHas.resolve();
        if (store === 'postgres') await secondHas.promise; // SQLite has one writer: the other waits for its turn
        await lock(tx, 2);
        return 'first';
      });
      await firstHas.promise;
      const second = db.writer.write(async (tx) => {
        await lock(tx, 2);
        secondHas.resolve();
        await lock(tx, 1);
        return 'second';
      });
      assert.deepEqual(await Promise.all([first, second]), ['first', 'second']);
    });

    test('has settled when everything asked for has', async (t) => {
      const db = await givenEmptyStore(t, store);
      await db.rows.run(sql`create table things (n integer primary key)`);
      for (const n of upTo(700)) void db.writer.write(insert(n));
      await db.writer.settled();
      assert.equal((await numbers(db.rows)).length, 700);
    });
  });
}

/** A database of which only the failures matter. */
class FailingConnection {
  readonly done: string[] = [];
  failAt: (text: string) => unknown = () => undefined;
  readonly #rows: Rows = {
    all: async () => [],
    first: async () => undefined,
    run: async (query) => {
      const text = query.texts.join('?');
      const failure = this.failAt(text);
      this.done.push(text);
      if (failure) throw failure;
      return 1;
    },
  };

  writer(more: { isLostRace?: (cause: unknown) => boolean; afterStoreFailure?: (cause: unknown) => void } = {}) {
    return new GroupWriter({
      onConnection: (work) => work(this.#rows),
      begin: 'begin',
      lanes: 1,
      isStoreFailure: (cause) => cause instanceof Error && cause.message === 'disk',
      ...more,
    });
  }
}

describe('turns', () => {
  /** A job that says when it begins, and ends when it is told to. */
  function gated() {
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const job = async (): Promise<void> => {
      begun.resolve();
      await gate.promise;
    };
    return { job, begun: begun.promise, end: () => gate.resolve() };
  }

  test('jobs of one turn wait for each other and hold up nobody else', async () => {
    const rows: Rows = { all: async () => [], first: async () => undefined, run: async () => 1 };
    const taken: (readonly string[])[] = [];
    const writer = new GroupWriter({
      onConnection: (work) => work(rows),
      begin: 'begin',
      takeTurns: async (_, turns) => {
        taken.push(turns);
      },
      lanes: 3,
      isStoreFailure: () => false,
    });
    const first = gated();
    const done: string[] = [];
    const note = (name: string) => async () => done.push(name);
    const all = [writer.write(first.job, 'one')];
    await first.begun;
    all.push(writer.write(note('one'), 'one').then(() => undefined));
    await Promise.all([writer.write(note('other'), 'other'), writer.write(note('none'))]);
    all.push(writer.write(note('one again'), 'one').then(() => undefined));
    await writer.write(note('none again'));
    assert.deepEqual(done, ['other', 'none', 'none again']);
    first.end();
    await Promise.all(all);
    await writer.settled();
    assert.deepEqual(done.slice(3), ['one', 'one again']);
    assert.deepEqual(taken, [['one'], ['other'], ['one']]);
  });

  test('of another node too', { skip: !STORES.includes('postgres') }, async (t) => {
    const url = await freshDatabase(t);
    const [one, other] = [await openPostgres(url), await openPostgres(url)];
    t.after(() => Promise.all([one.close(), other.close()]));
    const first = gated();
    const all = [one.writer.write(first.job, 'a')];
    await first.begun;
    let isSecond = false;
    all.push(
      other.writer.write(async () => {
        isSecond = true;
      }, 'a'),
    );
    await sleep(50); // what comes together shares a transaction
    await other.writer.write(async () => undefined, 'b');
    const before = isSecond;
    first.end();
    await Promise.all(all);
    assert.deepEqual([before, isSecond], [false, true]);
  });

  test('no two callers wait for each other', { skip: !STORES.includes('postgres') }, async (t) => {
    const server = await startTestServer(t, { store: 'postgres' });
    const ids: string[] = [];
    for (const customId of ['a', 'b', 'c', 'd']) ids.push(await server.givenIdentity({ customId }));
    // PostgreSQL looks for such a knot after a second, and lets one of them go.
    const answers = await Promise.all(
      upTo(160).map((n) => {
        const path = `POST /identities/${encodeURIComponent(ids[(n * 7 + (n >> 2)) % 4] ?? '')}`;
        return n % 3 === 0
          ? server.asService(`${path}/:revokeAccessTokens`)
          : server.asService(`${path}/:issueAccessToken`, { scopes: ['chat'] });
      }),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))].sort(), [200, 204]);
  });
});

describe('heavy jobs', () => {
  /** A writer whose transactions are noted, each as the names of its jobs. */
  function noted(lanes = 1) {
    const rows: Rows = { all: async () => [], first: async () => undefined, run: async () => 1 };
    const transactions: string[][] = [];
    const writer = new GroupWriter({
      onConnection: async (work) => {
        transactions.push([]);
        await work(rows);
      },
      begin: 'begin',
      lanes,
      isStoreFailure: () => false,
    });
    const job = (name: string) => async () => void transactions.at(-1)?.push(name);
    return { writer, transactions, job };
  }

  test('are alone in their transactions, which alternate with those of the others', async () => {
    const { writer, transactions, job } = noted();
    const all = ['H1', 'H2', 'H3'].map((name) => writer.write(job(name), 'one', 500));
    all.push(...upTo(300).map((n) => writer.write(job(`l${n}`))));
    assert.equal(writer.waiting, 303);
    all.push(writer.write(job('H4'), undefined, 17));
    await Promise.all(all);
    assert.deepEqual(
      transactions.map((names) => (names.length === 1 ? names[0] : names.length)),
      [256, 'H1', 44, 'H2', 'H3', 'H4'],
    );
  });

  test('let what arrives meanwhile go before the next of them', async () => {
    const { writer, transactions, job } = noted();
    const late: Promise<unknown>[] = [];
    const heavy = upTo(4).map((n) =>
      writer.write(
        async () => {
          await job(`H${n}`)();
          late.push(writer.write(job(`l${n}`)));
        },
        'one',
        100,
      ),
    );
    await Promise.all(heavy);
    await Promise.all(late);
    assert.deepEqual(transactions.flat(), ['H0', 'l0', 'H1', 'l1', 'H2', 'l2', 'H3', 'l3']);
  });

  test('weigh together what one transaction may hold', async () => {
    const { writer, transactions, job } = noted();
    await Promise.all(upTo(40).map((n) => writer.write(job(String(n)), undefined, 16)));
    assert.deepEqual(
      transactions.map((names) => names.length),
      [16, 16, 8],
    );
  });

  test('never hold every transaction that runs at a time', async () => {
    const rows: Rows = { all: async () => [], first: async () => undefined, run: async () => 1 };
    const writer = new GroupWriter({
      onConnection: (work) => work(rows),
      begin: 'begin',
      lanes: 4,
      isStoreFailure: () => false,
    });
    const gate = Promise.withResolvers<void>();
    const begun: number[] = [];
    const heavy = upTo(4).map((n) =>
      writer.write(
        async () => {
          begun.push(n);
          await gate.promise;
        },
        `turn ${n}`,
        500,
      ),
    );
    assert.equal(await writer.write(async () => 'light'), 'light');
    await sleep(10);
    assert.deepEqual(begun, [0, 1]);
    gate.resolve();
    await Promise.all(heavy);
    assert.deepEqual(begun, [0, 1, 2, 3]);
  });
});

describe('a heavy job of the embedded store', () => {
  const slow = sql`with recursive r (n) as (select 1 union all select n + 1 from r where n < 3000) select sum(n) from r`;

  test('yields to what arrives meanwhile, leaves no trace of its first try, and is done in the end', async (t) => {
    const db = await givenEmptyStore(t, 'sqlite');
    await db.rows.run(sql`create table things (n integer primary key)`);
    const order: string[] = [];
    let tries = 0;
    let light: Promise<unknown> | undefined;
    const heavy = db.writer.write(
      async (tx) => {
        tries += 1;
        await insert(tries)(tx);
        light ??= db.writer.write(async (tx) => {
          order.push('light');
          assert.deepEqual(await numbers(tx), [], 'nothing of the heavy one is there');
        });
        for (let step = 0; step < 40; step += 1) await tx.first(slow);
        order.push('heavy');
      },
      undefined,
      500,
    );
    await Promise.all([heavy, light]);
    assert.deepEqual([order, tries, await numbers(db.rows)], [['light', 'heavy'], 2, [2]]);
  });

  test('yields a few times only', async (t) => {
    const db = await givenEmptyStore(t, 'sqlite');
    let tries = 0;
    let isDone = false;
    const heavy = db.writer.write(
      async (tx) => {
        tries += 1;
        for (let step = 0; step < 20; step += 1) await tx.first(slow);
      },
      undefined,
      500,
    );
    const flood = (async () => {
      while (!isDone) await db.writer.write((tx) => tx.first(sql`select 1`));
    })();
    await heavy;
    isDone = true;
    await flood;
    assert.equal(tries, 4);
  });
});

describe('a long transaction of the embedded store', () => {
  test('lets the event loop go round, again and again', async (t) => {
    const db = await givenEmptyStore(t, 'sqlite');
    await db.rows.run(sql`create table things (n integer primary key)`);
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const started = performance.now();
    const turnsSeen: number[] = [];
    await db.writer.write(async (tx) => {
      // A statement of some tenths of a millisecond, so many of them that 40 ms go by on any machine.
      while (performance.now() - started < 40) {
        await tx.first(sql`with recursive r (n) as (select 1 union all select n + 1 from r where n < 1000)
          select sum(n) from r`);
        turnsSeen.push(turns);
      }
    });
    isDone = true;
    assert.ok(new Set(turnsSeen).size >= 5, `${new Set(turnsSeen).size} turns of the event loop`);
  });
});

describe('statements about many rows', () => {
  test('have few texts, and leave out no row', () => {
    const sizes = new Set<number>();
    for (const length of [0, 1, 2, 63, 64, 65, 127, 128, 500, 1000]) {
      const parts = [...batches(upTo(length))];
      assert.deepEqual(parts.flat(), upTo(length));
      for (const { length: size } of parts) sizes.add(size);
    }
    assert.deepEqual(
      [...sizes].sort((one, other) => one - other),
      [1, 2, 4, 8, 16, 32, 64],
    );
  });
});

describe('the writer when the store fails', () => {
  const step = (name: string) => async (tx: Rows) => {
    await tx.run(statement(name));
    return name;
  };

  test('a commit that fails rejects every job of the transaction, and the next one is tried afresh', async () => {
    const connection = new FailingConnection();
    const failures: unknown[] = [];
    const writer = connection.writer({ afterStoreFailure: (cause) => failures.push(cause) });
    connection.failAt = (text) => (text === 'commit' ? new Error('disk') : undefined);
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => writer.write(step(name))));
    for (const outcome of outcomes)
      assert.ok(outcome.status === 'rejected' && outcome.reason.error === 'StoreUnavailable');
    assert.equal(failures.length, 1);
    assert.equal(connection.done.at(-1), 'rollback');
    connection.failAt = () => undefined;
    assert.equal(await writer.write(step('d')), 'd');
    assert.deepEqual(connection.done.slice(-3), ['begin', 'd', 'commit']);
  });

  test('a failure of the store in one job ends the whole transaction', async () => {
    const connection = new FailingConnection();
    const writer = connection.writer();
    connection.failAt = (text) => (text === 'b' ? new Error('disk') : undefined);
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => writer.write(step(name))));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.ok(!connection.done.includes('commit'));
  });

  test('a transaction that lost a race is run again, its jobs in order', async () => {
    const connection = new FailingConnection();
    const writer = connection.writer({ isLostRace: (cause) => (cause as Error).message === 'race' });
    let races = 2;
    connection.failAt = (text) => (text === 'commit' && races-- > 0 ? new Error('race') : undefined);
    assert.deepEqual(await Promise.all(['a', 'b'].map((name) => writer.write(step(name)))), ['a', 'b']);
    assert.equal(connection.done.filter((text) => text === 'a').length, 3);
  });

  test('a repair that fails too is not the end of the writer', async () => {
    const connection = new FailingConnection();
    const writer = connection.writer({
      afterStoreFailure: () => {
        throw new Error('cannot be opened again');
      },
    });
    connection.failAt = (text) => (text === 'commit' ? new Error('disk') : undefined);
    await assert.rejects(writer.write(step('a')), { error: 'StoreUnavailable' });
    connection.failAt = () => undefined;
    assert.equal(await writer.write(step('b')), 'b');
    await writer.settled();
  });
});
