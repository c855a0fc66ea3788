import { FactStore } from '../../../../src/cluster/fact-store.ts';
import { Positions } from '../../../../src/cluster/positions.ts';
import type { Database } from '../../../../src/storage/database.ts';
import type { Joining } from '../made-up-plane.ts';

/**
 * Planted: a session goes where a hint says its stream is, and forgets what lies between.
 * @returns how sessions join, and what takes the fault out again
 */
export function trustingDelivery(dbOf: (node: Parameters<Joining>[0]) => Database): [Joining, () => void] {
  const { hinted } = Positions.prototype;
  const listeners = new Map<Positions | string, ((position: number) => void)[]>();
  Positions.prototype.hinted = function (moved) {
    for (const listener of listeners.get(moved.stream) ?? []) listener(moved.position);
    return hinted.call(this, moved);
  };
  const join: Joining = (node, stream, from, session) => {
    const store = new FactStore(dbOf(node));
    let position = from;
    const listener = async (to: number): Promise<void> => {
      if (to <= position) return;
      position = to;
      const { facts } = await store.page(stream, to - 1);
      await session.onFacts(facts.filter((fact) => fact.position === to));
    };
    listeners.set(stream, [...(listeners.get(stream) ?? []), (to) => void listener(to).catch(() => undefined)]);
  };
  return [
    join,
    () => {
      Positions.prototype.hinted = hinted;
    },
  ];
}
