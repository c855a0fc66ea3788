import { readdirSync, readFileSync } from 'node:fs';
import { cpuSecondsOf } from '../../../bench/measure.ts';
import type { Child } from '../child.ts';
import { closedLoop } from './generator.ts';
import { createMany, type Report } from './overload.ts';
import { Requests } from './requests.ts';
import { Wire } from './wire.ts';

export interface RevokingSize {
  readonly connections: number;
  readonly seconds: number;
}

const IDENTITIES = 300;
const WATCHED = 50;
const ABSENT_EVERY = 97;

/**
 * Many clients that each revoke one identity after the other, among them some that are not there (R10). Watched ones are
 * asked about right after their answer.
 * @param database process id of the database's server, where it is one
 */
export async function revokeBySingles(server: Child, size: RevokingSize, database?: number): Promise<Report> {
  const { port } = server;
  const requests = new Requests(port, server.key);
  const tokens: { id: string; token: string }[] = [];
  await createMany(port, requests, WATCHED, { created: [], revoked: tokens });
  const ids = await createMany(port, requests, IDENTITIES);
  const texts = ids.map((id) => requests.revoke(id)); // a signature is good for minutes
  const absent = requests.revoke(`${ids[0]?.slice(0, -4)}dead`);
  let asked = 0;
  let judged = 0;
  let wrong = 0;
  const next = (): string => {
    asked += 1;
    return asked % ABSENT_EVERY === 0 ? absent : (texts[asked % texts.length] ?? '');
  };

  const before = await counters(server, database);
  const started = performance.now();
  const end = started + size.seconds * 1000;
  const load = closedLoop(
    port,
    size.connections,
    () => ({ request: next() }),
    () => performance.now() < end,
  );
  const watching = (async () => {
    const wire = new Wire(port);
    for (const { id, token } of tokens) {
      if (performance.now() > end) break;
      const use = async (token: string): Promise<number> => (await wire.ask(whoami(port, token))).status;
      if ((await use(token)) !== 200) wrong += 1;
      if ((await wire.ask(requests.revoke(id))).status !== 204) wrong += 1;
      if ((await use(token)) !== 401) wrong += 1;
      const again = await wire.ask(requests.issue(id));
      if ((await use(JSON.parse(again.text).token)) !== 200) wrong += 1;
      judged += 1;
    }
    wire.close();
  })();
  const [tally] = await Promise.all([load, watching]);
  const seconds = (performance.now() - started) / 1000;
  const after = await counters(server, database);

  const revoked = tally.count(204);
  const events = after.position - before.position;
  const microseconds = (name: 'serverCpu' | 'databaseCpu'): number =>
    Math.round(((after[name] - before[name]) / revoked) * 1e6);
  const figures = {
    connections: size.connections,
    seconds: Math.round(seconds),
    revocations: revoked,
    perSecond: Math.round(revoked / seconds),
    perTransaction: Math.round((revoked / (after.transactions - before.transactions)) * 10) / 10,
    p50Ms: tally.quantile(0.5),
    p99Ms: tally.quantile(0.99),
    serverCpuMicroseconds: microseconds('serverCpu'),
    ...(database !== undefined && { databaseCpuMicroseconds: microseconds('databaseCpu') }),
    refused: tally.count(503),
    absent: tally.count(404),
    watched: judged,
    wrong,
  };
  const rules: [boolean, string][] = [
    [revoked > 0 && judged > 0, 'nothing was revoked'],
    [wrong === 0, `${wrong} tokens were judged wrongly`],
    [
      tally.count(404) > 0 && tally.unexpected === tally.count(404),
      'not everything was answered 204, or 404 where absent',
    ],
    [tally.count(503) + tally.cut <= asked / 1000, `${tally.count(503)} refused, ${tally.cut} cut`],
    [events === revoked + judged, `${events} entries of the log for ${revoked + judged} revocations`],
    [figures.perTransaction > 2, `${figures.perTransaction} revocations share a transaction`],
  ];
  return { figures, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}

const whoami = (port: number, token: string): string =>
  `GET /-/whoami HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: Bearer ${token}\r\n\r\n`;

async function counters(server: Child, database: number | undefined) {
  return {
    position: await server.metric('linarite_revocation_log_position'),
    transactions: await server.metric('linarite_store_transactions_total'),
    serverCpu: cpuSecondsOf(server.pid),
    databaseCpu: database === undefined ? 0 : withChildren(database),
  };
}

/** Processor time of a process and those that it has started. */
export function withChildren(pid: number): number {
  const children = readdirSync('/proc').filter((name) => {
    try {
      return (
        /^\d+$/.test(name) && / \(.*\) \w (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1] === String(pid)
      );
    } catch {
      return false; // ended meanwhile
    }
  });
  return [pid, ...children.map(Number)].reduce((sum, one) => sum + cpuSecondsOf(one), 0);
}
