import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { restore } from '../../src/backup/restore.ts';
import { readSettings } from '../../src/settings.ts';
import { startTestServer } from '../harness/server.ts';

/** How a file is corrupted, and what the refusal says. */
interface Row {
  what: string;
  corrupt: (file: string) => void;
  complaint: RegExp;
}

const alterBy = (text: string) => (file: string) => alter(file, text);

const ROWS: Row[] = [
  {
    what: 'is no database',
    corrupt: (file) => writeFileSync(file, 'hello '.repeat(1000)),
    complaint: /is damaged or not a/,
  },
  { what: 'is empty', corrupt: (file) => writeFileSync(file, ''), complaint: /not a store of Linarite/ },
  {
    what: 'is the database of another program',
    corrupt(file) {
      rmSync(file);
      alter(file, 'create table t (x)');
    },
    complaint: /not a store of Linarite/,
  },
  {
    what: 'is cut off',
    corrupt: (file) => writeFileSync(file, readFileSync(file).subarray(0, 40_960)),
    complaint: /damaged/,
  },
  {
    what: 'has a damaged page',
    corrupt: (file) => writeFileSync(file, withNoise(readFileSync(file))),
    complaint: /damaged/,
  },
  {
    what: 'was made by a newer release',
    corrupt: alterBy("insert into migrations values ('9999-later', 0)"),
    complaint: /newer release/,
  },
  {
    what: 'has another schema',
    corrupt: alterBy('alter table identities add column more text'),
    complaint: /^the schema of .* differs from that of this release \(table identities\)/,
  },
  {
    what: 'would do something by itself',
    corrupt: alterBy('create trigger t after delete on nodes begin delete from head; end'),
    complaint: /^the schema of .* differs from that of this release \(trigger t\)/,
  },
  {
    what: 'is of the other mode',
    corrupt: alterBy("update meta set value = 'production' where name = 'mode'"),
    complaint: /made in production mode/,
  },
  {
    what: 'has a log beside it',
    corrupt: (file) => writeFileSync(`${file}-wal`, 'x'),
    complaint: /write-ahead log beside it/,
  },
  { what: 'is not there', corrupt: (file) => rmSync(file), complaint: /cannot be read \(ENOENT\)/ },
];

const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

describe('a backup is refused, and nothing is touched, when it', () => {
  const root = mkdtempSync(join(tmpdir(), 'linarite-restore-'));
  const folder = join(root, 'data');
  const database = join(folder, 'linarite.db');
  const settings = readSettings({ LINARITE_DATA: folder });
  let untouched: string;
  before(async () => {
    const context = { after: () => undefined } as never;
    await (await startTestServer(context, { folder })).server.close();
    untouched = digest(database);
  });
  after(() => rmSync(root, { recursive: true }));

  const assertUntouched = (): void => {
    assert.equal(digest(database), untouched);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('linarite.db')),
      ['linarite.db'],
    );
  };

  for (const { what, corrupt, complaint } of ROWS) {
    test(what, async () => {
      const file = join(mkdtempSync(join(root, 'backup-')), 'backup.db');
      copyFileSync(database, file);
      corrupt(file);
      await assert.rejects(restore(settings, file), { name: 'StoreError', message: complaint });
      assertUntouched();
    });
  }

  test('is the database that it would replace, under another name too', async () => {
    for (const file of [database, join(folder, '..', 'data', 'linarite.db')])
      await assert.rejects(restore(settings, file), { message: /is the database in use/ });
    assertUntouched();
  });

  test('was made under another key-encryption key', async () => {
    const file = join(root, 'backup.db');
    copyFileSync(database, file);
    const other = readSettings({ LINARITE_DATA: folder, LINARITE_KEK: randomBytes(32).toString('base64') });
    await assert.rejects(restore(other, file), { message: /the key-encryption key is not the one/ });
    assertUntouched();
  });
});

function alter(file: string, text: string): void {
  const db = new DatabaseSync(file);
  db.exec(text);
  db.close();
}

/** Noise in the middle of a page, where no header gives it away. */
function withNoise(bytes: Buffer): Buffer {
  randomBytes(2000).copy(bytes, 2 * 4096);
  return bytes;
}
