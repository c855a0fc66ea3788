import type { ResourceId } from '../callers.ts';
import { type Chore, chore } from '../chores/chore.ts';
import type { Forgetting } from './forgetting.ts';
import type { Resources } from './resources.ts';

interface Uses {
  resources: Pick<Resources, 'unfinishedDeletions' | 'noteSweep'>;
  forgetting: Pick<Forgetting, 'resource'>;
}

/** Removes what belongs to deleted resources. One that cannot be removed now does not hold up the others. */
export const finishDeletions = (uses: Uses): Chore =>
  chore('deletions', async (signal) => {
    const failures: unknown[] = [];
    for (const id of await uses.resources.unfinishedDeletions()) {
      await sweep(uses, id, signal).catch((cause: unknown) => failures.push(cause));
      signal.throwIfAborted();
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} resources are left`);
  });

async function sweep({ resources, forgetting }: Uses, id: ResourceId, signal: AbortSignal): Promise<void> {
  await forgetting.resource(id, signal);
  await resources.noteSweep(id);
}
