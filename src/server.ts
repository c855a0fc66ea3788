import { type Access, openAccess } from './access.ts';
import type { Base } from './base.ts';
import { ServerCertificates } from './certificates/server-certificates.ts';
import { Admission } from './http/admission.ts';
import { bind } from './http/bind.ts';
import { type Listener, serve } from './http/listen.ts';
import type { Identities } from './identities/identities.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { SteadyTime } from './lib/steady-time.ts';
import { type Log, openLog } from './monitoring/log.ts';
import { Monitor } from './monitoring/monitor.ts';
import { ServerMetrics } from './monitoring/server-metrics.ts';
import { operatorKey } from './operators/operator-key.ts';
import { Health } from './planes/operator/health.ts';
import type { DevIssuer } from './planes/sign-in/dev-issuer.ts';
import type { Resources } from './resources/resources.ts';
import type { Revocations } from './revocation/revocations.ts';
import { kekReader } from './secrets/kek.ts';
import { KeyRing } from './secrets/key-ring.ts';
import type { Settings } from './settings.ts';
import { choresOf, startChores } from './start/chores.ts';
import type { Mode } from './start/mode.ts';
import { allPlanes, modeOf } from './start/planes.ts';
import { requestPipeline } from './start/request-pipeline.ts';
import { dataFolder, openDatabase } from './storage/data-folder.ts';
import type { Database } from './storage/database.ts';
import { migrate, stepsAhead } from './storage/migrate.ts';
import { checkMark } from './storage/store-checks.ts';
import type { AccessTokens } from './tokens/access-tokens.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import { VERSION } from './version.ts';

/** A running server. */
export interface Server {
  readonly port: number;
  /** Address for clients, with the trailing slash that connection strings have. */
  readonly endpoint: string;
  /** For the development resource; undefined in production mode, where keys are shown to the operator only. */
  readonly connectionString: string | undefined;
  /** Where it listens, as addresses of the system: `http://127.0.0.1:7417`. */
  readonly addresses: readonly string[];
  /** File with the certificate authority of our own making. */
  readonly caPath: string | undefined;
  /** Gives tokens of the dev directory; undefined in production mode. */
  readonly issuer: DevIssuer | undefined;
  /** The domain, for embedding and for tests. Everything else speaks HTTP. */
  readonly resources: Resources;
  readonly identities: Identities;
  readonly tokens: AccessTokens;
  readonly keys: SigningKeys;
  readonly revocations: Revocations;
  /** Reads the certificate files again now; undefined where the settings name none. */
  readonly rereadCertificates: (() => void) | undefined;
  close(): Promise<void>;
}

/** What the process, or a test, hands in. */
export interface Parts {
  clock?: Clock;
  log?: Log;
  /** Called when the server can write no more and has to be started anew by another process. */
  onFatal?: () => void;
}

const BODY_BYTES_TOGETHER = 32 * 1024 * 1024;

/**
 * Opens what everything stands on, then the port, builds the planes, and begins to answer last: what can be reached is ready.
 * @throws SettingsError, StoreError, or the system's error when the port cannot be had
 */
export async function startServer(
  settings: Settings,
  { clock = systemClock, log = openLog(settings), onFatal = () => undefined }: Parts = {},
): Promise<Server> {
  const mode = modeOf(settings);
  mode.checkSettings();
  const readKeks = kekReader(settings);
  await readKeks(); // says what is wrong before anything is made
  const folder = dataFolder(settings);
  const metrics = new ServerMetrics(VERSION);
  const events = new Monitor(log, metrics, (facts) => mode.noteRequest?.(facts, clock.now()));
  const opened = new AsyncDisposableStack();
  opened.defer(() => log.drain());

  try {
    // Its lock comes before anything is written into the folder: another server may be starting there.
    const db = await openDatabase(settings, folder, (cause) => {
      events.notice('fatal', 'the disk did not confirm a sync, so this process has stopped writing: restart it', {
        cause,
      });
      onFatal();
    });
    opened.defer(() => db.close());
    // What takes its time at the first start runs beside the rest.
    mode.prepare(folder);
    const preparing = [
      certificatesOf(settings, mode, { folder, clock, events }),
      operatorKey(settings, folder),
    ] as const;
    for (const part of preparing) part.catch(() => undefined);
    await openSchema(db, clock, events);
    await checkMark(db, mode.name);
    await mode.checkStore(db, clock);
    const keyRing = await KeyRing.open({ db, clock, readKeks });

    const onProblem: Parameters<typeof bind>[0]['onProblem'] = (level, message, facts) =>
      level !== 'debug' && events.notice(level, message, facts);
    const port = await bind({ hosts: settings.hosts, port: settings.port, onProblem });
    opened.defer(() => port.close());
    const origin = settings.publicUrl ?? `https://localhost:${port.port}`;
    const time = new SteadyTime(clock);
    const base: Base = { settings, folder, db, keyRing, readKeks, clock, time, events, metrics, origin };

    const access = await openAccess(base, mode.belief, { operator: await preparing[1], opened });
    await mode.initialize(base, access);
    const health = new Health({ db, revocations: access.revocations, keys: access.keys, clock });
    const certificates = await preparing[0];
    opened.defer(() => certificates.close());
    const planes = allPlanes(mode, base, access, { health, certificates });

    const admission = new Admission({
      places: { usual: settings.requestsMost, urgent: settings.urgentRequestsMost },
      bodyBytes: BODY_BYTES_TOGETHER,
    });
    const road = requestPipeline(mode, base, access, { planes, admission });
    const listener = serve(port, { tls: certificates.tls, road });
    opened.defer(() => listener.close(settings.stopSeconds * 1000, settings.drainSeconds * 1000));
    certificates.serve((pair) => listener.setTls(pair));
    watchMetrics(base, access, { admission, listener });
    const chores = startChores(choresOf(mode, base, access, certificates), events);
    opened.defer(() => chores.stop());
    opened.defer(() => access.keyRotation.stop());
    opened.defer(() => health.stop());
    events.notice('info', 'started', { version: VERSION, port: port.port, mode: mode.name, store: db.dialect });

    const { resources, identities, tokens, keys, revocations } = access;
    return {
      port: port.port,
      endpoint: `${origin}/`,
      connectionString: mode.connectionString(base, access),
      addresses: port.addresses.map((address) => listeningAt(address, port.port, certificates.tls !== undefined)),
      caPath: certificates.caPath,
      issuer: mode.issuer,
      resources,
      identities,
      tokens,
      keys,
      revocations,
      rereadCertificates: certificates.reread,
      async close() {
        events.notice('info', 'stopping');
        await opened.disposeAsync();
      },
    };
  } catch (cause) {
    await opened.disposeAsync().catch(() => undefined);
    throw cause;
  }
}

async function openSchema(db: Database, clock: Clock, events: Monitor): Promise<void> {
  await migrate(db, clock.now());
  const ahead = await stepsAhead(db);
  if (ahead.length === 0) return;
  events.notice('warn', 'a newer release has changed the store; this release can still use it', {
    steps: ahead.join(', '),
  });
}

const certificatesOf = (
  { tlsCertificate: certificate, tlsKey: key }: Settings,
  { certificates }: Mode,
  { folder, clock, events }: { folder: string | undefined; clock: Clock; events: Monitor },
): Promise<ServerCertificates> => {
  const files = certificate !== undefined && key !== undefined ? { certificate, key } : undefined;
  return ServerCertificates.open({ clock, events }, { folder, files, ...certificates });
};

/** Tells the metrics where to read the figures that the parts keep. */
function watchMetrics(
  { metrics, db }: Base,
  { tokens, revocations, keys }: Access,
  { admission, listener }: { admission: Admission; listener: Listener },
): void {
  metrics.watch({
    bodyBytes: () => admission.bodyBytes,
    requestsUnderWay: () => ({ ...admission.underWay }),
    signaturesUnderWay: () => tokens.signing,
    storeJobsWaiting: () => db.writer.waiting,
    logPosition: () => revocations.position,
    leaseAge: () => revocations.leaseAgeMs / 1000,
    signingKeys: () => keys.countByState(),
    storeTransactions: () => db.writer.counts.groups,
    storeJobs: () => db.writer.counts.jobs,
    connections: () => listener.connections.open,
    connectionsRefused: () => listener.connections.refused,
  });
}

const listeningAt = (address: string, port: number, secure: boolean): string =>
  `${secure ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${port}`;
