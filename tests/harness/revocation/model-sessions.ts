import type { UserCaller } from '../../../src/callers.ts';
import type { ServiceError } from '../../../src/errors.ts';
import { SteadyTime } from '../../../src/lib/steady-time.ts';
import { type LoggedEvent, type RevocableToken, revocable } from '../../../src/revocation/event.ts';
import type { Revocations } from '../../../src/revocation/revocations.ts';
import { type Session, Sessions } from '../../../src/sessions/sessions.ts';
import type { Process } from './simulation.ts';

/** A rule of sessions taken away, to see that the model notices. */
export interface SessionFaults {
  /** Sessions are judged some time after a node has applied an event: it may have confirmed it by then. */
  endsLate?: boolean;
  /** A session is open at once, without being verified again. */
  opensUnproven?: boolean;
  /** Something is sent also while the lease is over. */
  sendsWithoutLease?: boolean;
  /** Events of one kind end no session. */
  forgetsIdentities?: boolean;
}

/** A token of the model. */
interface Token {
  readonly name: string;
  readonly claims: RevocableToken;
}

interface Open<T extends Token> {
  readonly session: Session;
  readonly token: T;
}

/** How the model judges. */
interface Judge<T extends Token> {
  /** Something was sent to a session of the token at this moment. */
  sent(token: T): void;
  /** A session was ended with an error. */
  ended(token: T, refusal: ServiceError): void;
}

const LATE_MS = 100;

/** The sessions of one node of the model: the real ones, over the real {@link Revocations} of that node. */
export class NodeSessions<T extends Token> {
  readonly #sessions: Sessions;
  readonly #open = new Set<Open<T>>();
  readonly #judge: Judge<T>;

  constructor(revocations: Revocations, process: Process, judge: Judge<T>, faults: SessionFaults) {
    this.#judge = judge;
    const tokens = {
      requireStillHeld: async (_: UserCaller, token: Parameters<typeof revocable>[0]): Promise<void> => {
        if (!faults.opensUnproven) await revocations.check(revocable(token));
      },
      forgotten: () => undefined,
    };
    const events = { sessionEnded: () => undefined, notice: () => undefined };
    const time = new SteadyTime(process);
    this.#sessions = new Sessions({ tokens, revocations, time, clock: process, events });
    weaken(this.#sessions, process, faults);
  }

  /** Opens a session for a token that was accepted before. */
  open(token: T): void {
    const { resourceId, identityId, position } = token.claims;
    // The clocks of nodes are hours apart, so no token expires here.
    const caller: UserCaller = { kind: 'user', resourceId, identityId, position, scopes: [], expiresOnMs: Infinity };
    const end = (refusal: ServiceError): void => {
      this.#open.delete(one);
      this.#judge.ended(token, refusal);
    };
    const one = { session: this.#sessions.open({ caller, token: token.claims }, end, 'socket'), token };
    this.#open.add(one);
  }

  /** Sends something to everybody to whom something may be sent. */
  send(): number {
    let sent = 0;
    for (const { session, token } of this.#open) {
      if (!session.open) continue;
      this.#judge.sent(token);
      sent += 1;
    }
    return sent;
  }

  /** Those who are neither open nor ended. */
  get held(): T[] {
    return [...this.#open].filter(({ session }) => !session.open).map(({ token }) => token);
  }
}

function weaken(sessions: Sessions, process: Process, faults: SessionFaults): void {
  const applied = sessions.applied.bind(sessions);
  if (faults.endsLate)
    sessions.applied = (event: LoggedEvent) => void process.sleep(LATE_MS).then(() => applied(event));
  if (faults.forgetsIdentities)
    sessions.applied = (event: LoggedEvent) => (event.kind === 'identity' ? undefined : applied(event));
  if (faults.sendsWithoutLease) sessions.isHeld = () => false;
}
