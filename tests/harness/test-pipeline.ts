import { ServiceError } from '../../src/errors.ts';
import { Admission } from '../../src/http/admission.ts';
import type { Api } from '../../src/http/dialect.ts';
import { type Signatory, SignatureVerifier } from '../../src/http/hmac.ts';
import { HELD_MOST, type HoldLimits, Holds } from '../../src/http/holds.ts';
import { listen } from '../../src/http/listen.ts';
import { Pipeline } from '../../src/http/pipeline.ts';
import { Quotas } from '../../src/http/quotas.ts';
import { RequestGuard } from '../../src/http/request-guard.ts';
import type { Route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { type Sessions, UNWATCHED } from '../../src/http/session.ts';
import { Sockets } from '../../src/http/sockets.ts';
import type { Tickets } from '../../src/http/tickets.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { TestLog, type TestServer } from './server.ts';

/** Who knows callers. Without them, none is. */
interface Callers {
  tokens?: TestServer['server']['tokens'];
  signatories?: readonly Signatory[];
  operatorKey?: string;
  /** Makes sure that what is known is current. */
  requireFresh?: () => Promise<void>;
  tickets?: Tickets;
  sessions?: Sessions;
  held?: HoldLimits;
  /** Usual places in admission. */
  places?: number;
  /** Of sockets. */
  times?: ConstructorParameters<typeof Sockets>[1];
  log?: TestLog;
}

/** No issuer is trusted here. */
const unknown = async (): Promise<never> => {
  throw new ServiceError('Denied', { reason: 'foreign.issuer' });
};

/** An API of a test's own, in the dialect of the service. */
export const apiOf = (routes: readonly Route[], more: Partial<Api> = {}): Api => ({
  name: 'test',
  dialect: serviceDialect,
  routes,
  ...more,
});

/** The request pipeline over routes of a test's own. */
export const pipelineOf = (routes: readonly Route[], callers: Callers = {}): Pipeline =>
  pipelineOfApis([apiOf(routes)], callers);

/** The request pipeline over APIs of a test's own. */
export function pipelineOfApis(
  apis: readonly Api[],
  {
    tokens,
    signatories = [],
    operatorKey,
    requireFresh = async () => undefined,
    tickets,
    sessions = UNWATCHED,
    held = HELD_MOST,
    places = 64,
    times,
    log = new TestLog(),
  }: Callers = {},
): Pipeline {
  const events = new Monitor(log, new ServerMetrics('test'));
  return new Pipeline(
    {
      routes: new RouteTable(apis),
      guard: new RequestGuard({ local: true, allowedHosts: [], allowedOrigins: [], trustedProxies: [] }),
      signatures: new SignatureVerifier(
        { candidatesFor: () => signatories, clock: systemClock },
        { windowMinutes: 5, wellKnownKey: 'loopback' },
      ),
      userOf: async (jwt) => {
        if (!tokens) throw new Error('no tokens are known here');
        const { caller, revocable } = await tokens.verify(jwt);
        return { caller, token: revocable };
      },
      userOfTicket: async (ticket, purpose) => {
        if (!tickets) throw new Error('no tickets are known here');
        return tickets.redeem(purpose, ticket);
      },
      isOperator: (secret) => secret === operatorKey,
      admission: new Admission({ places: { usual: places, urgent: 64 }, bodyBytes: 64 * 2 ** 20 }),
      parked: new Holds(held),
      sockets: new Sockets({ holds: new Holds(held), clock: systemClock, events }, times),
      sessions,
      quotas: new Quotas(systemClock, { preset: 'off', countsEndings: true }),
      principals: { serviceOf: unknown, operatorOf: unknown, entraUserOf: unknown },
      requireFresh,
      isStoreFailure: () => false,
      clock: systemClock,
      events,
    },
    { dialect: serviceDialect, explains: true, bodyBytesMost: 1024 * 1024 },
  );
}

/** Opens a port with that request pipeline behind it until the test ends. @returns the port */
export async function givenPipeline(
  t: { after(step: () => unknown): unknown },
  routes: readonly Route[],
  callers: Callers = {},
): Promise<number> {
  const pipeline = pipelineOf(routes, callers);
  const listener = await listen({
    hosts: ['127.0.0.1'],
    port: 0,
    tls: undefined,
    handler: pipeline,
    onProblem: () => undefined,
  });
  t.after(() => listener.close(1000));
  return listener.port;
}
