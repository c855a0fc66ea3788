import type { Migration } from '../migrate.ts';
import { core } from './0001-core.ts';
import { management } from './0002-management.ts';
import { trusts } from './0003-trusts.ts';
import { logChecks } from './0004-log-checks.ts';
import { keyRing } from './0005-key-ring.ts';
import { logByKind } from './0006-log-by-kind.ts';
import { identitiesByBound } from './0007-identities-by-bound.ts';
import { nodeConfig } from './0008-node-config.ts';
import { facts } from './0009-facts.ts';
import { chores } from './0010-chores.ts';

/** Every step, in order. */
export const MIGRATIONS: readonly Migration[] = [
  core,
  management,
  trusts,
  logChecks,
  keyRing,
  logByKind,
  identitiesByBound,
  nodeConfig,
  facts,
  chores,
];
