import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { IdentityStore } from '../../src/identities/identity-store.ts';
import { REASON_OF, type RevocableToken, revocable } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import type { Database } from '../../src/storage/database.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import type { TokenClaims } from '../../src/tokens/claims.ts';
import { claimsOf, OPERATOR_KEY } from '../harness/dev-tokens.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { DEV_ID } from '../harness/resources.ts';
import { FOR_GOOD, FOR_NOW, givenExchange, type Subject } from '../harness/revocation/endings.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

// Below the floor of what a node remembers, the rows decide: they must say the same as the memory did.

/** What a verified token is judged by. */
function judgedBy(jwt: string): RevocableToken {
  const { sub, resourceId, ks, tr, as, rv, iat } = claimsOf(jwt) as unknown as TokenClaims;
  const { kid } = JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString());
  return revocable({
    resourceId,
    identityId: sub,
    keySlot: ks,
    trustId: tr,
    assignmentId: as,
    kid,
    position: rv,
    issuedAtSeconds: iat,
  });
}

const { 'killing the signing key': killing, ...others } = FOR_NOW;

const ENDINGS: Readonly<Record<string, (server: TestServer) => Promise<Subject>>> = {
  async 'ending everything'(server) {
    const id = await server.givenIdentity();
    const end = async () => {
      await server.server.revocations.record({ kind: 'all' });
      return 204;
    };
    return { issue: () => server.givenToken(id), end };
  },
  async 'killing the signing key'(server) {
    await server.server.keys.rotateNow(); // the one of the tokens so far lives on
    return killing(server);
  },
  ...FOR_GOOD,
  ...others,
};

for (const store of STORES)
  test(`the rows tell of every ending what the memory tells, on ${store}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'linarite-rows-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const url = store === 'postgres' ? await freshDatabase(t) : undefined;
    const env = { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_OPERATOR_KEY: OPERATOR_KEY };
    const server = await startTestServer(t, { folder, env: { ...env, ...(url && { LINARITE_DATABASE_URL: url }) } });
    const tokens: { about: string; jwt: string }[] = [];
    for (const [what, given] of Object.entries(ENDINGS)) {
      const subject = await given(server);
      const before = await subject.issue();
      await subject.end();
      const after = await subject.issue();
      if (before !== undefined) tokens.push({ about: `${what}, before`, jwt: before });
      if (after !== undefined) tokens.push({ about: `${what}, after`, jwt: after });
    }
    const byMemory: string[] = [];
    for (const { about, jwt } of tokens) {
      const { headers } = await server.asUser(jwt);
      byMemory.push(`${about}: ${String(headers['x-linarite-reason'] ?? 'good').split(';')[0]}`);
    }
    assert.equal(tokens.filter(({ about }) => about.endsWith('before')).length, Object.keys(ENDINGS).length);

    const id = await server.givenIdentity();
    const bounded = judgedBy(await server.givenToken(id));
    const boundSeconds = bounded.issuedAtSeconds - 100;
    const patch = `PATCH /identities/${encodeURIComponent(id)}?api-version=2020-07-20-preview1`;
    const tokensValidFrom = new Date(boundSeconds * 1000).toISOString();
    assert.equal((await server.asService(patch, { tokensValidFrom })).status, 204);
    await server.server.close();

    const open = async (): Promise<Database> => (url ? openPostgres(url) : openSqlite(join(folder, 'linarite.db')));
    const db = await open();
    t.after(() => db.close());
    const rows = new RevocationStore(db);
    const byRows: string[] = [];
    for (const { about, jwt } of tokens) {
      const verdict = await rows.verdictFromRows(judgedBy(jwt), 0);
      byRows.push(`${about}: ${verdict ? REASON_OF[verdict.kind] : 'good'}`);
    }
    assert.deepEqual(byRows, byMemory);

    const issuedAt = async (seconds: number) =>
      (await rows.verdictFromRows({ ...bounded, issuedAtSeconds: seconds }, 0))?.kind;
    assert.equal(await issuedAt(boundSeconds - 1), 'validFrom');
    assert.equal(await issuedAt(boundSeconds), undefined);
    const halfASecondLater = boundSeconds * 1000 + 500;
    await db.writer.write((tx) => new IdentityStore().setValidFrom(tx, DEV_ID, bounded.identityId, halfASecondLater));
    assert.equal(await issuedAt(boundSeconds), 'validFrom');
    assert.equal(await issuedAt(boundSeconds + 1), undefined);
  });

for (const store of STORES)
  test(`a user who was deleted and exchanges a token again has none of the former ones, as the rows tell, on ${store}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'linarite-rows-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const url = store === 'postgres' ? await freshDatabase(t) : undefined;
    const env = { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_OPERATOR_KEY: OPERATOR_KEY };
    const server = await startTestServer(t, { folder, env: { ...env, ...(url && { LINARITE_DATABASE_URL: url }) } });
    const { issue, deleteUser } = await givenExchange(server);
    const before = judgedBy((await issue()) ?? '');
    assert.equal(await deleteUser(before.identityId), 204);
    const after = judgedBy((await issue()) ?? '');
    assert.equal(after.identityId, before.identityId);
    await server.server.close();

    const db = url ? await openPostgres(url) : openSqlite(join(folder, 'linarite.db'));
    t.after(() => db.close());
    const rows = new RevocationStore(db);
    assert.deepEqual(
      [(await rows.verdictFromRows(before, 0))?.kind, await rows.verdictFromRows(after, 0)],
      ['identity', undefined],
    );
  });
