import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Backups } from './backup/backups.ts';
import { Recovery } from './backup/recovery.ts';
import { certificatesFromFiles, type GivenCertificates } from './certificates/certificate-files.ts';
import { CertificateWatch } from './certificates/certificate-watch.ts';
import { certificatesIn } from './certificates/own-certificates.ts';
import { AssignmentStore } from './exchanges/assignment-store.ts';
import { Assignments } from './exchanges/assignments.ts';
import { Exchanges } from './exchanges/exchanges.ts';
import { Admission } from './http/admission.ts';
import { SignatureVerifier } from './http/hmac.ts';
import { HELD_MOST, Holds } from './http/holds.ts';
import { listen, type TlsIdentity } from './http/listen.ts';
import { Pipeline } from './http/pipeline.ts';
import { Quotas } from './http/quotas.ts';
import { Doorkeeper } from './http/request-guard.ts';
import { RouteTable } from './http/routes.ts';
import { Sockets } from './http/sockets.ts';
import { Tickets } from './http/tickets.ts';
import { Identities } from './identities/identities.ts';
import { IdentityStore } from './identities/identity-store.ts';
import { Imports } from './identities/imports.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { SteadyTime } from './lib/steady-time.ts';
import { type Log, openLog } from './monitoring/log.ts';
import { OPEN_METRICS } from './monitoring/metrics.ts';
import { Monitor } from './monitoring/monitor.ts';
import { RecentRequests } from './monitoring/recent-requests.ts';
import { ServerMetrics } from './monitoring/server-metrics.ts';
import { operatorKey } from './operators/operator-key.ts';
import { Start } from './planes/console/start.ts';
import { START_OPERATIONS } from './planes/console/start-routes.ts';
import { FIRST_SUBSCRIPTION } from './planes/management/communication-service.ts';
import { CommunicationServices } from './planes/management/communication-services.ts';
import { ManagementStore } from './planes/management/management-store.ts';
import { Health } from './planes/operator/health.ts';
import { DevIssuer } from './planes/sign-in/dev-issuer.ts';
import { DeviceCodes } from './planes/sign-in/device-codes.ts';
import { APPLICATIONS, DIRECTORY_TENANT } from './planes/sign-in/directory.ts';
import type { IssuerParts } from './planes/sign-in/issuer-routes.ts';
import { issuerKey, issuerSecret } from './planes/sign-in/issuer-secrets.ts';
import { TokenEndpoint } from './planes/sign-in/token-endpoint.ts';
import { DEV_RESOURCE } from './resources/resource.ts';
import { ResourceStore } from './resources/resource-store.ts';
import { Resources } from './resources/resources.ts';
import { checkLog } from './revocation/log-check.ts';
import { RevocationStore } from './revocation/revocation-store.ts';
import { Revocations } from './revocation/revocations.ts';
import { routeList } from './routes.ts';
import { kekReader } from './secrets/kek.ts';
import { KeyRing } from './secrets/key-ring.ts';
import { KeyRotation } from './secrets/key-rotation.ts';
import { Sessions } from './sessions/sessions.ts';
import type { Settings } from './settings.ts';
import { checkNoWellKnownKey, checkSettings } from './start/start-checks.ts';
import { clockOffsetSeconds } from './storage/clock-offset.ts';
import { dataFolder, openDatabase } from './storage/data-folder.ts';
import { migrate, stepsAhead } from './storage/migrate.ts';
import { checkClock, checkDurability, checkMark, noteClock } from './storage/store-checks.ts';
import { AccessTokens } from './tokens/access-tokens.ts';
import { SigningKeyStore } from './tokens/signing-key-store.ts';
import { SigningKeys } from './tokens/signing-keys.ts';
import { TokenStore } from './tokens/token-store.ts';
import { ForeignTokens } from './trusts/foreign-tokens.ts';
import { KeySets } from './trusts/key-sets.ts';
import { Principals } from './trusts/principals.ts';
import { TrustStore } from './trusts/trust-store.ts';
import { Trusts } from './trusts/trusts.ts';
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

/** Name of the trust in the development issuer. */
const DEV_TRUST = 'dev';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Requests that the start page of dev mode shows. */
const RECENT_MOST = 50;
const BODY_BYTES_MOST = 1024 * 1024;
const BODY_BYTES_TOGETHER = 32 * 1024 * 1024;

/**
 * Builds every part once and opens the door last: what can be reached is ready.
 * @throws SettingsError, StoreError, or the system's error when the port cannot be had
 */
export async function startServer(
  settings: Settings,
  { clock = systemClock, log = openLog(settings), onFatal = () => undefined }: Parts = {},
): Promise<Server> {
  checkSettings(settings);
  const { mode } = settings;
  const readKeks = kekReader(settings);
  await readKeks(); // says what is wrong before anything is made
  const folder = dataFolder(settings);
  const time = new SteadyTime(clock);
  const metrics = new ServerMetrics(VERSION);
  const recent = mode === 'dev' ? new RecentRequests({ most: RECENT_MOST, except: START_OPERATIONS }) : undefined;
  const events = new Monitor(log, metrics, (facts) => recent?.add(facts, clock.now()));
  const undo: (() => Promise<void> | void)[] = [() => log.drain()];

  try {
    // Its lock comes before anything is written into the folder: another server may be starting there.
    const db = await openDatabase(settings, folder, (cause) => {
      events.notice('fatal', 'the disk did not confirm a sync, so this process has stopped writing: restart it', {
        cause,
      });
      onFatal();
    });
    undo.push(() => db.close());
    const identity = tlsIdentity(settings, folder, { clock, events }); // takes its time at the first start, so it runs beside the rest
    identity.catch(() => undefined);
    const operator = operatorKey(settings, folder);
    operator.catch(() => undefined);
    const address = { issuer: settings.publicUrl ?? '' }; // with port 0 the port is known only once it is open
    const signIn = mode === 'dev' ? devIssuer(settings, folder, clock, () => address.issuer) : undefined;
    signIn?.catch(() => undefined);

    await migrate(db, clock.now());
    const ahead = await stepsAhead(db);
    if (ahead.length > 0)
      events.notice('warn', 'a newer release has changed the store; this release can still use it', {
        steps: ahead.join(', '),
      });
    await checkMark(db, mode);
    if (mode === 'production') {
      await checkClock(db, clock);
      await checkDurability(db);
    }
    const keyRing = await KeyRing.open({ db, clock, readKeks });

    const lifetimes = {
      shortest: settings.tokenMinutesShortest,
      longest: settings.tokenMinutesLongest,
      usual: settings.tokenMinutesUsual,
    };
    const tokenMs = lifetimes.longest * MINUTE_MS;
    const windowMs = tokenMs + 60 * MINUTE_MS;
    const revocations = new Revocations(
      { store: new RevocationStore(db), writer: db.writer, clock, events, sleep, check: (end) => checkLog(db, end) },
      { nodeId: randomUUID(), exclusive: db.exclusive, leaseMs: settings.leaseMs, windowMs },
    );
    revocations.onConfigChanged(() => keyRing.reload()); // before those who open what it has sealed
    const resources = new Resources({ db, store: new ResourceStore(), revocations, keyRing, clock });
    const keys = new SigningKeys(
      { db, store: new SigningKeyStore(), revocations, keyRing, clock, events },
      {
        algorithm: settings.signingAlgorithm,
        rsaBits: settings.signingRsaBits,
        activeMs: settings.signingKeyDays * DAY_MS,
        tokenMs,
      },
    );
    await revocations.start();
    undo.push(() => revocations.stop());
    await keys.start();
    if (mode === 'dev') await seedDevResource(resources, settings);
    else checkNoWellKnownKey(resources);

    const identityStore = new IdentityStore();
    const identities = new Identities({ db, store: identityStore, revocations, clock, events });
    const imports = new Imports({ db, store: identityStore, clock, events });
    const tokens = new AccessTokens(
      { db, store: new TokenStore(), identities, resources, keys, revocations, clock, time, events },
      { lifetimes, issuer: () => address.issuer, isIssuer: issuerTest(settings) },
    );
    const sessions = new Sessions({ tokens, revocations, time, clock, events }); // after those whose keys it asks for
    undo.push(() => sessions.stop());
    const trusts = new Trusts(
      { db, store: new TrustStore(), revocations, resources, clock },
      { plainHttp: mode === 'dev' },
    );
    await trusts.reload();
    const issuerParts = await signIn;
    if (mode === 'dev') await seedDevTrust(trusts);
    const endpoint = (): string => address.issuer;
    const ownKeys = () => issuerParts?.issuer.keySet();
    const keySets = new KeySets({ clock, events, endpoint, ownKeys }, { plainHttp: mode === 'dev' });
    const foreignTokens = new ForeignTokens({
      trusts: () => trusts.enabled(),
      keySets,
      clock,
      endpoint,
    });
    const principals = new Principals(
      { tokens: foreignTokens, resources },
      { usualResource: mode === 'dev' ? DEV_RESOURCE.id : undefined },
    );
    const assignments = new Assignments({ db, store: new AssignmentStore(), revocations, clock });
    const exchanges = new Exchanges({
      tokens,
      assignments,
      teamsUserOf: (jwt) => principals.userOf(jwt, 'teamsUser'),
    });
    const services = new CommunicationServices({ db, store: new ManagementStore(), resources, clock });
    if (mode === 'dev') await placeDevResource(services, resources);
    const keyRotation = new KeyRotation({
      db,
      ring: keyRing,
      readKeks,
      change: (work) => revocations.change(work),
      clock,
      events,
    });
    const start =
      recent &&
      new Start({
        resources,
        tokens,
        recent,
        lifetimes,
        origin: () => address.issuer,
        caPath: () => certificates.caPath,
      });
    const health = new Health({ db, revocations, keys, clock });
    let certificates = await identity;
    undo.push(certificates.dispose);
    const operatorSecret = await operator;
    const isOperator = (secret: string): boolean => operatorSecret.matches(secret);
    const admission = new Admission({
      places: { usual: settings.requestsMost, urgent: settings.urgentRequestsMost },
      bodyBytes: BODY_BYTES_TOGETHER,
    });
    const parked = new Holds(HELD_MOST);
    const sockets = new Sockets({ holds: new Holds(HELD_MOST), clock, events });
    const tickets = new Tickets({ keys: () => keyRing.derived('tickets'), now: () => time.latest() });
    let clockOffset: number | undefined;
    metrics.watch({
      bodyBytes: () => admission.bodyBytes,
      requestsUnderWay: () => ({ ...admission.underWay }),
      sessions: () => ({ ...sessions.counts }),
      requestsParked: () => parked.open,
      sockets: () => sockets.holds.open,
      signaturesUnderWay: () => tokens.signing,
      storeJobsWaiting: () => db.writer.waiting,
      clockOffset: () => clockOffset,
      logPosition: () => revocations.position,
      leaseAge: () => revocations.leaseAgeMs / 1000,
      signingKeys: () => keys.countByState(),
      storeTransactions: () => db.writer.counts.groups,
      storeJobs: () => db.writer.counts.jobs,
    });

    const pipeline = new Pipeline(
      {
        routes: new RouteTable(
          routeList({
            identities,
            imports,
            tokens,
            keys,
            trusts,
            keySets,
            exchanges,
            assignments,
            services,
            backups: new Backups({ db, folder, clock, events }),
            recovery: new Recovery({ revocations, keys, events }),
            keyRotation,
            isOperator,
            devIssuer: issuerParts,
            start,
            wellKnownKey: settings.wellKnownKey,
            lifetimes,
            issuer: () => address.issuer,
            health,
            metrics: () => ({ text: metrics.render(), contentType: OPEN_METRICS }),
            caPem: () => certificates.caPem,
            mode,
          }),
        ),
        doorkeeper: new Doorkeeper({
          mode,
          allowedHosts: allowedHosts(settings),
          allowedOrigins: settings.allowedOrigins,
          trustedProxies: settings.trustedProxies,
        }),
        signatures: new SignatureVerifier(
          { candidatesFor: (host) => resources.candidatesFor(host), clock },
          {
            windowMinutes: settings.signatureWindowMinutes,
            wellKnownKey: settings.wellKnownKey === 'everywhere' ? 'everywhere' : 'loopback',
            trustedProxies: settings.trustedProxies,
            publicHosts: publicHosts(settings),
          },
        ),
        userOf: async (jwt, host) => {
          const { caller, revocable } = await tokens.verify(jwt);
          resources.requireMeant(host, caller.resourceId);
          return { caller, token: revocable };
        },
        userOfTicket: async (ticket, purpose, host) => {
          const user = tickets.redeem(purpose, ticket);
          await tokens.requireStillHeld(user.caller, user.token);
          resources.requireMeant(host, user.caller.resourceId);
          return user;
        },
        isOperator,
        principals,
        admission,
        parked,
        sockets,
        sessions,
        quotas: new Quotas(clock, { preset: settings.quotas, mode }),
        requireFresh: () => revocations.requireFresh(),
        isStoreFailure: (cause) => db.isStoreFailure(cause),
        clock,
        events,
      },
      { mode, bodyBytesMost: BODY_BYTES_MOST },
    );
    const door = await listen({
      hosts: settings.hosts,
      port: settings.port,
      tls: certificates.tls,
      road: pipeline,
      onProblem: (level, message, facts) => level !== 'debug' && events.notice(level, message, facts),
    });
    address.issuer ||= `https://localhost:${door.port}`;
    undo.push(() => door.close(settings.stopSeconds * 1000, settings.drainSeconds * 1000));
    metrics.watch({
      connections: () => door.connections.open,
      connectionsRefused: () => door.connections.refused,
    });

    const files = givenFiles(settings, clock);
    const watch =
      files && certificates.tls
        ? new CertificateWatch(
            { read: files.read, use: (pair) => door.setTls(tlsOf(pair)), events },
            { paths: files.paths, inUse: certificates.tls },
          )
        : undefined;
    undo.push(() => watch?.stop());

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
      [
        'renewing the certificate',
        async () => {
          if (folder === undefined || clock.now() < certificates.renewAtMs) return;
          certificates = await tlsIdentity(settings, folder, { clock, events });
          if (certificates.tls) door.setTls(certificates.tls);
        },
      ],
      [
        'comparing the clock with that of the store',
        async () => {
          clockOffset = await clockOffsetSeconds(db, clock);
        },
      ],
    ];
    if (mode === 'production') chores.push(['noting the time', () => noteClock(db, clock)]);
    if (settings.wellKnownKey === 'everywhere') chores.push(['warning', async () => warnOfWellKnownKey(events)]);
    const { stop } = startChores(chores, events);
    undo.push(
      stop,
      () => keyRotation.stop(),
      () => health.stop(),
    );
    events.notice('info', 'started', { version: VERSION, port: door.port, mode, store: db.dialect });

    return {
      port: door.port,
      endpoint: `${endpoint()}/`,
      connectionString: mode === 'dev' ? connectionString(`${endpoint()}/`, resources) : undefined,
      addresses: door.addresses.map((address) => listeningAt(address, door.port, certificates.tls !== undefined)),
      caPath: certificates.caPath,
      issuer: issuerParts?.issuer,
      resources,
      identities,
      tokens,
      keys,
      revocations,
      rereadCertificates: watch && (() => watch.reread()),
      async close() {
        events.notice('info', 'stopping');
        await unwind(undo);
      },
    };
  } catch (cause) {
    await unwind(undo).catch(() => undefined);
    throw cause;
  }
}

/** Undoes what was done, last things first. */
async function unwind(undo: (() => Promise<void> | void)[]): Promise<void> {
  for (const step of undo.splice(0).reverse()) await step();
}

interface Certificates {
  tls: TlsIdentity | undefined;
  caPem: string | undefined;
  caPath: string | undefined;
  /** When to make new ones; never for files that somebody else looks after. */
  renewAtMs: number;
  dispose: () => void;
}

const tlsOf = ({ certPem, keyPem }: GivenCertificates): TlsIdentity => ({ cert: certPem, key: keyPem });

/** The certificate files that the settings name, and how they are read. */
function givenFiles({ tlsCertificate, tlsKey, mode }: Settings, clock: Clock) {
  if (tlsCertificate === undefined || tlsKey === undefined) return undefined;
  const options = { insistOnPrivateKeyFile: mode === 'production' };
  return {
    paths: [tlsCertificate, tlsKey],
    read: () => certificatesFromFiles(tlsCertificate, tlsKey, clock, options),
  };
}

async function tlsIdentity(
  settings: Settings,
  folder: string | undefined,
  { clock, events }: { clock: Clock; events: Pick<Monitor, 'notice'> },
): Promise<Certificates> {
  const { mode, allowedHosts } = settings;
  const none = { caPem: undefined, caPath: undefined, renewAtMs: Number.POSITIVE_INFINITY, dispose: () => undefined };
  const files = givenFiles(settings, clock);
  if (files) return { ...none, tls: tlsOf(files.read()) };
  if (mode === 'production') return { ...none, tls: undefined };
  const own = await certificatesIn(folder, clock, allowedHosts);
  if (own.replacedBecause !== undefined)
    events.notice('warn', 'new certificate authority: trust it again', {
      file: own.caPath,
      because: own.replacedBecause,
    });
  return {
    tls: { cert: own.certPem, key: own.keyPem },
    caPem: own.caPem,
    caPath: own.caPath,
    renewAtMs: own.renewAtMs,
    dispose: () => own.dispose(),
  };
}

const listeningAt = (address: string, port: number, secure: boolean): string =>
  `${secure ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${port}`;

/** Names to answer for beside those of this machine. In production mode an empty list means any. */
function allowedHosts({ mode, allowedHosts: listed, publicUrl }: Settings): string[] {
  if (publicUrl === undefined || (mode === 'production' && listed.length === 0)) return [...listed];
  return [...listed, new URL(publicUrl).hostname];
}

/** What clients may put into Host and sign: the public names, with and without the port that they are reached by. */
function publicHosts({ publicUrl, allowedHosts, port }: Settings): string[] {
  const url = publicUrl === undefined ? undefined : new URL(publicUrl);
  const names = [...(url ? [url.hostname] : []), ...allowedHosts];
  return names.flatMap((name) => [name, `${name}:${url ? url.port || 443 : port}`]);
}

/** Which issuers a token of ours may name. In dev mode the port changes from start to start; the keys tell who made it. */
function issuerTest({ mode, publicUrl }: Settings): (issuer: string) => boolean {
  if (mode === 'production') return (issuer) => issuer === publicUrl;
  return (issuer) => issuer === publicUrl || /^https:\/\/localhost:\d{1,5}$/.test(issuer);
}

/** Who signs in to code under development, without a directory of one's own. */
async function devIssuer(
  settings: Settings,
  folder: string | undefined,
  clock: Clock,
  origin: () => string,
): Promise<IssuerParts> {
  const [key, secret] = await Promise.all([issuerKey(folder), issuerSecret(settings, folder)]);
  const issuer = new DevIssuer({ key, secret, clock, origin });
  const deviceCodes = new DeviceCodes(clock);
  return { issuer, deviceCodes, endpoint: new TokenEndpoint({ issuer, deviceCodes, origin }) };
}

/** The resource that is there from the first start on, with the published key unless the settings say otherwise. */
async function seedDevResource(resources: Resources, { wellKnownKey }: Settings): Promise<void> {
  if (resources.has(DEV_RESOURCE.id)) return;
  const { id, name, location, primaryKey } = DEV_RESOURCE;
  const keys = wellKnownKey === 'off' ? {} : { primary: Buffer.from(primaryKey, 'base64') };
  await resources.create({ id, name, location, keys });
}

/** The development issuer is believed, and its applications may do everything: they are there to be tried with. */
async function seedDevTrust(trusts: Trusts): Promise<void> {
  if (trusts.list().some(({ name }) => name === DEV_TRUST)) return;
  const issuer = `{endpoint}/${DIRECTORY_TENANT}/v2.0`;
  await trusts.put(DEV_TRUST, { issuers: [issuer], tenants: [DIRECTORY_TENANT], applications: ['*'] });
  const { service, managedIdentity } = APPLICATIONS;
  for (const { name, objectId } of [service, managedIdentity]) {
    const principal = { kind: 'objectId', value: objectId };
    for (const right of ['data', 'management']) {
      const grantName = `${name.replace(' ', '-')}-${right}`;
      await trusts.putGrant(DEV_TRUST, grantName, { principal, right, resource: '*' });
    }
  }
}

/** The management plane shows it like any other. */
async function placeDevResource(services: CommunicationServices, resources: Resources): Promise<void> {
  const { id, name } = DEV_RESOURCE;
  if (resources.has(id))
    await services.adopt(id, { subscriptionId: FIRST_SUBSCRIPTION, group: 'dev' }, name, 'United States');
}

function connectionString(endpoint: string, resources: Resources): string | undefined {
  if (!resources.has(DEV_RESOURCE.id)) return undefined;
  const key = resources.get(DEV_RESOURCE.id).keys.find(({ slot }) => slot === 'primary');
  return key && `endpoint=${endpoint};accesskey=${key.secret.export().toString('base64')}`;
}

const warnOfWellKnownKey = (events: Pick<Monitor, 'notice'>): void =>
  events.notice(
    'warn',
    'the published development key is accepted from everywhere: anybody who reaches the port controls everything',
  );

/** What has to be seen to now and then. The signal is given when the server stops. */
type Chore = readonly [name: string, run: (stopping: AbortSignal) => Promise<void>];

/** Runs chores once a minute. Each that fails is reported and tried again the next time. */
function startChores(chores: readonly Chore[], events: Pick<Monitor, 'notice'>): { stop: () => Promise<void> } {
  const stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const runAll = async (): Promise<void> => {
    for (const [name, run] of chores) {
      await run(stopping.signal).catch((cause: unknown) => events.notice('error', `${name} failed`, { cause }));
    }
  };
  const first = setTimeout(() => (running = runAll()), 1000).unref();
  const timer = setInterval(() => (running = running.then(runAll)), MINUTE_MS).unref();
  return {
    async stop() {
      stopping.abort();
      clearTimeout(first);
      clearInterval(timer);
      await running;
    },
  };
}
