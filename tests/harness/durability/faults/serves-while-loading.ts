// Planted fault: the door opens before the revocation log is read; that is done beside, and takes its time.
import { setTimeout as sleep } from 'node:timers/promises';
import { RevocationStore } from '../../../../src/revocation/revocation-store.ts';
import { Revocations } from '../../../../src/revocation/revocations.ts';

const { head, startOfWindow, resourcesBoundAfter, after } = RevocationStore.prototype;
const { start } = Revocations.prototype;
let startsAfter = 0;
/** Where the log seems to end while the server starts. */
let end: number | undefined;

RevocationStore.prototype.startOfWindow = async function (windowMs) {
  startsAfter = await startOfWindow.call(this, windowMs);
  return startsAfter;
};
RevocationStore.prototype.resourcesBoundAfter = async function (ms) {
  end = startsAfter + 1; // the log was checked by now; tokens of the sample were issued at its first entry
  return resourcesBoundAfter.call(this, ms);
};
RevocationStore.prototype.head = async function (rows) {
  const found = await head.call(this, rows);
  return { ...found, seq: end ?? found.seq };
};
RevocationStore.prototype.after = async function (seq, limit) {
  if (end === undefined) await sleep(500);
  return after.call(this, seq, limit);
};
Revocations.prototype.start = async function () {
  await start.call(this);
  end = undefined;
  void this.heartbeat();
};
