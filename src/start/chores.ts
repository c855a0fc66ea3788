import type { Access } from '../access.ts';
import { type Base, MINUTE_MS } from '../base.ts';
import type { ServerCertificates } from '../certificates/server-certificates.ts';
import type { Monitor } from '../monitoring/monitor.ts';
import { clockOffsetSeconds } from '../storage/clock-offset.ts';
import { noteClock } from '../storage/store-checks.ts';
import type { Mode } from './mode.ts';

/** What has to be seen to now and then. The signal is given when the server stops. */
type Chore = readonly [name: string, run: (stopping: AbortSignal) => Promise<void>];

export function choresOf(
  mode: Mode,
  { settings, db, clock, time, events, metrics }: Base,
  { keys, keyRotation, resources, assignments, identities }: Access,
  certificates: ServerCertificates,
): Chore[] {
  let clockOffset: number | undefined;
  metrics.watch({ clockOffset: () => clockOffset });
  const chores: Chore[] = [
    // Keys that a wrong clock throws away are gone for good; after a jump there is no hurry.
    ['rotating signing keys', async () => void (time.isSettled() && (await keys.rotate()))],
    ['maintaining data keys', () => keyRotation.tend()],
    [
      'removing identities of deleted resources',
      async (stopping) => {
        for (const id of await resources.unfinishedDeletions()) {
          await assignments.removeAllOf(id);
          await identities.removeAllOf(id, stopping);
        }
      },
    ],
    ['renewing the certificate', () => certificates.renewWhenDue()],
    [
      'comparing the clock with that of the store',
      async () => {
        clockOffset = await clockOffsetSeconds(db, clock);
      },
    ],
  ];
  if (mode.name === 'production') chores.push(['noting the time', () => noteClock(db, clock)]);
  if (settings.wellKnownKey === 'everywhere') chores.push(['warning', async () => warnOfWellKnownKey(events)]);
  return chores;
}

const warnOfWellKnownKey = (events: Pick<Monitor, 'notice'>): void =>
  events.notice(
    'warn',
    'the published development key is accepted from everywhere: anybody who reaches the port controls everything',
  );

/** Runs chores once a minute. Each that fails is reported and tried again the next time. */
export function startChores(chores: readonly Chore[], events: Pick<Monitor, 'notice'>): { stop: () => Promise<void> } {
  const stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const runAll = async (): Promise<void> => {
    for (const [name, run] of chores) {
      await run(stopping.signal).catch((cause: unknown) => events.notice('error', `${name} failed`, { cause }));
    }
  };
  const first = setTimeout(() => {
    running = runAll();
  }, 1000).unref();
  const timer = setInterval(() => {
    running = running.then(runAll);
  }, MINUTE_MS).unref();
  return {
    async stop() {
      stopping.abort();
      clearTimeout(first);
      clearInterval(timer);
      await running;
    },
  };
}
