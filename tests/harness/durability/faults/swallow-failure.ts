// Planted fault: a failure of the store is taken for success. Loaded into a server before it starts.
import { GroupWriter } from '../../../../src/storage/writer.ts';

const { write } = GroupWriter.prototype;
GroupWriter.prototype.write = async function <T>(work: Parameters<typeof write<T>>[0]): Promise<T> {
  let value: T | undefined;
  let isDone = false;
  try {
    return await write.call<GroupWriter, [typeof work], Promise<T>>(this, async (tx) => {
      value = await work(tx);
      isDone = true;
      return value;
    });
  } catch (cause) {
    if (!isDone) throw cause;
    return value as T;
  }
};
