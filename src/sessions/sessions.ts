import type { ProvenUser, SessionKind, TokenFacts, UserCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { SteadyTime } from '../lib/steady-time.ts';
import { TimeSlice } from '../lib/time-slice.ts';
import type { Events } from '../monitoring/events.ts';
import { type LoggedEvent, REASON_OF } from '../revocation/event.ts';
import type { RevocationListener, Revocations } from '../revocation/revocations.ts';
import type { AccessTokens } from '../tokens/access-tokens.ts';
import { Deadlines } from './deadlines.ts';
import { SessionIndex } from './session-index.ts';

interface Uses {
  tokens: Pick<AccessTokens, 'requireStillHeld' | 'forgotten'>;
  revocations: Pick<Revocations, 'problem' | 'announceTo' | 'onConfigChanged'>;
  time: SteadyTime;
  clock: Clock;
  events: Pick<Events, 'sessionEnded' | 'notice'>;
}

/** Called once, with the error that a request with the token would get now. It tells the client, and waits for nobody. */
type End = (refusal: ServiceError) => void;

/** How often to look for tokens that have expired. What is sent is compared with the time itself. */
const TICK_MS = 250;
/**
 * How long sessions wait for a store that does not answer. Longer than a failover usually takes: then the clients would come
 * again all at once, to nodes that have no store either. Not for ever: this node alone may be cut off, and another one could
 * serve them.
 */
const HELD_MOST_MS = 60_000;

/**
 * What stays open for users, such as sockets and parked answers, and ends with its token: when an event ends the token, and
 * when it expires.
 *
 * An event ends what it concerns in the step in which this node applies it, before any other node can learn that it has:
 * from then on nothing is sent. The clients are told right afterwards, in slices of time when there are many. While this
 * node's lease has run out, nothing is sent either; when that lasts too long, all sessions are ended.
 */
export class Sessions implements RevocationListener {
  readonly #uses: Uses;
  readonly #index = new SessionIndex<Proof>();
  readonly #deadlines: Deadlines<Proof>;
  readonly #counts: Record<SessionKind, number> = { socket: 0, parked: 0 };
  #timer: NodeJS.Timeout | undefined;
  /** Elapsed time since which this node cannot tell. */
  #heldSince: number | undefined;
  /** Called when that may have changed. */
  #waiting: (() => void)[] = [];
  /** Those who have been ended and have not been told. */
  #untold: Session[] = [];
  #telling: Promise<void> | undefined;
  #isTelling = false;

  constructor(uses: Uses) {
    this.#uses = uses;
    this.#deadlines = new Deadlines(uses.time, uses.clock);
    uses.revocations.announceTo(this);
    uses.revocations.onConfigChanged(async () => this.endForgotten());
  }

  /** Sessions that are open, by kind. */
  get counts(): Readonly<Record<SessionKind, number>> {
    return this.#counts;
  }

  /**
   * Opens a session for a user who was proven before. Nothing may be sent until it is {@link Session.proven}: an event may
   * have come meanwhile.
   */
  open(user: ProvenUser, end: End, kind: SessionKind): Session {
    const session = new Session(this, kind, end, this.#enter(user));
    this.#counts[kind] += 1;
    const begin = (): void => {
      session.proof.session = session;
    };
    session.proven = this.#prove(session.proof, begin).catch((cause: unknown) => {
      this.#end(session, asRefusal(cause));
      this.#tell();
    });
    return session;
  }

  applied(event: LoggedEvent): void {
    if (this.#index.size === 0) return;
    let refusal: ServiceError | undefined; // one for all: to make an error takes longer than to close a session
    for (const proof of this.#index.concernedBy(event)) {
      if (!proof.session) proof.isConcerned = true;
      else if (isEndedBy(event, proof.token)) {
        refusal ??= refusalBy(event);
        this.#end(proof.session, refusal);
      }
    }
    this.#tell();
  }

  told(): Promise<void> | undefined {
    return this.#isTelling ? this.#telling : undefined;
  }

  /** Ends what was proven by a key or resource that is not there any more, for whatever reason. */
  endForgotten(): void {
    const { tokens } = this.#uses;
    for (const { token } of this.#index.samples()) {
      const refusal = tokens.forgotten(token);
      if (!refusal) continue;
      const { reason } = refusal;
      this.#endAll(
        this.#index.all().filter((proof) => tokens.forgotten(proof.token)?.reason === reason),
        refusal,
      );
    }
  }

  /** Ends what has expired, and everything when this node has not been able to tell for too long. */
  tick(): void {
    const due = this.#deadlines.takeDue();
    if (due.length > 0) this.#endAll(due, expired());
    this.endForgotten();
    const { revocations, clock } = this.#uses;
    const { problem } = revocations;
    this.#heldSince = problem === undefined ? undefined : (this.#heldSince ?? clock.elapsed());
    if (problem === undefined) this.#resume();
    else if (clock.elapsed() - (this.#heldSince ?? 0) >= HELD_MOST_MS)
      this.#endAll(this.#index.all(), notFresh(problem));
  }

  /** Stops looking at the time. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#heldSince = undefined;
  }

  /** @internal */
  async renew(session: Session, user: ProvenUser): Promise<void> {
    const { identityId, resourceId } = session.proof.token;
    if (user.token.identityId !== identityId || user.token.resourceId !== resourceId)
      throw new ServiceError('TokenRefused', { reason: 'token.otherUser' });
    await session.proven;
    const proof = this.#enter(user);
    const swap = (): void => {
      if (session.isOver) throw session.refusal ?? new ServiceError('TokenRefused', { reason: 'session.closed' });
      this.#leave(session.proof);
      session.proof = proof;
      proof.session = session;
    };
    await this.#prove(proof, swap).catch((cause: unknown) => {
      this.#leave(proof);
      throw cause;
    });
  }

  /** @internal */
  close(session: Session): void {
    if (session.isOver) return;
    this.#shut(session);
    this.#leave(session.proof);
  }

  /** @internal Why nothing may be sent at this moment; undefined when something may. */
  refusalOf({ isOver, refusal, proof }: Session): ServiceError | undefined {
    if (refusal) return refusal;
    if (isOver) return new ServiceError('TokenRefused', { reason: 'session.closed' });
    if (this.#deadlines.isOver(proof.deadline)) return expired();
    const { problem } = this.#uses.revocations;
    return problem === undefined ? undefined : notFresh(problem);
  }

  /** @internal */
  isHeld(): boolean {
    return this.#uses.revocations.problem !== undefined;
  }

  /** @internal */
  isExpired({ deadline }: Proof): boolean {
    return this.#deadlines.isOver(deadline);
  }

  /** @internal Settles when this node may be able to tell again. */
  whenFresh(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** After this, events find it. */
  #enter({ caller, token }: ProvenUser): Proof {
    const proof = new Proof(caller, token);
    this.#index.add(proof);
    proof.deadline = this.#deadlines.add(proof, caller.expiresOnMs);
    this.#timer ??= setInterval(() => this.tick(), TICK_MS).unref();
    return proof;
  }

  #leave(proof: Proof): void {
    this.#index.remove(proof);
    this.#deadlines.remove(proof, proof.deadline);
    this.#resume(); // it may be one of those who wait
    if (this.#index.size === 0) this.stop();
  }

  /** Lets everybody who waits look again. */
  #resume(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  /**
   * Verifies until no event about the token has come meanwhile. Events find it already, so none is missed.
   * @param use takes it for a session in the same step: from then on events end the session
   * @throws ServiceError `TokenRefused`; `NotFresh` when this node cannot tell
   */
  async #prove(proof: Proof, use: () => void): Promise<void> {
    do {
      proof.isConcerned = false;
      await this.#uses.tokens.requireStillHeld(proof.caller, proof.token);
    } while (proof.isConcerned);
    if (this.#deadlines.isOver(proof.deadline)) throw expired();
    use();
  }

  #endAll(proofs: readonly Proof[], refusal: ServiceError): void {
    for (const { session } of proofs) if (session) this.#end(session, refusal);
    this.#tell();
  }

  #end(session: Session, refusal: ServiceError): void {
    if (session.isOver) return;
    this.#shut(session);
    session.refusal = refusal;
    this.#untold.push(session);
  }

  /** After this, nothing is sent. */
  #shut(session: Session): void {
    session.isOver = true;
    this.#counts[session.kind] -= 1;
  }

  /** Tells those who have been ended: a few at once, many in slices, so that requests are served meanwhile. */
  #tell(): void {
    if (this.#untold.length === 0 || this.#isTelling) return;
    this.#isTelling = true;
    this.#telling = this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    const slice = new TimeSlice('sessions');
    while (this.#untold.length > 0) {
      for (const session of this.#untold.splice(0)) {
        const pause = slice.pause();
        if (pause) await pause;
        this.#tellOne(session);
      }
    }
    this.#isTelling = false; // in the same step as the last look, so that nobody is left untold
  }

  #tellOne({ kind, proof, refusal, end }: Session): void {
    if (!refusal) return;
    const { resourceId, identityId } = proof.token;
    this.#leave(proof); // no sooner: of what an event does at once, this would take the longest
    this.#uses.events.sessionEnded(kind, refusal.reason, resourceId, identityId);
    try {
      end(refusal);
    } catch (cause) {
      this.#uses.events.notice('error', 'a session that has ended could not be told', { cause });
    }
  }
}

/** A token that is verified for a session. */
class Proof {
  readonly caller: UserCaller;
  readonly token: TokenFacts;
  /** By {@link Deadlines}. */
  deadline = 0;
  /** Whether an event about the token came while it was being verified. */
  isConcerned = false;
  /** Undefined until the token is known to be good. */
  session: Session | undefined;

  constructor(caller: UserCaller, token: TokenFacts) {
    this.caller = caller;
    this.token = token;
  }
}

/** What stays open for a user after its token was proven. */
export class Session {
  readonly #sessions: Sessions;
  readonly kind: SessionKind;
  /** @internal */
  readonly end: End;
  /** @internal */
  proof: Proof;
  /** @internal */
  isOver = false;
  /** Why it has ended; undefined while it has not, and when it was closed. */
  refusal: ServiceError | undefined;
  /** Settles when the token has been verified once more. When it was refused, the session has ended by then. */
  proven: Promise<void> = Promise.resolve();

  constructor(sessions: Sessions, kind: SessionKind, end: End, proof: Proof) {
    this.#sessions = sessions;
    this.kind = kind;
    this.end = end;
    this.proof = proof;
  }

  /**
   * Whether something may be sent now. False for good once it has ended. False for a while when this node cannot tell
   * whether it has: what is not sent then is for {@link whenOpen}.
   */
  get open(): boolean {
    return (
      !this.isOver &&
      this.proof.session !== undefined &&
      !this.#sessions.isHeld() &&
      !this.#sessions.isExpired(this.proof)
    );
  }

  /** Insists that something may be sent now. @throws ServiceError `TokenRefused`; `NotFresh` when this node cannot tell */
  async requireOpen(): Promise<void> {
    await this.proven;
    const refusal = this.#sessions.refusalOf(this);
    if (refusal) throw refusal;
  }

  /** Waits while this node cannot tell. @returns whether the session is open; false when it has ended */
  async whenOpen(): Promise<boolean> {
    await this.proven;
    while (!this.isOver && this.#sessions.isHeld()) await this.#sessions.whenFresh();
    return this.open;
  }

  /**
   * Goes on with a newer token of the same user, which was verified before.
   * @throws ServiceError `TokenRefused` for a token that is not good any more, or that is somebody else's: then the session
   * goes on with the former one. `NotFresh` when this node cannot tell
   */
  renew(user: ProvenUser): Promise<void> {
    return this.#sessions.renew(this, user);
  }

  /** It is over without anybody having ended it. */
  close(): void {
    this.#sessions.close(this);
  }
}

/** Whether an event about a token ended it: a bound by the instant of issue, all others by their place in the log. */
const isEndedBy = (event: LoggedEvent, { position, issuedAtSeconds }: TokenFacts): boolean =>
  event.kind === 'validFrom' ? issuedAtSeconds < event.validFromMs / 1000 : position < event.seq;

const refusalBy = ({ kind, seq }: LoggedEvent): ServiceError =>
  new ServiceError('TokenRefused', { reason: REASON_OF[kind], detail: `event ${seq}` });

const expired = (): ServiceError =>
  new ServiceError('TokenRefused', { reason: 'token.expired', detail: 'exp is not in the future' });

const notFresh = (detail: string): ServiceError => new ServiceError('NotFresh', { reason: 'lease.expired', detail });

/** What a session is told that could not be verified for a reason which says nothing about its token. */
const asRefusal = (cause: unknown): ServiceError =>
  cause instanceof ServiceError ? cause : new ServiceError('NotFresh', { reason: 'lease.expired', cause });
