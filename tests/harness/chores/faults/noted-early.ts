// Notes that a deleted resource is forgotten when the work begins, not when it is done.
import { Resources } from '../../../../src/resources/resources.ts';

const { unfinishedDeletions } = Resources.prototype;
Resources.prototype.unfinishedDeletions = async function () {
  const ids = await unfinishedDeletions.call(this);
  for (const id of ids) await this.noteSweep(id);
  return ids;
};
