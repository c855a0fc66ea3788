// No fault: the log is carried over into the database every 30 pages instead of every 1,000, so that a short run has it often.
import { DatabaseSync } from 'node:sqlite';

const { exec } = DatabaseSync.prototype;
DatabaseSync.prototype.exec = function (text) {
  exec.call(this, text);
  if (text.startsWith('pragma synchronous')) exec.call(this, 'pragma wal_autocheckpoint = 30');
};
