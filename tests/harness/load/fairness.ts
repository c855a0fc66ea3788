import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { type Child, startChild } from '../child.ts';
import { send } from '../http.ts';
import { closedLoop, openWires } from './generator.ts';
import type { Report } from './overload.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';

/** Connections of the one that asks too much: many times what it has places for. */
const GREEDY = 200;
const MODEST = 2;
/** Requests of the modest one before anything is judged, however slow the machine. */
const ENOUGH = 30;
const PATIENCE_MS = 60_000;
const SERVICE = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/load';

/** A server with two resources, the second of which has this key. */
export async function twoResources(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  faults: readonly string[] = [],
): Promise<{ server: Child; key: string }> {
  const operator = randomBytes(24).toString('base64url');
  const server = await startChild(t, { env: { ...env, LINARITE_OPERATOR_KEY: operator }, faults });
  const asOperator = async (method: string, path: string, body?: object) => {
    const answer = await send(server.port, {
      method,
      target: `${path}?api-version=2023-04-01`,
      headers: { Authorization: `Bearer ${operator}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body ?? {}),
    });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  await asOperator('PUT', SERVICE, { location: 'westeurope' });
  const place = `${SERVICE}/providers/Microsoft.Communication/communicationServices/second`;
  await asOperator('PUT', place, { location: 'global', properties: { dataLocation: 'Europe' } });
  return { server, key: (await asOperator('POST', `${place}/listKeys`)).primaryKey };
}

/** One resource asks without end, another one modestly (L4). */
export async function fairness({ server, key }: { server: Child; key: string }, seconds: number): Promise<Report> {
  const { port } = server;
  const greedy = new Requests(port, server.key);
  const modest = new Requests(port, key);
  const [greedyId = ''] = await createMany(port, greedy, 1);
  const [modestId = ''] = await createMany(port, modest, 1);
  const [many, few] = [await openWires(port, GREEDY), await openWires(port, MODEST)];
  const end = performance.now() + seconds * 1000;
  let asked = 0;
  const goesOn = (): boolean => performance.now() < end || (asked < ENOUGH && performance.now() < end + PATIENCE_MS);
  const [loud, beside] = await Promise.all([
    closedLoop(port, many, () => ({ request: greedy.issue(greedyId) }), goesOn),
    closedLoop(
      port,
      few,
      () => {
        asked += 1;
        return { request: modest.issue(modestId) };
      },
      goesOn,
    ),
  ]);
  const figures = {
    greedyAsked: loud.answered,
    greedyRefused: loud.count(503),
    modestAsked: beside.answered,
    modestRefused: beside.count(503),
  };
  const rules: [boolean, string][] = [
    [figures.greedyRefused > 0, 'the one that asks too much is never refused'],
    [figures.modestAsked >= ENOUGH, 'the modest one got too few answers'],
    [figures.modestRefused === 0, `the modest one was refused ${figures.modestRefused} times`],
    [loud.unexpected + beside.unexpected + loud.cut + beside.cut === 0, 'an answer was neither success nor refusal'],
  ];
  return { figures, broken: rules.filter(([kept]) => !kept).map(([, words]) => words) };
}
