import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { SteadyTime } from '../lib/steady-time.ts';
import { TimeSlice } from '../lib/time-slice.ts';
import type { Events } from '../monitoring/events.ts';
import { type LoggedEvent, REASON_OF, type RevocableToken } from '../revocation/event.ts';
import type { RevocationListener, Revocations } from '../revocation/revocations.ts';
import type { AccessTokens, VerifiedToken } from '../tokens/access-tokens.ts';
import { Deadlines } from './deadlines.ts';
import { SessionIndex } from './session-index.ts';

interface Uses {
  tokens: Pick<AccessTokens, 'verify' | 'forgotten'>;
  revocations: Pick<Revocations, 'problem' | 'announceTo' | 'onConfigChanged'>;
  time: SteadyTime;
  clock: Clock;
  events: Pick<Events, 'sessionEnded' | 'notice'>;
}

export const SESSION_KINDS = ['socket', 'parked'] as const;
/** A socket, or a request whose answer waits for something to happen. */
export type SessionKind = (typeof SESSION_KINDS)[number];

/** What stays open for a user after its token was proven. */
export interface Session {
  /**
   * Whether something may be sent now. False for good once it has ended, and for a while when this node cannot tell whether
   * it has (see {@link Sessions}): what is not sent then is for a later time, when it is open again.
   */
  readonly open: boolean;
  /** Why it has ended; undefined while it has not, and when it was closed. */
  readonly refusal: ServiceError | undefined;
  /**
   * Goes on with a newer token of the same user.
   * @returns what the new token proves
   * @throws ServiceError `TokenRefused` for a token that is not good, or that is somebody else's: then the session goes on
   * with the former one. `NotFresh` when this node cannot tell
   */
  renew(jwt: string): Promise<VerifiedToken>;
  /** It is over without anybody having ended it. */
  close(): void;
}

interface Wish {
  kind: SessionKind;
  /**
   * Called once when it is ended, with the error that a request with the token would get; maybe before {@link Sessions.open}
   * has returned. It says so to the client, and waits for nobody.
   */
  end: (refusal: ServiceError) => void;
}

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
 * An event ends what it concerns at the moment at which this node applies it, before any other node can learn that it has:
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
  /** Those who have been ended and have not been told. */
  #untold: Ended[] = [];
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
   * Opens a session for a token.
   * @throws ServiceError `TokenRefused` with the reason; `NotFresh` when this node cannot tell
   */
  async open(jwt: string, wish: Wish): Promise<Session> {
    return this.#prove(jwt, undefined, (proof) => {
      this.#counts[wish.kind] += 1;
      return new OpenSession(this, wish, proof);
    });
  }

  /** @internal */
  async renew(session: OpenSession, jwt: string): Promise<VerifiedToken> {
    await this.#prove(jwt, session.proof.token, (proof) => {
      if (session.isOver) throw session.refusal ?? new ServiceError('TokenRefused', { reason: 'session.closed' });
      this.#drop(session.proof);
      session.proof = proof;
      return session;
    });
    return session.proof.verified;
  }

  /** @internal */
  close(session: OpenSession): void {
    if (session.isOver) return;
    this.#shut(session);
    this.#drop(session.proof);
  }

  /** @internal Whether something may be sent for a proof at this moment. */
  mayGoOn({ deadline }: Proof): boolean {
    return this.#uses.revocations.problem === undefined && !this.#deadlines.isOver(deadline);
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
    if (problem !== undefined && clock.elapsed() - (this.#heldSince ?? 0) >= HELD_MOST_MS)
      this.#endAll(this.#index.all(), notFresh(problem));
  }

  /** Stops looking at the time. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#heldSince = undefined;
  }

  /**
   * Verifies a token so that no event is missed: once it can be found by events, it is verified until none came meanwhile.
   * @param former a token of the user that it must be of
   * @param use takes the proof for a session, in the same step
   */
  async #prove(
    jwt: string,
    former: RevocableToken | undefined,
    use: (proof: Proof) => OpenSession,
  ): Promise<OpenSession> {
    const { tokens } = this.#uses;
    const verified = await tokens.verify(jwt);
    const { identityId, resourceId } = verified.revocable;
    if (former && (identityId !== former.identityId || resourceId !== former.resourceId))
      throw new ServiceError('TokenRefused', { reason: 'token.otherUser' });
    const proof = new Proof(verified);
    this.#index.add(proof);
    proof.deadline = this.#deadlines.add(proof, verified.claims.expSeconds * 1000);
    this.#timer ??= setInterval(() => this.tick(), TICK_MS).unref();
    try {
      do {
        proof.isConcerned = false;
        await tokens.verify(jwt);
      } while (proof.isConcerned);
      if (this.#deadlines.isOver(proof.deadline)) throw expired();
      proof.session = use(proof);
      return proof.session;
    } catch (cause) {
      this.#drop(proof);
      throw cause;
    }
  }

  #endAll(proofs: readonly Proof[], refusal: ServiceError): void {
    for (const { session } of proofs) if (session) this.#end(session, refusal);
    this.#tell();
  }

  #end(session: OpenSession, refusal: ServiceError): void {
    if (session.isOver) return;
    this.#shut(session);
    session.refusal = refusal;
    this.#untold.push({ session, refusal });
  }

  /** From now on nothing is sent. */
  #shut(session: OpenSession): void {
    session.isOver = true;
    this.#counts[session.wish.kind] -= 1;
  }

  #drop(proof: Proof): void {
    this.#index.remove(proof);
    this.#deadlines.remove(proof, proof.deadline);
    if (this.#index.size === 0) this.stop();
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
      const ended = this.#untold;
      this.#untold = [];
      for (const one of ended) {
        const pause = slice.pause();
        if (pause) await pause;
        this.#tellOne(one);
      }
    }
    this.#isTelling = false; // in the same step as the last look, so that nobody is left untold
  }

  #tellOne({ session, refusal }: Ended): void {
    const { events } = this.#uses;
    const { kind, end } = session.wish;
    const { resourceId, identityId } = session.proof.token;
    this.#drop(session.proof); // no sooner: of what an event does at once, this would take the longest
    events.sessionEnded(kind, refusal.reason, resourceId, identityId);
    try {
      end(refusal);
    } catch (cause) {
      events.notice('error', 'a session that has ended could not be told', { cause });
    }
  }
}

interface Ended {
  readonly session: OpenSession;
  readonly refusal: ServiceError;
}

/** A token that was verified for a session. */
class Proof {
  readonly verified: VerifiedToken;
  /** By {@link Deadlines}. */
  deadline = 0;
  /** Whether an event about the token came while it was being verified. */
  isConcerned = false;
  /** Undefined until the token is known to be good. */
  session: OpenSession | undefined;

  constructor(verified: VerifiedToken) {
    this.verified = verified;
  }

  get token(): RevocableToken {
    return this.verified.revocable;
  }
}

class OpenSession implements Session {
  readonly #sessions: Sessions;
  readonly wish: Wish;
  proof: Proof;
  isOver = false;
  refusal: ServiceError | undefined;

  constructor(sessions: Sessions, wish: Wish, proof: Proof) {
    this.#sessions = sessions;
    this.wish = wish;
    this.proof = proof;
  }

  get open(): boolean {
    return !this.isOver && this.#sessions.mayGoOn(this.proof);
  }

  renew(jwt: string): Promise<VerifiedToken> {
    return this.#sessions.renew(this, jwt);
  }

  close(): void {
    this.#sessions.close(this);
  }
}

/** Whether an event about a token ended it: a bound by the instant of issue, all others by their place in the log. */
const isEndedBy = (event: LoggedEvent, { position, issuedAtSeconds }: RevocableToken): boolean =>
  event.kind === 'validFrom' ? issuedAtSeconds < event.validFromMs / 1000 : position < event.seq;

const refusalBy = ({ kind, seq }: LoggedEvent): ServiceError =>
  new ServiceError('TokenRefused', { reason: REASON_OF[kind], detail: `event ${seq}` });

const expired = (): ServiceError =>
  new ServiceError('TokenRefused', { reason: 'token.expired', detail: 'exp is not in the future' });

const notFresh = (detail: string): ServiceError => new ServiceError('NotFresh', { reason: 'lease.expired', detail });
