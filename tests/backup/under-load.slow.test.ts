import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findPostgres } from '../../scripts/postgres.ts';
import { restore } from '../../src/backup/restore.ts';
import { readSettings } from '../../src/settings.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { inPath } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

/** Backups made, each restored elsewhere; 25 for a release: `npm run harness -- backup`. */
const BACKUPS = Number(process.env.TEST_BACKUPS ?? 2);
const SEED = Number(process.env.TEST_BACKUP_SEED ?? Date.now() % 1_000_000);
const WRITERS = 8;
const OPERATOR_KEY = 'an-operator-key-for-the-backup-load-0123';
const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY };

/** When an operation was asked for and confirmed, on one scale with the backups. */
interface Span {
  readonly from: number;
  to: number;
}

interface Life {
  readonly id: string;
  readonly customId: string;
  readonly created: Span;
  deleted: Span | undefined;
  readonly tokens: { readonly jwt: string; readonly issuedAt: number; endedAt: number | undefined }[];
}

interface Made {
  /** A file, or the name of a database. */
  readonly at: string;
  readonly span: Span;
}

const OPEN = Number.POSITIVE_INFINITY;

/** Clients that write without pause and remember when they were told what. */
class Clients {
  readonly lives: Life[] = [];
  readonly #random: Random;
  readonly #server: TestServer;
  #busy = true;
  #time = 0;

  constructor(server: TestServer, random: Random) {
    this.#server = server;
    this.#random = random;
  }

  /** The next instant: every beginning and every end has one of its own. */
  tick(): number {
    this.#time += 1;
    return this.#time;
  }

  async write(): Promise<void> {
    const one = async (writer: number): Promise<void> => {
      const mine: Life[] = [];
      for (let step = 0; this.#busy; step += 1) await this.#step(mine, `${writer}-${step}`);
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => one(writer)));
  }

  stop(): void {
    this.#busy = false;
  }

  async #step(mine: Life[], customId: string): Promise<void> {
    const random = this.#random;
    const living = mine.filter(({ deleted }) => deleted === undefined).slice(-20);
    const what = random.next();
    if (living.length === 0 || what < 0.4) {
      const created: Span = { from: this.tick(), to: OPEN };
      const made = await this.#server.asService('POST /identities', { customId, createTokenWithScopes: ['chat'] });
      assert.equal(made.status, 201, made.text);
      created.to = this.tick();
      const { identity, accessToken } = made.body;
      const life: Life = {
        id: identity.id,
        customId,
        created,
        deleted: undefined,
        tokens: [{ jwt: accessToken.token, issuedAt: this.tick(), endedAt: undefined }],
      };
      mine.push(life);
      this.lives.push(life);
      return;
    }
    const life = random.pick(living);
    if (what < 0.6) {
      life.tokens.push({
        jwt: await this.#server.givenToken(life.id),
        issuedAt: this.tick(),
        endedAt: undefined,
      });
      return;
    }
    const tokens = [...life.tokens];
    if (what < 0.8) {
      assert.equal((await this.#server.asService(`POST ${inPath(life.id)}/:revokeAccessTokens`)).status, 204);
    } else {
      life.deleted = { from: this.tick(), to: OPEN };
      assert.equal((await this.#server.asService(`DELETE ${inPath(life.id)}`)).status, 204);
      life.deleted.to = this.tick();
    }
    const at = this.tick();
    for (const token of tokens) token.endedAt ??= at;
  }
}

/** How a restored store differs from what was confirmed up to its backup. */
async function differences(restored: TestServer, lives: readonly Life[], { span }: Made): Promise<string[]> {
  const found: string[] = [];
  await eachOf(lives, async ({ id, customId, created, deleted }) => {
    const { status, body } = await restored.asService(`GET ${inPath(id)}`);
    const mustBe = created.to < span.from && (deleted === undefined || deleted.from > span.to);
    const mustNotBe = created.from > span.to || (deleted !== undefined && deleted.to < span.from);
    if (mustBe && status !== 200) found.push(`${id} is missing: ${status}`);
    if (mustNotBe && status !== 404) found.push(`${id} is there: ${status}`);
    if (status === 200 && body.customId !== customId) found.push(`${id} has the custom id ${body.customId}`);
  });
  return found;
}

/**
 * Tokens that a restored store accepts, though it cannot know whether they were ended.
 * @param issuedUpTo only those that were issued by then
 */
async function accepted(restored: TestServer, lives: readonly Life[], issuedUpTo = OPEN): Promise<string[]> {
  const found: string[] = [];
  await eachOf(lives, async ({ id, tokens }) => {
    for (const { jwt, endedAt } of tokens.filter(({ issuedAt }) => issuedAt < issuedUpTo)) {
      const { status } = await restored.asUser(jwt);
      if (status !== 401) found.push(`a token of ${id}, ${endedAt ? 'ended' : 'not ended'}: ${status}`);
    }
  });
  return found;
}

async function eachOf<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < all.length; start += WRITERS)
    await Promise.all(all.slice(start, start + WRITERS).map(work));
}

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-load-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const operator = (server: TestServer, target: string, body?: object) =>
  server.send({
    method: 'POST',
    target,
    headers: { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });

/** Runs clients, makes copies meanwhile, and goes on for a moment after the last one. */
async function underLoad(
  server: TestServer,
  copies: readonly (() => Promise<string>)[],
): Promise<{ clients: Clients; made: Made[] }> {
  const random = new Random(SEED);
  const clients = new Clients(server, random);
  const writing = clients.write();
  const made: Made[] = [];
  await sleep(600);
  for (const copy of copies) {
    await sleep(random.between(50, 400));
    const span: Span = { from: clients.tick(), to: OPEN };
    made.push({ at: await copy(), span });
    span.to = clients.tick();
  }
  await sleep(400);
  clients.stop();
  await writing;
  return { clients, made };
}

/** Puts a backup into a data folder of its own, as `put` does it. */
async function elsewhere(t: TestContext, put: (folder: string) => Promise<unknown>): Promise<TestServer> {
  const folder = join(givenFolder(t), 'data');
  mkdirSync(folder);
  await put(folder);
  return startTestServer(t, { folder, env });
}

/** Where a tool of PostgreSQL is: beside the server, or on the PATH. */
const toolPath = (name: string): string | undefined =>
  [findPostgres() ?? '', ...(process.env.PATH ?? '').split(delimiter)]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));

const runTool = (name: string, args: readonly string[]) => promisify(execFile)(toolPath(name) ?? name, args);

const restoreInto = (folder: string, file: string) => restore(readSettings({ LINARITE_DATA: folder }), file);

describe('backups made under load, restored elsewhere,', () => {
  test(`${BACKUPS} of SQLite: all that was confirmed before is there, and no token from before is accepted`, async (t) => {
    const server = await startTestServer(t, { env });
    const missesLog = join(givenFolder(t), 'without-log.db');
    const backUp = async () => (await operator(server, '/-/backup')).body.path;
    const copyFile = async () => {
      copyFileSync(join(server.folder, 'linarite.db'), missesLog);
      return missesLog;
    };
    const { clients, made } = await underLoad(server, [...Array.from({ length: BACKUPS }, () => backUp), copyFile]);
    const { lives } = clients;
    const planted = made.pop();
    let checked = 0;
    for (const backup of made) {
      const restored = await elsewhere(t, (folder) => restoreInto(folder, backup.at));
      assert.deepEqual(await differences(restored, lives, backup), [], `seed ${SEED}`);
      assert.deepEqual(await accepted(restored, lives), [], `seed ${SEED}`);
      checked += lives.reduce((sum, { tokens }) => sum + tokens.length, 0);
      const [someone] = lives.filter(({ created, deleted }) => created.to < backup.span.from && !deleted);
      const fresh = await restored.givenToken(someone?.id ?? '');
      assert.equal((await restored.asUser(fresh)).status, 200);
      await restored.server.close();
    }
    const end = made.at(-1)?.span.to ?? 0;
    const endedAfter = lives.flatMap(({ tokens }) => tokens).filter(({ endedAt = 0 }) => endedAt > end).length;
    assert.ok(endedAfter > 0, 'tokens were ended after the last backup');

    // Planted: a backup that is a copy of the database file alone, without its log.
    assert.ok(planted);
    const stale = await elsewhere(t, (folder) => restoreInto(folder, planted.at)).catch(() => undefined);
    assert.ok(
      stale === undefined || (await differences(stale, lives, planted)).some((text) => text.includes('is missing')),
    );

    // Planted: a restore that does all but write that everything ended.
    const [backup] = made;
    assert.ok(backup);
    const withoutEnd = await elsewhere(t, async (folder) => {
      await restoreInto(folder, backup.at);
      forgetTheEnd(join(folder, 'linarite.db'), backup.at);
    });
    const back = await accepted(withoutEnd, lives, backup.span.from);
    assert.ok(
      back.some((text) => text.endsWith(', ended: 200')),
      String(back.length),
    );

    const figures = {
      backups: made.length,
      identities: lives.length,
      tokensTried: checked,
      endedAfterLastBackup: endedAfter,
      differences: 0,
      accepted: 0,
    };
    t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
    writeResult({ id: 'O4', seed: SEED, figures, passed: true, planted: back.length > 0 });
  });

  const skip = (!STORES.includes('postgres') || !toolPath('pg_dump')) && 'needs PostgreSQL with pg_dump';
  test('PostgreSQL by pg_dump and pg_restore, and then recover', { skip }, async (t) => {
    const source = await freshDatabase(t);
    const server = await startTestServer(t, { env: { ...env, LINARITE_DATABASE_URL: source } });
    const file = join(givenFolder(t), 'dump');
    const dump = async () => {
      await runTool('pg_dump', ['--format=custom', `--file=${file}`, source]);
      return file;
    };
    const { clients, made } = await underLoad(server, [dump]);
    const { lives } = clients;
    const [backup] = made;
    assert.ok(backup);
    const url = await freshDatabase(t);
    await runTool('pg_restore', ['--no-owner', `--dbname=${url}`, file]);
    const restored = await startTestServer(t, { env: { ...env, LINARITE_DATABASE_URL: url } });
    // Planted, in effect: before `recover` the store does not know what was ended after the backup.
    const before = await accepted(restored, lives);
    assert.ok(before.length > 0);
    assert.equal((await operator(restored, '/-/recover', { acceptRollback: true })).status, 200);
    assert.deepEqual(await differences(restored, lives, backup), [], `seed ${SEED}`);
    assert.deepEqual(await accepted(restored, lives), [], `seed ${SEED}`);
    const figures = { backups: 1, identities: lives.length, differences: 0, accepted: 0 };
    t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
    writeResult({ id: 'O4-postgres', seed: SEED, figures, passed: true, planted: before.length > 0 });
  });
});

/** Takes back the end of everything, and brings the signing keys of the backup back to life. */
function forgetTheEnd(database: string, backup: string): void {
  const db = new DatabaseSync(database);
  db.exec(`attach '${backup}' as backup`);
  db.exec("delete from revocation_log where kind = 'all'");
  db.exec('delete from signing_keys; insert into signing_keys select * from backup.signing_keys');
  db.exec('update head set seq = (select seq from backup.head)');
  db.close();
}
