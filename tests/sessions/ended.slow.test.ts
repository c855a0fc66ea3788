import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import type { LoggedEvent } from '../../src/revocation/event.ts';
import { SessionIndex } from '../../src/sessions/session-index.ts';
import { OPERATOR_KEY } from '../harness/dev-tokens.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { endOnce, type Judged, KINDS, nothing, ROUND, removeResources } from '../harness/sessions/ended.ts';
import { TestPlane } from '../harness/sessions/test-plane.ts';

// R11: sessions have ended when the call that ended access returns.

const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** 10,000 on one node and 1,000 on two for a release. */
const LOOPS = Number(process.env.TEST_SESSIONS_LOOPS ?? 5 * KINDS.length);
const LOOPS_OF_TWO = Number(process.env.TEST_SESSIONS_LOOPS_OF_TWO ?? 2 * KINDS.length);
/** After so many rounds of all kinds the resources so far are removed. */
const SWEEP = 5;

type Nodes = Parameters<typeof endOnce>[0];

async function givenNodes(t: TestContext, count: 1 | 2): Promise<Nodes> {
  const env: Record<string, string> = {
    LINARITE_SIGNING_ALGORITHM: 'ES256',
    LINARITE_OPERATOR_KEY: OPERATOR_KEY,
    ...(count === 2 && { LINARITE_DATABASE_URL: await freshDatabase(t) }),
  };
  const servers: TestServer[] = [];
  while (servers.length < count) servers.push(await startTestServer(t, { env }));
  const [server] = servers;
  assert.ok(server);
  return { server, planes: servers.map((each) => new TestPlane(t, each)) };
}

async function loops(nodes: Nodes, count: number, random: Random): Promise<Judged> {
  const sum = nothing();
  for (let rounds = 1; sum.loops < count; rounds += 1) {
    for (const together of ROUND) await Promise.all(together.map((kind) => endOnce(nodes, kind, random, sum)));
    if (rounds % SWEEP === 0) await removeResources(nodes.server);
  }
  return sum;
}

const complaints = ({ late, openAfter, wrong }: Pick<Judged, 'late' | 'openAfter' | 'wrong'>) => ({
  late,
  openAfter,
  wrong,
});
const NONE = { late: 0, openAfter: 0, wrong: 0 };

/** An event is judged some time after the node has applied it, and has said so. */
function judgeLater({ planes }: Nodes): void {
  for (const { sessions } of planes) {
    const applied = sessions.applied.bind(sessions);
    sessions.applied = (event: LoggedEvent) => void setTimeout(() => applied(event), 300);
  }
}

function leaveOut(t: TestContext, kind: LoggedEvent['kind']): void {
  const { concernedBy } = SessionIndex.prototype;
  t.after(() => Object.assign(SessionIndex.prototype, { concernedBy }));
  SessionIndex.prototype.concernedBy = function (event) {
    return event.kind === kind ? [] : concernedBy.call(this, event);
  };
}

for (const [count, size] of [
  [1, LOOPS],
  [2, LOOPS_OF_TWO],
] as const) {
  const skip = count === 2 && !POSTGRES_URL && 'needs PostgreSQL';
  describe(`sockets and requests that wait, on ${count === 1 ? 'one node' : 'two nodes with PostgreSQL'},`, {
    skip,
  }, () => {
    const report = { id: count === 1 ? 'R11' : 'R11-postgres', figures: {}, passed: false, planted: 0 };
    after(() => writeResult({ ...report, seed: SEED, planted: report.planted === 2 }));

    test(`${size} times: have ended when the call returns that ended their token, and get nothing afterwards`, async (t) => {
      t.diagnostic(`TEST_SEED=${SEED}`);
      const nodes = await givenNodes(t, count);
      const { otherEnds, ...found } = await loops(nodes, size, new Random(SEED));
      const answered503 = nodes.planes.reduce((sum, { unsure }) => sum + unsure, 0);
      t.diagnostic(JSON.stringify({ ...found, answered503, otherEnds: [...otherEnds] }));
      report.figures = { nodes: count, kinds: KINDS.length, ...found, answered503 };
      assert.deepEqual(complaints(found), NONE);
      assert.ok(found.arrived > size, 'hardly anything was sent');
      report.passed = true;
    });

    test('are reported when they are judged after the node has said that it has followed', async (t) => {
      const nodes = await givenNodes(t, count);
      judgeLater(nodes);
      const { late, openAfter } = await loops(nodes, KINDS.length, new Random(SEED));
      assert.ok(late > 0 && openAfter > 0, `${late} late, ${openAfter} open`);
      report.planted += 1;
    });

    test('are reported when one kind of event does not find them', async (t) => {
      const nodes = await givenNodes(t, count);
      leaveOut(t, 'assignment');
      const sum = nothing();
      await endOnce(nodes, 'assignment', new Random(SEED), sum);
      assert.ok(sum.late > 0 && sum.openAfter > 0, JSON.stringify(sum));
      report.planted += 1;
    });
  });
}
