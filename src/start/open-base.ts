import { randomUUID } from 'node:crypto';
import type { Base } from '../base.ts';
import { ServerCertificates } from '../certificates/server-certificates.ts';
import { Cluster, carrierFor } from '../cluster/cluster.ts';
import { type BindOptions, type BoundPort, bind } from '../http/bind.ts';
import type { Clock } from '../lib/clock.ts';
import { SteadyTime } from '../lib/steady-time.ts';
import type { Log } from '../monitoring/log.ts';
import { Monitor } from '../monitoring/monitor.ts';
import { ServerMetrics } from '../monitoring/server-metrics.ts';
import { type OperatorKey, operatorKey } from '../operators/operator-key.ts';
import { kekReader } from '../secrets/kek.ts';
import { KeyRing } from '../secrets/key-ring.ts';
import type { Settings } from '../settings.ts';
import { dataFolder, openDatabase } from '../storage/data-folder.ts';
import type { Database } from '../storage/database.ts';
import { migrate, stepsAhead } from '../storage/migrate.ts';
import { checkMark } from '../storage/store-checks.ts';
import { VERSION } from '../version.ts';
import type { Mode } from './mode.ts';

interface Given {
  clock: Clock;
  log: Log;
  onFatal: () => void;
  /** Takes what has to be closed. */
  opened: AsyncDisposableStack;
}

export interface OpenedBase {
  readonly base: Base;
  /** Open, so that the address is known, and not answered on yet. */
  readonly port: BoundPort;
  /** What takes its time at the first start, and is made beside the rest. */
  readonly certificates: Promise<ServerCertificates>;
  readonly operator: Promise<OperatorKey>;
}

/**
 * Opens what every part stands on: folder, store, keys and port.
 * @throws SettingsError, StoreError, or the system's error when the port cannot be had
 */
export async function openBase(
  mode: Mode,
  settings: Settings,
  { clock, log, onFatal, opened }: Given,
): Promise<OpenedBase> {
  const readKeks = kekReader(settings);
  await readKeks(); // says what is wrong before anything is made
  const folder = dataFolder(settings);
  const metrics = new ServerMetrics(VERSION);
  const events = new Monitor(log, metrics, (facts) => mode.noteRequest?.(facts, clock.now()));

  // Its lock comes before anything is written into the folder: another server may be starting there.
  const db = await openDatabase(settings, folder, (cause) => {
    events.notice('fatal', 'the disk did not confirm a sync, so this process has stopped writing: restart it', {
      cause,
    });
    onFatal();
  });
  opened.defer(() => db.close());
  mode.prepare(folder);
  const certificates = certificatesOf(mode, settings, { folder, clock, events });
  const operator = operatorKey(settings, folder);
  for (const part of [certificates, operator]) part.catch(() => undefined); // those who wait for it get the error
  opened.defer(async () => (await certificates.catch(() => undefined))?.close());
  await openSchema(db, clock, events);
  await checkMark(db, mode.name);
  await mode.checkStore(db, clock);
  const keyRing = await KeyRing.open({ db, clock, readKeks });

  const onProblem: BindOptions['onProblem'] = (level, message, facts) => {
    if (level !== 'debug') events.notice(level, message, facts);
  };
  const port = await bind({ hosts: settings.hosts, port: settings.port, onProblem });
  opened.defer(() => port.close());
  const origin = settings.publicUrl ?? `https://localhost:${port.port}`;
  const time = new SteadyTime(clock);
  const cluster = new Cluster({
    db,
    clock,
    events,
    carrier: carrierFor(settings, { db, events }),
    nodeId: randomUUID(),
  });
  opened.defer(() => cluster.stop());
  const base = { settings, folder, db, cluster, keyRing, readKeks, clock, time, events, metrics, origin };
  return { base, port, certificates, operator };
}

async function openSchema(db: Database, clock: Clock, events: Monitor): Promise<void> {
  await migrate(db, clock.now());
  const ahead = await stepsAhead(db);
  if (ahead.length === 0) return;
  events.notice('warn', 'a newer release has changed the store; this release can still use it', {
    steps: ahead.join(', '),
  });
}

function certificatesOf(
  { certificates }: Mode,
  { tlsCertificate: certificate, tlsKey: key }: Settings,
  { folder, clock, events }: Pick<Base, 'folder' | 'clock' | 'events'>,
): Promise<ServerCertificates> {
  const files = certificate !== undefined && key !== undefined ? { certificate, key } : undefined;
  return ServerCertificates.open({ clock, events }, { folder, files, ...certificates });
}
