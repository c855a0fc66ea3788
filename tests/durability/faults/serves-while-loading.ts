// Planted fault: the door opens before the revocation log is read; that is done beside, and takes its time.
import { setTimeout as sleep } from 'node:timers/promises';
import { RevocationStore } from '../../../src/revocation/revocation-store.ts';
import { Revocations } from '../../../src/revocation/revocations.ts';

const { head, startOfWindow, after } = RevocationStore.prototype;
const { start } = Revocations.prototype;
/** Where the log seems to end while the server starts. */
let end: number | undefined;

RevocationStore.prototype.startOfWindow = async function (windowMs) {
  end = await startOfWindow.call(this, windowMs);
  return end;
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
