import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { IdentityId } from '../../../src/callers.ts';
import { IdentityStore } from '../../../src/identities/identity-store.ts';
import { REASON_OF, type RevocationKind } from '../../../src/revocation/event.ts';
import { DEV_ID, inPath } from '../resources.ts';
import { FOR_GOOD, type Subject, statusOf } from '../revocation/endings.ts';
import type { Random } from '../revocation/simulation.ts';
import type { TestServer } from '../server.ts';
import type { Client, TestPlane } from './test-plane.ts';

type Given = (server: TestServer) => Promise<Subject>;

/** A user of the development resource, whose tokens are ended by a call. */
async function givenUser(server: TestServer, end: (id: IdentityId) => Promise<number>): Promise<Subject> {
  const id = (await server.givenIdentity()) as IdentityId;
  return { issue: () => server.givenToken(id), end: () => end(id) };
}

/** Of each kind of event somebody who has tokens, and what ends them. */
export const ENDINGS: Readonly<Record<RevocationKind, Given>> = {
  identity: (server) =>
    givenUser(server, async (id) => (await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`)).status),
  identityDeleted: (server) => givenUser(server, async (id) => (await server.asService(`DELETE ${inPath(id)}`)).status),
  // A request for a bound in the future records two events, and one for a bound in the past ends no token that is new.
  validFrom: (server) =>
    givenUser(server, async (identityId) => {
      const validFromMs = Date.UTC(2040, 0, 1);
      await server.server.revocations.end(async (tx, record) => {
        await record({ kind: 'validFrom', resourceId: DEV_ID, identityId, validFromMs });
        await new IdentityStore().setValidFrom(tx, DEV_ID, identityId, validFromMs);
      });
      return 204;
    }),
  key: FOR_GOOD['regenerating the access key'],
  resource: FOR_GOOD['deleting the resource'],
  trust: FOR_GOOD['disabling the trust'],
  assignment: FOR_GOOD['removing the assignment'],
  signingKey: (server) => givenUser(server, () => statusOf(server.server.keys.kill(server.server.keys.active.kid))),
  all: (server) => givenUser(server, () => statusOf(server.server.revocations.record({ kind: 'all' }))),
};

/** These end the tokens of others, too. */
const ALONE: readonly RevocationKind[] = ['trust', 'signingKey', 'all'];

export const KINDS = Object.keys(ENDINGS) as RevocationKind[];

/** All kinds, those that can be tried at the same time together. */
export const ROUND: readonly (readonly RevocationKind[])[] = [
  KINDS.filter((kind) => !ALONE.includes(kind)),
  ...ALONE.map((kind) => [kind]),
];

/** After which a session that was not ended counts as open for good. */
const PATIENCE_MS = 2000;

/** What came of loops. */
export interface Judged {
  loops: number;
  /** What arrived, of all that was sent. */
  arrived: number;
  /** Sent after the call had returned, and arrived. */
  late: number;
  /** Not ended when the call returned. */
  openAfter: number;
  /** Ended before the call was made, or not with its reason. */
  wrong: number;
  /** How those ended. */
  readonly otherEnds: Set<string>;
  mostMsOfCall: number;
}

export const nothing = (): Judged => ({
  loops: 0,
  arrived: 0,
  late: 0,
  openAfter: 0,
  wrong: 0,
  otherEnds: new Set(),
  mostMsOfCall: 0,
});

/**
 * What a client may be told. A node reads the resources again for a change of its own, too; when that is before it applies
 * the event of a deletion, the resource is missing for its requests and its sessions alike.
 */
const reasonsOf = (kind: RevocationKind): string[] =>
  kind === 'resource' ? [REASON_OF[kind], 'token.resource'] : [REASON_OF[kind]];

/** Where the subject gets its tokens and is ended, and where its sessions are open. */
interface Nodes {
  readonly server: TestServer;
  readonly planes: readonly TestPlane[];
}

/**
 * Opens a socket and a request that waits on each node, writes to them without a pause, ends their token, and goes on
 * writing. What arrived is judged by when it was sent.
 */
export async function endOnce(
  { server, planes }: Nodes,
  kind: RevocationKind,
  random: Random,
  sum: Judged,
): Promise<void> {
  const { issue, end } = await ENDINGS[kind](server);
  const token = await issue();
  if (token === undefined) throw new Error(`no token for ${kind}`);
  const clients = await Promise.all(planes.flatMap((plane) => [plane.socket(token), plane.waiting(token)]));
  let over = false;
  const writing = (async () => {
    for (; !over; await turn()) for (const client of clients) if (client.takesAll || random.chance(0.1)) client.write();
  })();
  for (let turns = random.below(12); turns > 0; turns -= 1) await turn();
  const asked = performance.now();
  const status = await end();
  const done = performance.now();
  if (status >= 300) throw new Error(`${kind} was answered ${status}`);
  const stillOpen = clients.filter((client) => client.isOpen()).length;
  const ends = await Promise.all(clients.map((client) => Promise.race([client.end, sleep(PATIENCE_MS, 'open')])));
  for (let turns = 4; turns > 0; turns -= 1) {
    for (const client of clients) client.write(); // this must arrive nowhere
    await turn();
  }
  over = true;
  await writing;
  for (const client of clients) client.leave();
  judge(sum, clients, { asked, done });
  sum.openAfter += stillOpen;
  const expected = reasonsOf(kind).flatMap((reason) => [`1008 ${reason}`, `401 ${reason}`]);
  for (const how of ends) {
    if (expected.includes(how)) continue;
    sum.wrong += 1;
    sum.otherEnds.add(`${kind}: ${how}`);
  }
}

function judge(sum: Judged, clients: readonly Client[], { asked, done }: { asked: number; done: number }): void {
  const sentAt = clients.flatMap((client) => client.sentAt);
  sum.loops += 1;
  sum.arrived += sentAt.length;
  sum.late += sentAt.filter((at) => at > done).length;
  sum.wrong += clients.filter((client) => (client.endedAt() ?? done) < asked).length;
  sum.mostMsOfCall = Math.max(sum.mostMsOfCall, Math.round(done - asked));
}

/** Every request is tried against the keys of every resource, so those that are not needed any more go. */
export async function removeResources({ server: { resources } }: TestServer): Promise<void> {
  for (const { id, name } of resources.list()) if (name.startsWith('r-')) await resources.delete(id);
}
