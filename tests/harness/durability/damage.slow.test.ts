import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, type TestContext, test } from 'node:test';
import { ServiceError } from '../../../src/errors.ts';
import { startServer } from '../../../src/server.ts';
import { readSettings, SettingsError } from '../../../src/settings.ts';
import { StoreError } from '../../../src/storage/database.ts';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { TestLog } from '../server.ts';
import { startChild } from './child-server.ts';
import { givenFolder } from './folders.ts';
import { Clients, WRITERS } from './workload.ts';

// D6: bytes of a store are changed behind the server's back.

/** 500 for a release. */
const FILES = Number(process.env.TEST_DAMAGE_FILES ?? 60);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const OPERATIONS = 500;

/** What is held against the truth: columns whose damage must be noticed. The guide to production names them. */
const CHECKED: Readonly<Record<string, string>> = {
  head: 'seq',
  revocation_log: '*',
  data_keys: 'sealed',
  access_keys: 'resource_id, slot, sealed',
  signing_keys: 'kid, alg, state, public_key, sealed',
};

/** What the server itself writes at its start. */
const MAY_CHANGE = ['nodes', 'meta'];

type Outcome = 'refused' | 'noticed' | 'harmless' | 'uncheckedTable' | 'lastTransaction' | 'silentlyWrong';

const report = { id: 'D6', seed: SEED, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

/** Everything in the tables of a store, a text for each row; undefined for a table that SQLite says is damaged. */
type Rows = ReadonlyMap<string, readonly string[] | undefined>;

function rowsIn(folder: string): Rows {
  const db = new DatabaseSync(join(folder, 'linarite.db'));
  try {
    const tables = db.prepare("select name from sqlite_schema where type = 'table'").all();
    return new Map(
      tables.flatMap(({ name }) => {
        const table = String(name);
        if (MAY_CHANGE.includes(table)) return [];
        const checked = CHECKED[table];
        const whole = [table, rowsOf(db, table, '*')] as const;
        return checked === undefined ? [whole] : [whole, [`checked ${table}`, rowsOf(db, table, checked)] as const];
      }),
    );
  } finally {
    db.close();
  }
}

function rowsOf(db: DatabaseSync, table: string, columns: string): string[] | undefined {
  try {
    return db
      .prepare(`select ${columns} from ${table}`)
      .all()
      .map((row) => JSON.stringify(row))
      .sort();
  } catch {
    return undefined;
  }
}

/** Changes between one byte and a block of 512, somewhere. */
function damage(file: string, random: Random): void {
  const bytes = readFileSync(file);
  const count = random.pick([1, 1, 1, 2, 8, 64, 512]);
  const together = random.chance(0.5);
  const start = random.below(bytes.length);
  for (let index = 0; index < count; index += 1) {
    const at = (together ? start + index : random.below(bytes.length)) % bytes.length;
    bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
  }
  writeFileSync(file, bytes);
}

/** A store with a history, as a kill leaves it, and closed in good order; and what is in both. */
interface Stores {
  readonly killed: string;
  readonly closed: string;
  readonly truth: Rows;
}

async function givenStores(folder: string): Promise<Stores> {
  const killed = join(folder, 'killed');
  const closed = join(folder, 'closed');
  const server = await startChild(killed, { faults: ['small-log.ts'] });
  const clients = new Clients(new Random(SEED));
  await clients.write(server.port, () => clients.confirmed >= OPERATIONS);
  await server.kill();
  cpSync(killed, closed, { recursive: true });
  return { killed, closed, truth: rowsIn(closed) };
}

/** Starts a server on a damaged copy. */
async function outcomeOf(folder: string, file: string, truth: Rows): Promise<[Outcome, differing?: readonly string[]]> {
  const log = new TestLog();
  try {
    const settings = readSettings({ LINARITE_DATA: folder, LINARITE_PORT: '0' });
    await (await startServer(settings, { log })).close();
  } catch (cause) {
    // What serve.ts tells in one line.
    const isClear = [StoreError, SettingsError, ServiceError].some((kind) => cause instanceof kind);
    if (!isClear && !('code' in (cause as Error)))
      throw new Error('the server did not say clearly why it does not start', { cause });
    return ['refused'];
  }
  const found = rowsIn(folder);
  const differing = [...truth].filter(([table, rows]) => !isSame(rows, found.get(table))).map(([table]) => table);
  if (differing.length === 0) return ['harmless'];
  if (differing.some((table) => found.get(table) === undefined)) return ['noticed'];
  if (!differing.some((table) => table.startsWith('checked '))) return ['uncheckedTable', differing];
  return [file.endsWith('-wal') && lacksOnlyTheLast(truth, found) ? 'lastTransaction' : 'silentlyWrong', differing];
}

const isSame = (one: readonly string[] | undefined, other: readonly string[] | undefined): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

/** What a power cut during the last transaction would have left, too: nothing wrong, and at most a row per writer missing. */
function lacksOnlyTheLast(truth: Rows, found: Rows): boolean {
  const tables = [...truth.keys()].filter((table) => table.startsWith('checked ') && table !== 'checked head');
  const missing = tables.map((table) => {
    const [all = [], some = []] = [truth.get(table), found.get(table)];
    return some.every((row) => all.includes(row)) ? all.length - some.length : Number.POSITIVE_INFINITY;
  });
  return missing.reduce((sum, count) => sum + count, 0) <= WRITERS;
}

/** @param isEnough says when to stop before all copies are tried */
async function outcomes(
  t: TestContext,
  { killed, closed, truth }: Stores,
  count: number,
  isEnough: (wrong: readonly string[]) => boolean = () => false,
) {
  const random = new Random(SEED);
  const found: Record<Outcome, number> = {
    refused: 0,
    noticed: 0,
    harmless: 0,
    uncheckedTable: 0,
    lastTransaction: 0,
    silentlyWrong: 0,
  };
  const wrong: string[] = [];
  const parent = givenFolder(t, 'damage');
  for (let index = 0; index < count && !isEnough(wrong); index += 1) {
    const folder = join(parent, String(index));
    cpSync(random.chance(0.6) ? killed : closed, folder, { recursive: true });
    const names = readdirSync(folder).filter((name) => readFileSync(join(folder, name)).length > 0);
    const others = names.filter((name) => !name.startsWith('linarite.db'));
    const log = 'linarite.db-wal';
    const wish = random.next();
    const name = wish < 0.15 ? random.pick(others) : wish < 0.5 && names.includes(log) ? log : 'linarite.db';
    damage(join(folder, name), random);
    const [outcome, differing] = await outcomeOf(folder, name, truth);
    found[outcome] += 1;
    if (outcome === 'silentlyWrong') wrong.push(`seed ${SEED}, copy ${index}: ${name}, ${differing}`);
    rmSync(folder, { recursive: true });
  }
  return { found, wrong };
}

describe('a damaged store', () => {
  let stores: Stores;
  const folder = mkdtempSync(join(tmpdir(), 'linarite-damage-'));
  before(async () => {
    stores = await givenStores(folder);
  });
  after(() => rmSync(folder, { recursive: true }));

  test(`${FILES} copies with changed bytes: never served with wrong data in a checked table`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const { found, wrong } = await outcomes(t, stores, FILES);
    report.figures = { files: FILES, ...found };
    t.diagnostic(JSON.stringify(found));
    assert.deepEqual(wrong, []);
    report.passed = true;
  });

  test('the harness reports what is served when the checks are off', async (t) => {
    const { prepare } = DatabaseSync.prototype;
    t.mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, text: string) {
      const check = /^pragma (quick_check|integrity_check)/.exec(text)?.[1];
      const blind = check ? `select 'ok' as ${check}` : text.replace(/at, crc\s+from/, 'at, null as crc from');
      return prepare.call(this, blind);
    });
    const { wrong } = await outcomes(t, stores, 500, (wrong) => wrong.length > 0);
    assert.ok(wrong.length > 0);
    report.planted = true;
  });
});
