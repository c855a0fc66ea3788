import { type Chore, chore } from '../chores/chore.ts';
import type { KeyRotation } from './key-rotation.ts';

/** What is done for data keys: once for all nodes, and the counts that each node has in memory by each node. */
export const dataKeyChores = (rotation: Pick<KeyRotation, 'maintain' | 'noteEncryptions'>): Chore[] => [
  chore('dataKeys', (signal) => rotation.maintain(signal)),
  chore('encryptions', () => rotation.noteEncryptions()),
];
