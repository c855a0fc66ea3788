import type { Access } from '../access.ts';
import type { Base } from '../base.ts';
import type { Admission } from '../http/admission.ts';
import type { Holds } from '../http/holds.ts';
import type { Listener } from '../http/listen.ts';
import type { Sockets } from '../http/sockets.ts';
import type { Plane } from '../planes/plane.ts';

interface Open {
  admission: Admission;
  parked: Holds;
  sockets: Sockets;
  listener: Listener;
  planes: readonly Plane[];
}

/** Tells the metrics where to read the figures that the parts keep, and takes those of the planes. */
export function watchMetrics(
  { metrics, db, cluster }: Base,
  { tokens, sessions, revocations, keys }: Access,
  { admission, parked, sockets, listener, planes }: Open,
): void {
  metrics.watch({
    ...cluster.readings,
    bodyBytes: () => admission.bodyBytes,
    requestsUnderWay: () => ({ ...admission.underWay }),
    sessions: () => ({ ...sessions.counts }),
    requestsParked: () => parked.open,
    sockets: () => sockets.holds.open,
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
  for (const { metrics: own = [], readings = {} } of planes) {
    metrics.add(...own);
    metrics.watch(readings);
  }
}
