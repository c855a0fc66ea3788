import type { Access } from '../access.ts';
import type { Base } from '../base.ts';
import type { Admission } from '../http/admission.ts';
import { SignatureVerifier } from '../http/hmac.ts';
import type { Holds } from '../http/holds.ts';
import { Pipeline } from '../http/pipeline.ts';
import { Quotas } from '../http/quotas.ts';
import { RequestGuard } from '../http/request-guard.ts';
import { RouteTable } from '../http/routes.ts';
import { serviceDialect } from '../http/service-dialect.ts';
import type { Sockets } from '../http/sockets.ts';
import type { Tickets } from '../http/tickets.ts';
import type { Plane } from '../planes/plane.ts';
import type { Settings } from '../settings.ts';
import type { Mode } from './mode.ts';

const BODY_BYTES_MOST = 1024 * 1024;

interface Open {
  planes: readonly Plane[];
  admission: Admission;
  parked: Holds;
  sockets: Sockets;
  tickets: Tickets;
}

/** What every request of every plane goes through. */
export function requestPipeline(
  { requests }: Mode,
  { settings, db, clock, events }: Base,
  { resources, tokens, sessions, principals, revocations, isOperator }: Access,
  { planes, admission, parked, sockets, tickets }: Open,
): Pipeline {
  const { allowedOrigins, trustedProxies, signatureWindowMinutes, wellKnownKey, quotas } = settings;
  return new Pipeline(
    {
      routes: new RouteTable(planes),
      guard: new RequestGuard({
        local: requests.local,
        allowedHosts: requests.allowedHosts,
        allowedOrigins,
        trustedProxies,
      }),
      signatures: new SignatureVerifier(
        { candidatesFor: (host) => resources.candidatesFor(host), clock },
        {
          windowMinutes: signatureWindowMinutes,
          wellKnownKey: wellKnownKey === 'everywhere' ? 'everywhere' : 'loopback',
          trustedProxies,
          publicHosts: publicHosts(settings),
        },
      ),
      userOf: async (jwt, host) => {
        const { caller, revocable } = await tokens.verify(jwt);
        resources.requireResourceOfHost(host, caller.resourceId);
        return { caller, token: revocable };
      },
      userOfTicket: async (ticket, purpose, host) => {
        const user = tickets.redeem(purpose, ticket);
        await tokens.requireStillHeld(user.caller, user.token);
        resources.requireResourceOfHost(host, user.caller.resourceId);
        return user;
      },
      isOperator,
      principals,
      admission,
      parked,
      sockets,
      sessions,
      quotas: new Quotas(clock, { preset: quotas, countsEndings: requests.countsEndings }),
      requireFresh: () => revocations.requireFresh(),
      isStoreFailure: (cause) => db.isStoreFailure(cause),
      clock,
      events,
    },
    { dialect: serviceDialect, explains: requests.explains, bodyBytesMost: BODY_BYTES_MOST },
  );
}

/** What clients may put into Host and sign: the public names, with and without the port that they are reached by. */
function publicHosts({ publicUrl, allowedHosts, port }: Settings): string[] {
  const url = publicUrl === undefined ? undefined : new URL(publicUrl);
  const names = [...(url ? [url.hostname] : []), ...allowedHosts];
  return names.flatMap((name) => [name, `${name}:${url ? url.port || 443 : port}`]);
}
