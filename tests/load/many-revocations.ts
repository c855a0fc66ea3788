// One run of R8, in a process of its own so that its memory is nobody else's: node many-revocations.ts COUNT BYTES_MOST
import { hash } from 'node:crypto';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { type RevocableToken, revocable } from '../../src/revocation/event.ts';
import { RevocationState } from '../../src/revocation/revocation-state.ts';

const [count = 0, bytesMost = 0] = process.argv.slice(2).map(Number);
const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const HOUR_MS = 3_600_000;
const MEBIBYTE = 1024 * 1024;
const PROBES = 100_000;

const identity = (n: number): IdentityId => `8:acs:${RESOURCE}_${hash('sha1', String(n)).slice(0, 24)}` as IdentityId;
const token = (n: number, position: number): RevocableToken =>
  revocable({
    resourceId: RESOURCE,
    identityId: identity(n),
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position,
    issuedAtSeconds: 0,
  });
const resident = (): number => {
  globalThis.gc?.();
  return process.memoryUsage.rss() / MEBIBYTE;
};

/** Applies so many, each of an identity of its own. @returns the most memory meanwhile */
function revoke(state: RevocationState, count: number): number {
  let most = 0;
  for (let n = 1; n <= count; n += 1) {
    state.apply({ kind: 'identity', resourceId: RESOURCE, identityId: identity(n), seq: n }, 0);
    if (n % 100_000 === 0) most = Math.max(most, process.memoryUsage.rss() / MEBIBYTE);
  }
  return most;
}

// What the making of events leaves for the collector is not the server's.
revoke(new RevocationState(0, 0, 25 * HOUR_MS, MEBIBYTE), 1_000_000);
const state = new RevocationState(0, 0, 25 * HOUR_MS, bytesMost);
const before = resident();
const buffersBefore = process.memoryUsage().arrayBuffers;
const most = revoke(state, count);
const after = resident();

// Event n ends what was issued before it and nothing else. Below the floor, rows decide: memory must not accept there.
let wrong = 0;
let leftToRows = 0;
for (let probe = 0; probe < PROBES; probe += 1) {
  const n = 1 + Math.floor((probe / PROBES) * count);
  const endedHere = state.verdict(token(n, n - 1)) !== undefined;
  const isBelowFloor = n - 1 < state.floor;
  if (!endedHere && isBelowFloor) leftToRows += 1;
  if (!endedHere && !isBelowFloor) wrong += 1;
  if (state.verdict(token(n, n)) !== undefined) wrong += 1;
  if (state.verdict(token(count + n, 0)) !== undefined) wrong += 1;
}
console.log(
  JSON.stringify({
    revocations: count,
    inMemory: state.size,
    growthMebibytes: Math.round(after - before),
    growthMebibytesMost: Math.round(most - before),
    tableMebibytes: Math.round((process.memoryUsage().arrayBuffers - buffersBefore) / MEBIBYTE),
    wrongVerdicts: wrong,
    leftToRows,
  }),
);
