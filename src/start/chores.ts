import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Access } from '../access.ts';
import type { Base } from '../base.ts';
import type { ServerCertificates } from '../certificates/server-certificates.ts';
import { type Chore, chore } from '../chores/chore.ts';
import { ChoreDriver } from '../chores/chore-driver.ts';
import { CHORE_LEASE_MS, LeaseStore } from '../chores/lease-store.ts';
import type { Monitor } from '../monitoring/monitor.ts';
import { finishDeletions } from '../resources/deletion-chores.ts';
import { dataKeyChores } from '../secrets/key-ring-chores.ts';
import { clockOffsetSeconds } from '../storage/clock-offset.ts';
import { rotateSigningKeys } from '../tokens/signing-key-chores.ts';
import type { Mode } from './mode.ts';

/** What the server does again and again, planes aside. */
export function choresOf(
  mode: Mode,
  base: Base,
  { keys, keyRotation, resources, forgetting }: Access,
  certificates: ServerCertificates,
): Chore[] {
  const { settings, db, cluster, clock, time, events, metrics } = base;
  let clockOffset: number | undefined;
  metrics.watch({ clockOffset: () => clockOffset });
  const chores = [
    rotateSigningKeys({ keys, time }),
    ...dataKeyChores(keyRotation),
    finishDeletions({ resources, forgetting }),
    chore('facts', async (signal) => void (await cluster.removeOldFacts(signal))),
    chore('clockOffset', async () => {
      clockOffset = await clockOffsetSeconds(db, clock);
    }),
  ];
  chores.push(...mode.chores(base, certificates));
  if (settings.wellKnownKey === 'everywhere')
    chores.push(chore('wellKnownKey', async () => warnOfWellKnownKey(events)));
  return chores;
}

const warnOfWellKnownKey = (events: Pick<Monitor, 'notice'>): void =>
  events.notice(
    'warn',
    'the published development key is accepted from everywhere: anybody who reaches the port controls everything',
  );

/** Begins with the chores. A process that has its store alone is the one node of all of them. */
export function startChores({ settings, db, clock, events }: Base, chores: readonly Chore[]): ChoreDriver {
  const leases = db.exclusive ? undefined : new LeaseStore(db, { holder: randomUUID(), leaseMs: CHORE_LEASE_MS });
  const driver = new ChoreDriver({ chores, leases, clock, sleep, events }, { stopMs: settings.stopSeconds * 1000 });
  driver.start();
  return driver;
}
