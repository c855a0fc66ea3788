import type { Migration } from '../migrate.ts';
import { core } from './0001-core.ts';
import { management } from './0002-management.ts';
import { keyRing } from './0003-key-ring.ts';

/** Every step, in order. */
export const MIGRATIONS: readonly Migration[] = [core, management, keyRing];
