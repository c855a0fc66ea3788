// One run of R8, in a process of its own so that its memory is nobody else's: node many-revocations.ts COUNT BYTES_MOST
import type { AssignmentId, IdentityId, KeySlot, ResourceId, TrustId } from '../../../src/callers.ts';
import { type RevocableToken, type RevocationEvent, revocable } from '../../../src/revocation/event.ts';
import { RevocationState } from '../../../src/revocation/revocation-state.ts';
import { guidOf, isAboutOne, type Mixed, mixedEvent, risingIdentity } from '../mixed-events.ts';

const [count = 0, bytesMost = 0] = process.argv.slice(2).map(Number);
const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const HOUR_MS = 3_600_000;
const MEBIBYTE = 1024 * 1024;
const PROBES = 100_000;
const FIRST_BOUND_MS = 1_000_000_000;

const identity = (n: number): IdentityId => `8:acs:${RESOURCE}_${guidOf(String(n))}` as IdentityId;
const mixed: Mixed = { resourceId: RESOURCE, identity, firstBoundMs: FIRST_BOUND_MS };
/** Event `n` of the run: first the end of everything, then the mix. */
const eventAt = (n: number): RevocationEvent => (n === 1 ? { kind: 'all' } : mixedEvent(n, mixed));

/** A token that an event is about, issued long after every bound. */
function tokenOf(event: RevocationEvent, position: number): RevocableToken {
  const { resourceId, identityId, slot, trustId, assignmentId, kid } = event as Partial<{
    resourceId: ResourceId;
    identityId: IdentityId;
    slot: KeySlot;
    trustId: TrustId;
    assignmentId: AssignmentId;
    kid: string;
  }>;
  return revocable({
    resourceId: resourceId ?? RESOURCE,
    identityId: identityId ?? identity(0),
    keySlot: slot,
    trustId,
    assignmentId,
    kid: kid ?? 'K',
    position,
    issuedAtSeconds: Number.MAX_SAFE_INTEGER,
  });
}

const resident = (): number => {
  globalThis.gc?.();
  return process.memoryUsage.rss() / MEBIBYTE;
};

/** Applies so many. @returns the most memory meanwhile */
function apply(state: RevocationState, count: number): number {
  let most = 0;
  for (let seq = 1; seq <= count; seq += 1) {
    state.apply({ ...eventAt(seq), seq }, 0);
    if (seq % 100_000 === 0) most = Math.max(most, process.memoryUsage.rss() / MEBIBYTE);
  }
  return most;
}

// What the making of events leaves for the collector is not the server's.
apply(new RevocationState(0, 0, 25 * HOUR_MS, MEBIBYTE), 1_000_000);
const state = new RevocationState(0, 0, 25 * HOUR_MS, bytesMost);
const before = resident();
const buffersBefore = process.memoryUsage().arrayBuffers;
const most = apply(state, count);
const after = resident();

// Event n ends what was issued before it and nothing else. Below the floors, rows decide: memory must not accept there.
let wrong = 0;
let leftToRows = 0;
const isEnded = (token: RevocableToken): boolean => state.verdict(token) !== undefined;
const expect = (isRight: boolean): void => {
  if (!isRight) wrong += 1;
};
function probe(n: number): void {
  const event = eventAt(n);
  if (event.kind === 'validFrom') {
    const token = { ...tokenOf(event, n), issuedAtSeconds: Math.ceil(event.validFromMs / 1000) };
    expect(!isEnded(token));
    expect(state.needsRows({ ...token, issuedAtSeconds: token.issuedAtSeconds - 1 })); // it may be ended
    return;
  }
  const before = tokenOf(event, n - 1);
  const isLeft = !isEnded(before) && state.needsRows(before);
  if (isLeft) leftToRows += 1;
  expect(isLeft || isEnded(before));
  if (n === 1 || isAboutOne(n)) expect(!isEnded(tokenOf(event, n)));
}
for (let index = 0; index < PROBES; index += 1) {
  const n = 1 + Math.floor((index / PROBES) * count);
  probe(n);
  const other = tokenOf({ kind: 'identity', resourceId: RESOURCE, identityId: identity(-n) }, 1);
  expect(!isEnded(other)); // nobody has ended anything of that one
}
const rising = tokenOf({ kind: 'identity', resourceId: RESOURCE, identityId: risingIdentity(RESOURCE) }, count);
expect(state.needsRows({ ...rising, issuedAtSeconds: Math.floor((FIRST_BOUND_MS + count - 20) / 1000) - 1 }));
let distinct = 1; // the one with the bounds that rise
for (let n = 2; n <= count; n += 1) distinct += Number(isAboutOne(n));

console.log(
  JSON.stringify({
    revocations: count,
    distinct,
    inMemory: state.size,
    growthMebibytes: Math.round(after - before),
    growthMebibytesMost: Math.round(most - before),
    tableMebibytes: Math.round((process.memoryUsage().arrayBuffers - buffersBefore) / MEBIBYTE),
    wrongVerdicts: wrong,
    leftToRows,
  }),
);
