import { ok, type Route, route } from '../../http/route.ts';
import { int32, listOf, maybe, object, text } from '../../http/schema.ts';
import { wholeSeconds } from '../../lib/instants.ts';
import type { DataKeyInfo, KeyRotation } from '../../secrets/key-rotation.ts';

const DATA_KEYS = object({
  dataKeys: listOf(
    object({
      id: text(),
      state: text(),
      createdAt: text({ format: 'date-time' }),
      encryptions: int32(),
      values: int32(),
      kekId: maybe(text()),
    }),
  ),
});

/** The keys that the store's secrets are sealed with. */
export const keyRingRoutes = (rotation: KeyRotation): Route[] => [
  route({
    operation: 'showKeyRing',
    summary:
      'Lists the data keys, oldest first. Each has the number of values in the store that it encrypts, and the id of the key-encryption key that encrypts it.',
    at: 'GET /-/key-ring',
    access: { caller: 'operator' },
    answers: { 200: DATA_KEYS },
    handle: async () => ok(wireOf(await rotation.show())),
  }),
  route({
    operation: 'rotateDataKey',
    summary:
      'Makes a new data key and encrypts new values with it. In the background, the server encrypts again with it what former keys encrypted. The answer has the form of showKeyRing.',
    at: 'POST /-/key-ring/rotate-data-key',
    access: { caller: 'operator' },
    answers: { 200: DATA_KEYS },
    async handle() {
      await rotation.rotateDataKey();
      return ok(wireOf(await rotation.show()));
    },
  }),
  route({
    operation: 'rotateKek',
    summary:
      'Reads the key-encryption key of the settings again, and encrypts every data key with it. `rewrapped` is the number of data keys that another key-encryption key encrypted before.',
    at: 'POST /-/key-ring/rotate-kek',
    access: { caller: 'operator' },
    answers: { 200: object({ kekId: text(), rewrapped: int32() }) },
    handle: async () => ok(await rotation.rotateKek()),
  }),
];

const wireOf = (infos: readonly DataKeyInfo[]) => ({
  dataKeys: infos.map(({ createdAtMs, ...rest }) => ({ ...rest, createdAt: wholeSeconds(createdAtMs) })),
});
