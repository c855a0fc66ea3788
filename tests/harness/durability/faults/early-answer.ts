// Planted fault: writes are acknowledged before they are committed. Loaded into a server before it starts.
import { setTimeout as sleep } from 'node:timers/promises';
import { GroupWriter } from '../../../../src/storage/writer.ts';

const { write } = GroupWriter.prototype;
GroupWriter.prototype.write = function (work) {
  return new Promise((resolve, reject) => {
    const early: typeof work = async (tx) => {
      const value = await work(tx);
      resolve(value);
      await sleep(20); // time for the answer to go out
      return value;
    };
    write.call(this, early).catch(reject);
  });
};
