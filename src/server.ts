import { openAccess } from './access.ts';
import { Admission } from './http/admission.ts';
import { HELD_MOST, Holds } from './http/holds.ts';
import { serve } from './http/listen.ts';
import { Sockets } from './http/sockets.ts';
import { Tickets } from './http/tickets.ts';
import type { Identities } from './identities/identities.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { type Log, openLog } from './monitoring/log.ts';
import { Health } from './planes/operator/health.ts';
import type { Plane } from './planes/plane.ts';
import type { DevIssuer } from './planes/sign-in/dev-issuer.ts';
import type { Resources } from './resources/resources.ts';
import type { Revocations } from './revocation/revocations.ts';
import type { Settings } from './settings.ts';
import { choresOf, startChores } from './start/chores.ts';
import { openBase } from './start/open-base.ts';
import { allPlanes, modeOf } from './start/planes.ts';
import { requestPipeline } from './start/request-pipeline.ts';
import { watchMetrics } from './start/watch-metrics.ts';
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
  const opened = new AsyncDisposableStack();
  opened.defer(() => log.drain());
  try {
    const { base, port, ...made } = await openBase(mode, settings, { clock, log, onFatal, opened });
    const { db, keyRing, time, events, origin } = base;
    const access = await openAccess(base, mode.trustPolicy, { operator: await made.operator, opened });
    const certificates = await made.certificates;
    await mode.initialize(base, access);
    const health = new Health({ db, revocations: access.revocations, keys: access.keys, clock });
    const planes = allPlanes(mode, base, access, { health, certificates });
    for (const { topics = [] } of planes) for (const topic of topics) await base.cluster.followTopic(topic);
    access.forgetting.register(...planes.flatMap(({ forgets = [] }) => forgets));

    const admission = new Admission({
      places: { usual: settings.requestsMost, urgent: settings.urgentRequestsMost },
      bodyBytes: BODY_BYTES_TOGETHER,
    });
    const parked = new Holds(HELD_MOST);
    const sockets = new Sockets({ holds: new Holds(HELD_MOST), clock, events });
    const tickets = new Tickets({ keys: () => keyRing.derived('tickets'), now: () => time.latest() });
    const handler = requestPipeline(mode, base, access, { planes, admission, parked, sockets, tickets });
    const listener = serve(port, { tls: certificates.tls, handler });
    opened.defer(() => listener.close(settings.stopSeconds * 1000, settings.drainSeconds * 1000));
    certificates.serve((pair) => listener.setTls(pair));
    watchMetrics(base, access, { admission, parked, sockets, listener, planes });
    for (const { hears } of planes) if (hears) await base.cluster.follow(hears.name, hears.run);
    const chores = startChores(base, [
      ...choresOf(mode, base, access, certificates),
      ...planes.flatMap(({ chores = [] }) => chores),
    ]);
    opened.defer(() => stopAll(planes, settings.stopSeconds * 1000));
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

/** Ends what the planes have open. */
async function stopAll(planes: readonly Plane[], forMs: number): Promise<void> {
  const signal = AbortSignal.timeout(forMs);
  await Promise.all(planes.map((plane) => plane.stop?.(signal)));
}

const listeningAt = (address: string, port: number, secure: boolean): string =>
  `${secure ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${port}`;
