import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../../../bench/load.ts';
import type { Child } from '../child.ts';
import type { Random } from '../revocation/simulation.ts';
import { closedLoop, type Load, openLoop, openWires } from './generator.ts';
import { Requests } from './requests.ts';
import type { Tally } from './tally.ts';

export interface OverloadSize {
  /** Of each step around the overload: warming up, capacity, after. */
  seconds: number;
  overloadSeconds: number;
  /** Requests that may be under way, as the server was told. */
  places: number;
}

export interface Report {
  readonly figures: Record<string, number>;
  /** Promises that were not kept, in words. */
  readonly broken: string[];
}

const TIMES = 4;
const CONNECTIONS = 600;
const REVOCATIONS_PER_SECOND = 50;
const IDENTITIES = 64;
const BETWEEN_LOOKS_MS = 50;

/** What the server promised during the run, to be looked at afterwards. */
interface Promised {
  readonly created: string[];
  readonly revoked: { readonly id: string; readonly token: string }[];
}

/** Offers four times of what the server can do, with revocations among it, and looks at what became of everything (L1, R10). */
export async function overload(server: Child, size: OverloadSize, random: Random): Promise<Report> {
  const requests = new Requests(server.port, server.key);
  const ids = await createMany(server.port, requests, IDENTITIES);
  const issue = (): Load => ({ request: requests.issue(random.pick(ids)) });

  const warmUp = performance.now() + size.seconds * 1000;
  await closedLoop(server.port, 32, issue, () => performance.now() < warmUp);
  const end = performance.now() + size.seconds * 1000;
  const alone = await closedLoop(server.port, 32, issue, () => performance.now() < end);
  const capacity = alone.served.length / size.seconds;

  const promised: Promised = { created: [], revoked: [] };
  const mixed = (): Load =>
    random.chance(0.1)
      ? { request: requests.create(), take: ({ status, text }) => status === 201 && promised.created.push(idIn(text)) }
      : issue();
  const victims = await createMany(
    server.port,
    requests,
    Math.ceil(REVOCATIONS_PER_SECOND * size.overloadSeconds * 1.1),
    promised,
  );
  const [clients, revokers, probes] = [
    await openWires(server.port, CONNECTIONS),
    await openWires(server.port, 50),
    await openWires(server.port, 10),
  ];
  const watch = new Watch(server);
  const seconds = size.overloadSeconds;
  const revoked = new Set<string>();
  const [during, revocations, health] = await Promise.all([
    openLoop(clients, { perSecond: TIMES * capacity, seconds }, mixed),
    openLoop(revokers, { perSecond: REVOCATIONS_PER_SECOND, seconds }, () => {
      const id = victims.pop() ?? '';
      return { request: requests.revoke(id), take: ({ status }) => status === 204 && revoked.add(id) };
    }),
    openLoop(probes, { perSecond: 10, seconds }, () => ({
      request: get(server.port, '/-/health/ready'),
    })),
  ]);
  await watch.stop();
  const usual = { perSecond: 0.8 * capacity, seconds: size.seconds };
  const after = await openLoop(await openWires(server.port, CONNECTIONS), usual, issue);
  const lost = await lostOf(server, requests, promised, revoked);

  const refused = during.count(503);
  const figures = {
    capacityPerSecond: Math.round(capacity),
    offeredPerSecond: Math.round((during.answered + during.unsent) / size.overloadSeconds),
    servedPerSecond: Math.round(during.served.length / size.overloadSeconds),
    refused,
    unsent: during.unsent,
    revocationsAsked: revocations.answered + revocations.cut,
    revocationsDone: revocations.count(204),
    p99MsRevocation: revocations.quantile(0.99),
    healthFailures: health.answered + health.cut - health.count(200),
    acknowledgedChecked: promised.created.length + revoked.size,
    acknowledgedLost: lost,
    requestsUnderWayMost: watch.most.usual,
    storeJobsWaitingMost: watch.most.writes,
    signaturesUnderWayMost: watch.most.signatures,
    residentMebibytesMost: Math.round(watch.most.memory),
  };
  return { figures, broken: brokenBy(figures, [during, revocations, after], size) };
}

function brokenBy(figures: Record<string, number>, tallies: readonly Tally[], { places }: OverloadSize): string[] {
  const { refused = 0, revocationsAsked = 0, revocationsDone = 0 } = figures;
  const sum = (of: (tally: Tally) => number): number => tallies.reduce((total, tally) => total + of(tally), 0);
  const rules: [boolean, string][] = [
    [refused > 0, 'nothing was refused at four times the capacity'],
    [(figures.requestsUnderWayMost ?? 0) <= places, 'more requests were under way than there are places'],
    [(figures.signaturesUnderWayMost ?? 0) <= places, 'more signatures waited than there are places'],
    [revocationsDone >= 0.999 * revocationsAsked, `${revocationsDone} of ${revocationsAsked} revocations were done`],
    [figures.healthFailures === 0, 'the health check failed'],
    [figures.acknowledgedLost === 0, `${figures.acknowledgedLost} acknowledged operations are lost`],
    [sum((tally) => tally.withoutRetryAfter) === 0, 'a refusal does not say when to come again'],
    [sum((tally) => tally.unexpected) === 0, 'an answer was neither a success nor a refusal for load'],
    [sum((tally) => tally.cut) === 0, 'a connection was cut without an answer'],
    [(tallies.at(-1)?.served.length ?? 0) > 0, 'nothing is served after the overload'],
  ];
  return rules.filter(([kept]) => !kept).map(([, words]) => words);
}

const idIn = (text: string): string => JSON.parse(text).identity.id;

/** @param tokens where given, each identity gets a token, and both are noted there */
export async function createMany(
  port: number,
  requests: Requests,
  count: number,
  tokens?: Promised,
): Promise<string[]> {
  const ids: string[] = [];
  let left = count;
  const take = ({ status, text }: { status: number; text: string }): void => {
    if (status !== 201) throw new Error(`no identity: ${status} ${text}`);
    ids.push(idIn(text));
    tokens?.revoked.push({ id: idIn(text), token: JSON.parse(text).accessToken.token });
  };
  await closedLoop(
    port,
    8,
    () => ({ request: requests.create(tokens !== undefined), take }),
    () => left-- > 0,
  );
  if (ids.length < count) throw new Error(`${ids.length} identities instead of ${count}`);
  return ids;
}

/** How many acknowledged operations did not last. @param done identities whose revocation was acknowledged */
async function lostOf(
  { port }: Child,
  requests: Requests,
  { created, revoked }: Promised,
  done: ReadonlySet<string>,
): Promise<number> {
  let lost = 0;
  const checks: Load[] = [
    ...created.map((id) => ({
      request: requests.issue(id),
      take: ({ status }: { status: number }) => (lost += Number(status !== 200)),
    })),
    ...revoked
      .filter(({ id }) => done.has(id))
      .map(({ token }) => ({
        request: get(port, '/-/whoami', { Authorization: `Bearer ${token}` }),
        take: ({ status }: { status: number }) => (lost += Number(status !== 401)),
      })),
  ];
  const count = checks.length;
  const tally = await closedLoop(
    port,
    4,
    () => checks.pop() as Load,
    () => checks.length > 0,
  );
  return lost + count - tally.answered;
}

/** Looks at the server's queues and memory again and again. */
class Watch {
  readonly most = { usual: 0, writes: 0, signatures: 0, memory: 0 };
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(server: Child) {
    this.#done = this.#look(server);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #look(server: Child): Promise<void> {
    const { most } = this;
    const raise = (name: keyof typeof most, value: number): void => {
      most[name] = Math.max(most[name], value);
    };
    while (!this.#stopped) {
      raise('usual', await server.metric('linarite_requests_under_way{lane="usual"}'));
      raise('writes', await server.metric('linarite_store_jobs_waiting'));
      raise('signatures', await server.metric('linarite_signatures_under_way'));
      raise('memory', server.residentMebibytes());
      await sleep(BETWEEN_LOOKS_MS); // to look is work for the server
    }
  }
}
