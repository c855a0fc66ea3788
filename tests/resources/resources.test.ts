import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResourceId, ServiceCaller } from '../../src/callers.ts';
import { STORES } from '../harness/postgres.ts';
import { accessKeyOf, DEV_ID } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000' as ResourceId;
let names = 0;
const newName = (): string => `resource-${names++}`;

for (const store of STORES) {
  describe(`resources on ${store}`, () => {
    let server: TestServer;
    shareServer(
      (started) => {
        server = started;
      },
      { store },
    );
    const resources = () => server.server.resources;

    test('are made with two different keys of 64 bytes, and listed oldest first', async () => {
      const first = await resources().create({ name: newName(), location: 'europe' });
      const second = await resources().create({ name: newName() });
      assert.deepEqual([first.location, first.region], ['europe', 'emea']);
      assert.deepEqual([second.location, second.region], ['unitedstates', 'amer']);
      const ids = resources()
        .list()
        .map(({ id }) => id);
      assert.equal(ids[0], DEV_ID);
      assert.ok(ids.includes(first.id) && ids.includes(second.id));
      const keys = [first, second].flatMap(({ id }) => [
        accessKeyOf(server, 'primary', id),
        accessKeyOf(server, 'secondary', id),
      ]);
      assert.equal(new Set(keys).size, 4);
      for (const key of keys) assert.equal(Buffer.from(key, 'base64').length, 64);
    });

    test('have names of their own, whatever the case, until they are deleted', async () => {
      const name = newName();
      const { id } = await resources().create({ name });
      await assert.rejects(resources().create({ name }), { error: 'ResourceNameTaken' });
      await assert.rejects(resources().create({ name: name.toUpperCase() }), { error: 'ResourceNameTaken' });
      await resources().delete(id);
      const again = await resources().create({ name });
      assert.notEqual(again.id, id);
    });

    test('are made once by twenty callers who want the same name', async () => {
      const name = newName();
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => resources().create({ name })));
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    });

    test('never get a GUID that was somebody’s', async () => {
      const { id } = await resources().create({ name: newName() });
      await assert.rejects(resources().create({ name: newName(), id }), { error: 'ResourceNameTaken' });
      await resources().delete(id);
      await assert.rejects(resources().create({ name: newName(), id }), { error: 'ResourceNameTaken' });
    });

    test('get one key anew at a time, counting', async () => {
      const { id } = await resources().create({ name: newName() });
      const before = resources().get(id).keys;
      const fresh = await resources().regenerateKey(id, 'secondary');
      const after = resources().get(id).keys;
      const keyIn = (keys: typeof before, slot: string) => keys.find((key) => key.slot === slot);
      assert.deepEqual([fresh.slot, fresh.version], ['secondary', 2]);
      assert.ok(keyIn(after, 'secondary')?.secret.equals(fresh.secret));
      assert.ok(!keyIn(before, 'secondary')?.secret.equals(fresh.secret));
      assert.equal(keyIn(after, 'primary')?.version, 1);
      await Promise.all(Array.from({ length: 5 }, () => resources().regenerateKey(id, 'secondary')));
      assert.equal(keyIn(resources().get(id).keys, 'secondary')?.version, 7);
    });

    test('that do not exist have no keys to regenerate and cannot be deleted, and no event is left of the attempt', async () => {
      const { position } = server.server.revocations;
      await assert.rejects(resources().regenerateKey(NOBODY, 'primary'), { error: 'ResourceNotFound' });
      await assert.rejects(resources().delete(NOBODY), { error: 'ResourceNotFound' });
      assert.throws(() => resources().get(NOBODY), { error: 'ResourceNotFound' });
      await server.server.revocations.heartbeat();
      assert.equal(server.server.revocations.position, position);
    });

    test('are gone with keys and identities when they are deleted', async () => {
      const { id } = await resources().create({ name: newName() });
      const key = accessKeyOf(server, 'primary', id);
      for (let n = 0; n < 3; n += 1) await server.asService('POST /identities', {}, { key });
      await resources().delete(id);
      assert.ok(!resources().has(id));
      assert.equal((await server.asService('POST /identities', {}, { key })).status, 401);
      await assert.rejects(resources().delete(id), { error: 'ResourceNotFound' });
      assert.ok((await resources().unfinishedDeletions()).includes(id));
      const { identities } = server.server;
      const left = () =>
        identities.list({ resourceId: id } as ServiceCaller, { size: 9, after: undefined, customId: undefined });
      await identities.forgetter.resource?.(id, new AbortController().signal);
      assert.deepEqual((await left()).page, []);
      await resources().noteSweep(id);
      assert.ok(!(await resources().unfinishedDeletions()).includes(id));
    });
  });
}
