import type { AssignmentId, IdentityId, KeySlot, ResourceId, TrustId } from '../../../src/callers.ts';
import { ServiceError } from '../../../src/errors.ts';
import {
  type LoggedEvent,
  type RevocableToken,
  type RevocationEvent,
  type RevocationKind,
  revocable,
} from '../../../src/revocation/event.ts';
import { RevocationState } from '../../../src/revocation/revocation-state.ts';
import { type Recording, Revocations } from '../../../src/revocation/revocations.ts';
import type { Rows } from '../../../src/storage/sql.ts';
import { type Content, FakeStore, fakeWriter, keyOf, type Link, Primary, type StoreFaults } from './fake-store.ts';
import { NodeSessions, type SessionFaults } from './model-sessions.ts';
import { Process, Random, type Weather, World } from './simulation.ts';

/** A rule of the protocol taken away, to see that the model notices. */
export interface Faults extends StoreFaults, SessionFaults {
  noLease?: boolean;
  leaseFromEndOfBeat?: boolean;
  issueFromCache?: boolean;
  /** Tokens are compared by `iat` seconds in place of positions. */
  byIssueTime?: boolean;
  /** A node says that it has followed a change before it has read it. */
  followsEarly?: boolean;
}

/** What one schedule showed. */
export interface Outcome {
  seed: number;
  /** Acceptances of tokens whose end had been confirmed before the check began, or before something was sent to a session. */
  late: string[];
  /** Refusals, and ends of sessions, for events from before the token was asked for. */
  wrong: string[];
  /** What did not work again after the faults had ended; alarms without cause. */
  stuck: string[];
  checks: number;
  accepted: number;
  refused: number;
  unsure: number;
  events: number;
  /** What was sent to sessions, and sessions that were ended. */
  sent: number;
  ended: number;
}

interface Token {
  readonly name: string;
  readonly claims: RevocableToken;
  readonly askedAt: number;
  /** When the store was read for it. */
  readonly readAt: number;
  /** True when a server that had been replaced was read: then only what was confirmed counts. */
  readonly fromFenced: boolean;
}

interface Recorded {
  readonly event: LoggedEvent;
  readonly committedAt: number;
  /** When the call that caused it said so. */
  returnedAt: number | undefined;
}

/** Something that every node keeps in memory, and when calls have said that it is there, and that it is gone. */
interface Grant {
  addedAt: number | undefined;
  removedAt: number | undefined;
}

interface Node extends Link {
  readonly name: string;
  /** What it keeps in memory of the grants, and how many readings had begun before the one that it comes from. */
  grants: ReadonlySet<string>;
  grantsOf: number;
  readings: number;
  revocations: Revocations;
  sessions: NodeSessions<Token>;
  ready: boolean;
  watch: { stop(): void } | undefined;
}

const ASSIGNMENT = 'entra/somebody' as AssignmentId;

/** What a token can have been issued by. */
const WAYS_IN: readonly Pick<RevocableToken, 'keySlot' | 'trustId' | 'assignmentId'>[] = [
  { keySlot: 'primary', trustId: undefined, assignmentId: undefined },
  { keySlot: 'secondary', trustId: undefined, assignmentId: undefined },
  { keySlot: undefined, trustId: 'one' as TrustId, assignmentId: undefined },
  { keySlot: undefined, trustId: 'two' as TrustId, assignmentId: ASSIGNMENT },
];

const NODES = 3;
const FAULTS_MS = 12_000;
/** Long enough for the lock of a transaction whose client died, and a wait for a node that did. */
const CALM_MS = 9000;
const LONG_AGO = 60_000;

/** Plays one random schedule against the real modules and judges every answer by when things really happened. */
export async function play(seed: number, faults: Faults = {}): Promise<Outcome> {
  const model = new Model(seed, faults);
  const undo = [
    interceptTimers(model.world),
    withoutStackTraces(),
    ...(faults.byIssueTime ? [compareIssueTimes(model)] : []),
  ];
  try {
    return await model.run();
  } finally {
    for (const step of undo) step();
  }
}

class Model {
  readonly #random: Random;
  readonly world: World;
  readonly #faults: Faults;
  readonly #weather: Weather;
  readonly #leaseMs: number;
  readonly #windowMs: number;
  readonly #mostBytes: number;
  readonly #forgetAfterMs: number;
  readonly #nodes: Node[] = [];
  readonly #recorded = new Map<number, Recorded>();
  readonly #tokens: Token[] = [];
  readonly #grants = new Map<string, Grant>();
  readonly outcome: Outcome;
  #primary: Primary;
  #names = 0;

  constructor(seed: number, faults: Faults) {
    this.#random = new Random(seed);
    this.#faults = faults;
    const random = this.#random;
    this.world = new World(random, FAULTS_MS);
    this.#weather = {
      delayMs: random.pick([0.5, 2, 20, 100]),
      slow: random.pick([0, 0.01, 0.1]),
      lost: random.pick([0, 0, 0.02]),
      stops: random.pick([0, 0.005, 0.02]),
    };
    this.#leaseMs = random.pick([500, 1000, 2000, 2000]);
    this.#windowMs = random.pick([2000, LONG_AGO, LONG_AGO]);
    this.#mostBytes = random.pick([1024, 2 ** 28]);
    this.#forgetAfterMs = random.pick([2 * this.#leaseMs, LONG_AGO]);
    this.outcome = {
      seed,
      late: [],
      wrong: [],
      stuck: [],
      checks: 0,
      accepted: 0,
      refused: 0,
      unsure: 0,
      events: 0,
      sent: 0,
      ended: 0,
    };
    this.#primary = new Primary(this.world, firstContent(random), (event) => {
      this.#recorded.set(event.seq, { event, committedAt: this.world.now, returnedAt: undefined });
      this.outcome.events += 1;
    });
  }

  /** Seconds at which an event was recorded by the store's clock. */
  recordedSeconds(seq: number): number {
    const entry = this.#primary.content.log.find(({ event }) => event.seq === seq);
    return Math.floor((entry?.at ?? 0) / 1000);
  }

  async run(): Promise<Outcome> {
    const { world } = this;
    for (let index = 0; index < NODES; index += 1) this.#boot(index);
    await world.runUntil(200);
    this.#misbehave();
    for (let index = 0; index < NODES; index += 1) this.#use(index);
    await world.runUntil(FAULTS_MS);
    // A start that was cut off is somebody else's to repeat.
    for (const [index, node] of this.#nodes.entries()) if (!node.ready) this.#restart(index);
    // A heartbeat under way has up to three questions to give up, each after the length of a lease.
    await world.runUntil(FAULTS_MS + 3 * this.#leaseMs + 500);
    await this.#expectService();
    return this.outcome;
  }

  // Nodes

  #boot(index: number): void {
    const process = new Process(this.world, this.#weather);
    const node: Node = {
      name: `node ${index}`,
      process,
      primary: this.#primary,
      ready: false,
      watch: undefined,
      grants: new Set(),
      grantsOf: 0,
      readings: 0,
      revocations: undefined as unknown as Revocations,
      sessions: undefined as unknown as NodeSessions<Token>,
    };
    const store = new FakeStore(node, this.#faults);
    node.revocations = new Revocations(
      {
        store,
        writer: fakeWriter(node),
        clock: process,
        events: {
          notice: (_, message) => this.outcome.stuck.push(`${node.name} at ${this.world.now}: ${message}`),
          tokensEnded: () => undefined,
        },
        sleep: (ms: number, _?: unknown, options?: { signal?: AbortSignal }) => process.sleep(ms, options?.signal),
      },
      {
        nodeId: `${index}-${this.#names++}`,
        exclusive: false,
        leaseMs: this.#leaseMs,
        windowMs: this.#windowMs,
        mostBytes: this.#mostBytes,
        forgetAfterMs: this.#forgetAfterMs,
      },
    );
    node.revocations.onConfigChanged(async () => {
      if (!this.#faults.followsEarly) return readGrants(node);
      void process.sleep(100).then(() => readGrants(node).catch(() => undefined));
    });
    node.sessions = new NodeSessions(node.revocations, process, this.#judgeOf(node), this.#faults);
    weaken(node, this.#faults);
    this.#nodes[index] = node;
    this.#start(index, node);
  }

  #start(index: number, node: Node): void {
    this.world.after(0, () =>
      node.process.deliver(() => {
        void node.revocations.start().then(
          () => {
            node.ready = true;
          },
          () => this.world.after(300, () => node.process.alive && this.#restart(index)), // its supervisor starts it again
        );
      }),
    );
  }

  #restart(index: number): void {
    const node = this.#nodes[index];
    if (node) node.process.alive = false;
    this.#boot(index);
  }

  /** Faults, at random moments. */
  #misbehave(): void {
    const random = this.#random;
    const at = (run: () => void): void => this.world.after(random.between(0, FAULTS_MS - 200), run);
    const some = (most: number, run: (node: Node, index: number) => void): void => {
      for (let left = random.below(most + 1); left > 0; left -= 1) {
        const index = random.below(NODES);
        at(() => run(this.#nodes[index] as Node, index));
      }
    };
    some(3, ({ process }) => process.cut(random.between(50, 6000)));
    some(3, ({ process }) => process.stop(random.between(1, 8000)));
    some(3, ({ process }) => process.jump(random.pick([1, -1]) * random.pick([500, 5000, 7_200_000])));
    some(2, (_, index) => this.#restart(index));
    some(2, () => this.#primary.jump(random.pick([1, -1]) * random.pick([1500, 90_000, 7_200_000])));
    if (random.chance(0.4)) at(() => this.#failOver());
  }

  /** Another server takes over; some nodes find out late, and the old one goes on answering reads. */
  #failOver(): void {
    const next = this.#primary.successor();
    this.#primary = next;
    const random = this.#random;
    for (let index = 0; index < NODES; index += 1) {
      const late = random.chance(0.3) ? random.between(0, 9000) : random.between(0, 100);
      this.world.after(this.world.until(late) - this.world.now, () => {
        const node = this.#nodes[index];
        if (node) node.primary = next;
      });
    }
  }

  // Clients

  #use(index: number): void {
    const random = this.#random;
    const again = (meanMs: number, act: (node: Node) => Promise<unknown>): void => {
      const node = this.#nodes[index] as Node;
      if (node.ready && node.process.alive)
        node.process.deliver(() => {
          if (node.process.alive) void act(node).catch(() => undefined);
        });
      if (!this.world.isCalm) this.world.after(random.between(0, 2 * meanMs), () => again(meanMs, act));
    };
    // Each in a task of its own: what runs outside of one would mix with the next one's promises.
    const begin = (meanMs: number, act: (node: Node) => Promise<unknown>): void =>
      this.world.after(0, () => again(meanMs, act));
    begin(120, (node) => this.#issue(node));
    begin(700, (node) => this.#end(node));
    begin(40, (node) => this.#check(node, this.#recentToken()));
    begin(1000, (node) => this.#repeat(node));
    begin(1000, (node) => this.#regrant(node));
    begin(100, (node) => this.#act(node, this.#recentGrant()));
    begin(150, (node) => this.#open(node, this.#recentToken()));
    begin(60, async (node) => node.sessions.send());
  }

  /** As a request for a socket does: its token is verified, and some time later the session begins. */
  async #open(node: Node, token: Token | undefined): Promise<void> {
    if (!token || (await answerOf(node.revocations.check(token.claims))) !== 'accepted') return;
    await node.process.sleep(this.#random.between(0, 60));
    await node.process.maybeStop();
    node.sessions.open(token);
  }

  #judgeOf(node: Node) {
    const { outcome } = this;
    return {
      sent: (token: Token): void => {
        outcome.sent += 1;
        const missed = this.#mustRefuse(token, this.world.now);
        if (missed) outcome.late.push(`sent to a session: ${this.#describe(node, token, this.world.now, missed)}`);
      },
      ended: (token: Token, { error }: ServiceError): void => {
        outcome.ended += 1;
        if (error === 'TokenRefused' && !this.#mayRefuse(token))
          outcome.wrong.push(`ended a session: ${this.#describe(node, token, this.world.now, undefined)}`);
      },
    };
  }

  #recentToken(): Token | undefined {
    const back = Math.floor(this.#random.next() ** 2 * Math.min(60, this.#tokens.length));
    return this.#tokens[this.#tokens.length - 1 - back];
  }

  async #issue(node: Node): Promise<Token | undefined> {
    const { world } = this;
    const random = this.#random;
    const askedAt = world.now;
    const { revocations, process, primary } = node;
    await revocations.requireFresh();
    const known = revocations.position;
    const identities = [...this.#primary.content.identities.keys()];
    const identityId = random.pick(identities);
    const seen = await process.ask<{ content: Content; at: number; seq: number; resourceId: ResourceId } | undefined>(
      (done) => {
        const { content } = primary;
        const identity = content.identities.get(identityId);
        const gone = !identity || content.resources.get(identity.resourceId)?.deletedSeq !== undefined;
        done(gone ? undefined : { content, at: world.now, seq: content.seq, resourceId: identity.resourceId });
      },
    );
    // A connection may still lead to a server that was replaced, while the heartbeats go to the new one already.
    if (!seen || seen.seq < known) return undefined;
    await process.maybeStop();
    const kid = random.pick([...seen.content.signingKeys].filter(([, killed]) => killed === 0))[0];
    const position = this.#faults.issueFromCache ? revocations.position : seen.seq;
    const token: Token = {
      name: `token ${this.#tokens.length}`,
      askedAt,
      readAt: this.#faults.issueFromCache ? world.now : seen.at,
      fromFenced: primary.fenced,
      claims: revocable({
        resourceId: seen.resourceId,
        identityId,
        ...random.pick(WAYS_IN),
        kid,
        position,
        issuedAtSeconds: Math.floor(process.now() / 1000),
      }),
    };
    this.#tokens.push(token);
    // The very next thing a client does is to use it, anywhere.
    this.#checkSoon(token, 3);
    return token;
  }

  #checkSoon(token: Token, withinMs: number): void {
    const index = this.#random.below(NODES);
    this.world.after(this.#random.between(0, withinMs), () => {
      const node = this.#nodes[index];
      if (node?.ready) node.process.deliver(() => void this.#check(node, token));
    });
  }

  /** Something that ends tokens; afterwards tokens that it ended are tried everywhere. */
  async #end(node: Node): Promise<void> {
    const event = this.#randomEvent(node);
    if (!event) return;
    const { revocations } = node;
    if (this.#random.chance(0.5)) {
      const other = this.#nodes[this.#random.below(NODES)];
      this.world.after(this.#random.between(1, 100), () => {
        if (other?.ready) other.process.deliver(() => void this.#repeat(other).catch(() => undefined));
      });
    }
    const work = async (tx: Rows, record: Recording): Promise<number> => {
      const seq = await record(event);
      carryOut(tx, event, seq, `k${this.#names++}`);
      return seq;
    };
    const seq = await (IN_MEMORY.has(event.kind) ? revocations.change(work) : revocations.end(work));
    const recorded = this.#recorded.get(seq);
    if (!recorded) {
      this.outcome.stuck.push(`${event.kind} ${seq} was confirmed and is not in the store`);
      return;
    }
    this.#confirm(recorded);
  }

  /** A call that finds its work done: everything committed before is confirmed by it. */
  async #repeat(node: Node): Promise<void> {
    const { revocations, process, primary } = node;
    let seen = primary.content.seq;
    if (this.#random.chance(0.3)) await revocations.settled();
    else
      await revocations.end(async () => {
        seen = await process.ask<number>((done) => done(primary.content.seq));
      });
    for (const recorded of this.#recorded.values())
      if (recorded.event.seq <= seen && recorded.returnedAt === undefined) this.#confirm(recorded);
  }

  /** Afterwards tokens that the event ended are tried everywhere. */
  #confirm(recorded: Recorded): void {
    recorded.returnedAt ??= this.world.now;
    const ended = this.#tokens.filter((token) => concerns(recorded.event, token.claims));
    for (const token of ended.slice(-6)) for (const ms of [1, 30, this.#leaseMs]) this.#checkSoon(token, ms);
  }

  #recentGrant(): string {
    const names = [...this.#primary.content.grants, ...this.#grants.keys()];
    return this.#random.pick(names.slice(-20));
  }

  /** Takes a grant back, maybe one that is gone already, and makes another one. @returns its name */
  async #regrant(node: Node): Promise<string> {
    const former = this.#recentGrant();
    const name = `grant ${this.#names++}`;
    await node.revocations.change(async (tx) => {
      writesOf(tx).push(({ grants }) => {
        grants.delete(former);
        grants.add(name);
      });
    });
    await readGrants(node);
    const known = (of: string): Grant => this.#grants.get(of) ?? { addedAt: undefined, removedAt: undefined };
    this.#grants.set(former, { ...known(former), removedAt: known(former).removedAt ?? this.world.now });
    this.#grants.set(name, { ...known(name), addedAt: this.world.now });
    for (const each of [former, name])
      for (const [index, ms] of [1, 30, this.#leaseMs].entries())
        this.world.after(this.#random.between(0, ms), () => {
          const other = this.#nodes[(index + this.#random.below(NODES)) % NODES];
          if (other?.ready) other.process.deliver(() => void this.#act(other, each));
        });
    return name;
  }

  /** Does what a grant permits, as a request does: by memory, once that is known to be fresh. */
  async #act(node: Node, name: string): Promise<void> {
    const { outcome, world } = this;
    const began = world.now;
    const { addedAt, removedAt } = this.#grants.get(name) ?? {};
    outcome.checks += 1;
    if ((await answerOf(node.revocations.requireFresh())) !== 'accepted') {
      outcome.unsure += 1;
      return;
    }
    const accepted = node.grants.has(name);
    const about = `${node.name}, act began ${began.toFixed(1)}, answered ${world.now.toFixed(1)}; ${name}`;
    if (accepted) {
      outcome.accepted += 1;
      if (removedAt !== undefined && removedAt < began)
        outcome.late.push(`${about}, confirmed to be gone ${removedAt.toFixed(1)}`);
    } else {
      outcome.refused += 1;
      if (addedAt !== undefined && addedAt < began && this.#primary.content.grants.has(name))
        outcome.wrong.push(`${about}, confirmed to be there ${addedAt.toFixed(1)}`);
    }
  }

  #randomEvent(node: Node): RevocationEvent | undefined {
    const random = this.#random;
    const { content } = this.#primary;
    const identityId = random.pick([...content.identities.keys()]);
    const resourceId = content.identities.get(identityId)?.resourceId;
    if (!resourceId || content.resources.get(resourceId)?.deletedSeq !== undefined) return undefined;
    const chance = random.next();
    if (chance < 0.5) return { kind: 'identity', resourceId, identityId };
    if (chance < 0.65) return { kind: 'identityDeleted', resourceId, identityId };
    if (chance < 0.7) {
      const validFromMs = node.process.now() + random.between(-5000, 3000);
      return { kind: 'validFrom', resourceId, identityId, validFromMs };
    }
    if (chance < 0.85) return { kind: 'key', resourceId, slot: random.pick(['primary', 'secondary']) };
    if (chance < 0.9) return { kind: 'resource', resourceId };
    if (chance < 0.92) return { kind: 'trust', trustId: random.pick([...content.trusts.keys()]) };
    if (chance < 0.94) return { kind: 'assignment', resourceId, assignmentId: ASSIGNMENT };
    if (chance < 0.97) {
      const kid = random.pick([...content.signingKeys].filter(([, killed]) => killed === 0))[0];
      return { kind: 'signingKey', kid };
    }
    return { kind: 'all' };
  }

  async #check(node: Node, token: Token | undefined): Promise<void> {
    if (!token || !node.process.alive) return;
    const began = this.world.now;
    const { outcome } = this;
    outcome.checks += 1;
    const answer = await answerOf(node.revocations.check(token.claims));
    if (answer === 'accepted') {
      outcome.accepted += 1;
      const missed = this.#mustRefuse(token, began);
      if (missed) outcome.late.push(this.#describe(node, token, began, missed));
    } else if (answer === 'refused') {
      outcome.refused += 1;
      if (!this.#mayRefuse(token)) outcome.wrong.push(this.#describe(node, token, began, undefined));
    } else {
      outcome.unsure += 1;
    }
  }

  /** An event that had been confirmed before the check began, and was committed after the token was issued. */
  #mustRefuse(token: Token, began: number): Recorded | undefined {
    const confirmed = [...this.#recorded.values()].filter(
      ({ event, returnedAt }) => returnedAt !== undefined && returnedAt < began && concerns(event, token.claims),
    );
    const ended = confirmed.find(({ event, committedAt }) => event.kind !== 'validFrom' && token.readAt < committedAt);
    return ended ?? confirmed.find(({ event }) => this.#isBound(event, token.claims));
  }

  /** Whether an event is a bound that ends a token. It went with the identity that had it, when that was deleted. */
  #isBound(event: LoggedEvent, token: RevocableToken): boolean {
    return (
      isBeforeBound(event, token) &&
      ![...this.#recorded.values()].some(
        ({ event: other }) =>
          other.kind === 'identityDeleted' &&
          other.identityId === token.identityId &&
          event.seq < other.seq &&
          other.seq <= token.position,
      )
    );
  }

  #mayRefuse(token: Token): boolean {
    return [...this.#recorded.values()].some(({ event, committedAt, returnedAt }) => {
      if (!concerns(event, token.claims)) return false;
      if (event.kind === 'validFrom') return this.#isBound(event, token.claims);
      const since = token.fromFenced ? (returnedAt ?? Number.POSITIVE_INFINITY) : committedAt;
      return since > token.askedAt;
    });
  }

  #describe(node: Node, token: Token, began: number, missed: Recorded | undefined): string {
    const what =
      missed &&
      `${missed.event.kind} ${missed.event.seq}, committed ${missed.committedAt.toFixed(1)}, confirmed ${missed.returnedAt?.toFixed(1)}`;
    return `${node.name}, check began ${began.toFixed(1)}, answered ${this.world.now.toFixed(1)}; ${token.name} asked ${token.askedAt.toFixed(1)}, read ${token.readAt.toFixed(1)}, position ${token.claims.position}; ${what ?? 'no event after it'}`;
  }

  // After the faults

  async #expectService(): Promise<void> {
    for (const node of this.#nodes) {
      const complain = (what: string): void => {
        this.outcome.stuck.push(`${node.name} after the faults: ${what}`);
      };
      if (!node.ready) {
        complain('it has not started');
        continue;
      }
      if (node.revocations.problem !== undefined) complain(node.revocations.problem);
      for (const { name } of node.sessions.held) complain(`the session of ${name} is neither open nor ended`);
      let done = false;
      this.world.after(0, () => {
        const round = async (): Promise<void> => {
          const token = await this.#issue(node);
          for (const other of this.#nodes) {
            if (
              token &&
              (await answerOf(other.revocations.check(token.claims))) !== 'accepted' &&
              !this.#mayRefuse(token)
            )
              complain(`${other.name} does not accept a new token`);
          }
          const grant = await this.#regrant(node);
          for (const other of this.#nodes) {
            if (!other.grants.has(grant)) complain(`${other.name} does not know a new grant`);
          }
          await node.revocations.record({ kind: 'all' });
          for (const other of this.#nodes) {
            if (token && (await answerOf(other.revocations.check(token.claims))) !== 'refused')
              complain(`${other.name} does not refuse an ended token`);
          }
          done = true;
        };
        void round().catch((cause: unknown) => complain(String(cause)));
      });
      await this.world.runUntil(this.world.now + CALM_MS);
      if (!done) complain('no round of issuing, using and ending a token');
    }
  }
}

async function answerOf(check: Promise<void>): Promise<'accepted' | 'refused' | 'unsure'> {
  try {
    await check;
    return 'accepted';
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    return cause.error === 'TokenRefused' ? 'refused' : 'unsure';
  }
}

function concerns(event: RevocationEvent, token: RevocableToken): boolean {
  switch (event.kind) {
    case 'identity':
    case 'identityDeleted':
    case 'validFrom':
      return event.identityId === token.identityId;
    case 'key':
      return event.resourceId === token.resourceId && event.slot === token.keySlot;
    case 'resource':
      return event.resourceId === token.resourceId;
    case 'trust':
      return event.trustId === token.trustId;
    case 'assignment':
      return event.resourceId === token.resourceId && event.assignmentId === token.assignmentId;
    case 'signingKey':
      return event.kid === token.kid;
    case 'all':
      return true;
  }
}

const isBeforeBound = (event: LoggedEvent, token: RevocableToken): boolean =>
  event.kind === 'validFrom' && token.issuedAtSeconds < event.validFromMs / 1000;

const writesOf = (tx: Rows) => (tx as unknown as { writes: ((content: Content) => void)[] }).writes;

/** One reading of a node's may be overtaken by another: the last to begin counts. */
async function readGrants(node: Node): Promise<void> {
  node.readings += 1;
  const reading = node.readings;
  const grants = await node.process.ask<ReadonlySet<string>>((done) => done(new Set(node.primary.content.grants)));
  if (reading < node.grantsOf) return;
  node.grants = grants;
  node.grantsOf = reading;
}

/** Events about what every node keeps in memory. */
const IN_MEMORY: ReadonlySet<string> = new Set(['key', 'resource', 'trust', 'signingKey'] satisfies RevocationKind[]);

/** What the operations do in the transaction of an event. */
function carryOut(tx: Rows, event: RevocationEvent, seq: number, name: string): void {
  writesOf(tx).push((content) => {
    switch (event.kind) {
      case 'identity':
      case 'validFrom': {
        const row = content.identities.get(event.identityId);
        if (!row) return;
        if (event.kind === 'identity') row.revokedSeq = seq;
        else row.validFromMs = Math.max(event.validFromMs, row.validFromMs ?? 0);
        return;
      }
      case 'identityDeleted': {
        content.identities.delete(event.identityId);
        if (seq % 2 === 0) addIdentity(content, event.resourceId, name);
        // made again, as an exchange does
        else
          content.identities.set(event.identityId, {
            resourceId: event.resourceId,
            revokedSeq: seq,
            validFromMs: undefined,
          });
        return;
      }
      case 'key':
        content.keys.set(keyOf(event.resourceId, event.slot), seq);
        return;
      case 'resource':
        content.resources.set(event.resourceId, { deletedSeq: seq });
        addResource(content, name);
        return;
      case 'trust':
        content.trusts.set(event.trustId, seq);
        return;
      case 'assignment':
        content.assignments.set(`${event.resourceId} ${event.assignmentId}`, seq);
        return;
      case 'signingKey':
        content.signingKeys.set(event.kid, seq);
        content.signingKeys.set(name, 0);
        return;
      case 'all':
        return;
    }
  });
}

function addIdentity(content: Content, resourceId: ResourceId, name: string): void {
  const id = `8:acs:${resourceId}_${name}` as IdentityId;
  content.identities.set(id, { resourceId, revokedSeq: 0, validFromMs: undefined });
}

function addResource(content: Content, name: string): void {
  const resourceId = `resource-${name}` as ResourceId;
  content.resources.set(resourceId, { deletedSeq: undefined });
  content.assignments.set(`${resourceId} ${ASSIGNMENT}`, 0);
  for (const slot of ['primary', 'secondary'] satisfies KeySlot[]) content.keys.set(keyOf(resourceId, slot), 0);
  for (const suffix of ['a', 'b', 'c']) addIdentity(content, resourceId, `${name}${suffix}`);
}

function firstContent(random: Random): Content {
  const content: Content = {
    seq: 1 + random.below(1000),
    config: 1,
    log: [],
    nodes: new Map(),
    identities: new Map(),
    resources: new Map(),
    keys: new Map(),
    trusts: new Map([
      ['one' as TrustId, 0],
      ['two' as TrustId, 0],
    ]),
    assignments: new Map(),
    signingKeys: new Map([
      ['first', 0],
      ['second', 0],
    ]),
    grants: new Set(['grant one', 'grant two']),
  };
  addResource(content, 'one');
  addResource(content, 'two');
  return content;
}

/** Takes a rule away from a node's real {@link Revocations}. */
function weaken({ revocations, process }: Node, { noLease, leaseFromEndOfBeat }: Faults): void {
  if (noLease) Object.defineProperty(revocations, 'leaseAgeMs', { get: () => 0 });
  if (leaseFromEndOfBeat) {
    let ended: number | undefined;
    const heartbeat = revocations.heartbeat.bind(revocations);
    revocations.heartbeat = async () => {
      await heartbeat();
      ended = process.elapsed();
    };
    Object.defineProperty(revocations, 'leaseAgeMs', {
      get: () => (ended === undefined ? Number.POSITIVE_INFINITY : process.elapsed() - ended),
    });
  }
}

/** Puts a comparison of whole seconds, as other servers have it, in the place of the real verdict. */
function compareIssueTimes(model: Model): () => void {
  const { apply, verdict } = RevocationState.prototype;
  const applied = new WeakMap<RevocationState, LoggedEvent[]>();
  RevocationState.prototype.apply = function (event, nowMs) {
    apply.call(this, event, nowMs);
    applied.set(this, [...(applied.get(this) ?? []), event]);
  };
  RevocationState.prototype.verdict = function (token) {
    const ended = (applied.get(this) ?? []).find(
      (event) => concerns(event, token) && token.issuedAtSeconds < model.recordedSeconds(event.seq),
    );
    return ended && { kind: ended.kind, seq: ended.seq };
  };
  return () => Object.assign(RevocationState.prototype, { apply, verdict });
}

/** They are most of the cost of a refusal. */
function withoutStackTraces(): () => void {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  return () => {
    Error.stackTraceLimit = stackTraceLimit;
  };
}

/** The module's own timer runs by the clock of the process whose code is running. */
function interceptTimers(world: World): () => void {
  const { setInterval, clearInterval } = globalThis;
  globalThis.setInterval = ((run: () => void, ms: number) => {
    const { current } = world;
    if (!current) return setInterval(run, ms);
    return { ...current.every(ms, run), unref: () => undefined };
  }) as unknown as typeof globalThis.setInterval;
  globalThis.clearInterval = ((timer: { stop?: () => void } | undefined) => {
    if (timer?.stop) timer.stop();
    else clearInterval(timer as unknown as NodeJS.Timeout);
  }) as typeof globalThis.clearInterval;
  return () => Object.assign(globalThis, { setInterval, clearInterval });
}
