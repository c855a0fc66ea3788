import type { KeySlot } from '../../../src/callers.ts';

/** What may be done to one resource. Numbers choose among the identities and tokens that are there by then. */
export type Command =
  | { do: 'create'; slot: KeySlot; withToken: boolean; customId: string | undefined }
  | { do: 'issue' | 'revoke' | 'delete' | 'show'; slot: KeySlot; identity: number }
  | { do: 'validFrom'; slot: KeySlot; identity: number; when: 'past' | 'now' | 'future' }
  | { do: 'list' | 'listWithFormerKey'; slot: KeySlot }
  | { do: 'introspect'; slot: KeySlot; token: number }
  | { do: 'whoami'; token: number }
  | { do: 'regenerate'; slot: KeySlot }
  | { do: 'setKeysDisabled'; disabled: boolean }
  | { do: 'deleteResource' };

/** A command with what it was about when it was given. */
export interface Call {
  readonly command: Command;
  /** The key that signed it, for commands with a slot. */
  readonly key: string;
  readonly id: string;
  readonly jwt: string;
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into
  readonly body: any;
}

interface Identity {
  readonly customId: string | undefined;
  /** Tokens of it are void at birth. */
  readonly refusesTokens: boolean;
}

interface Token {
  readonly id: string;
  readonly slot: KeySlot;
  readonly holds: boolean;
}

/** All there is to know of a resource. Nothing of it is ever changed in place. */
export interface State {
  readonly exists: boolean;
  readonly keysDisabled: boolean;
  readonly keys: Readonly<Record<KeySlot, string>>;
  readonly identities: ReadonlyMap<string, Identity>;
  readonly formerIds: ReadonlySet<string>;
  readonly tokens: ReadonlyMap<string, Token>;
}

export const firstState = (keys: Record<KeySlot, string>): State => ({
  exists: true,
  keysDisabled: false,
  keys: { ...keys },
  identities: new Map(),
  formerIds: new Set(),
  tokens: new Map(),
});

const withEntry = <K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> =>
  new Map([...map, [key, value]]);

/** The tokens that an event concerns hold no more. */
const ended = (state: State, concerns: (token: Token) => boolean): State['tokens'] =>
  new Map([...state.tokens].map(([jwt, token]) => [jwt, concerns(token) ? { ...token, holds: false } : token]));

const withToken = (state: State, jwt: unknown, id: string, slot: KeySlot): State | string => {
  if (typeof jwt !== 'string' || state.tokens.has(jwt)) return 'a new token';
  const holds = state.identities.get(id)?.refusesTokens === false;
  return { ...state, tokens: withEntry(state.tokens, jwt, { id, slot, holds }) };
};

/**
 * What a call may be answered in a state, and the state after it. The whole promise in a few lines, with none of the means:
 * no log, no positions, no times.
 * @returns the next state, or in words what should have come
 */
export function after(state: State, { command, key, id, jwt }: Call, { status, body }: Answer): State | string {
  if ('slot' in command && command.do !== 'regenerate') {
    const open = state.exists && !state.keysDisabled && state.keys[command.slot] === key;
    if (!open) return status === 401 && body?.error?.code === 'Denied' ? state : '401 Denied';
  }
  const found = state.identities.get(id);
  const notFound = status === 404 && body?.error?.code === 'IdentityNotFound' ? state : '404 IdentityNotFound';
  switch (command.do) {
    case 'create': {
      if (status !== 201) return '201';
      const given: string = body.identity.id;
      const existing = [...state.identities].find(
        ([, one]) => one.customId !== undefined && one.customId === command.customId,
      );
      if (existing ? existing[0] !== given : state.identities.has(given) || state.formerIds.has(given))
        return existing ? `the identity ${existing[0]}` : 'a new identity';
      const fresh = { customId: command.customId, refusesTokens: false };
      const next = existing ? state : { ...state, identities: withEntry(state.identities, given, fresh) };
      if (command.withToken) return withToken(next, body.accessToken?.token, given, command.slot);
      return body.accessToken === undefined ? next : 'no token';
    }
    case 'issue':
      if (!found) return notFound;
      return status === 200 ? withToken(state, body.token, id, command.slot) : '200';
    case 'revoke':
      if (!found) return notFound;
      return status === 204 ? { ...state, tokens: ended(state, (token) => token.id === id) } : '204';
    case 'validFrom': {
      if (!found) return notFound;
      if (status !== 204) return '204';
      if (command.when === 'past') return state;
      const identity = { ...found, refusesTokens: found.refusesTokens || command.when === 'future' };
      const identities = withEntry(state.identities, id, identity);
      return { ...state, identities, tokens: ended(state, (token) => token.id === id) };
    }
    case 'delete': {
      if (status !== 204) return '204';
      const identities = new Map(state.identities);
      identities.delete(id);
      const formerIds = new Set([...state.formerIds, id]);
      return { ...state, identities, formerIds, tokens: ended(state, (token) => token.id === id) };
    }
    case 'show':
      if (!found) return notFound;
      return status === 200 && body.id === id && body.customId === found.customId
        ? state
        : `200 with custom id ${found.customId}`;
    case 'list':
    case 'listWithFormerKey': {
      const ids = [...state.identities.keys()].sort();
      const shown = status === 200 ? body.value.map((one: { id: string }) => one.id) : [];
      return status === 200 && JSON.stringify(shown) === JSON.stringify(ids)
        ? state
        : `200 with ${ids.length} identities`;
    }
    case 'introspect': {
      const active = state.tokens.get(jwt)?.holds ?? false;
      return status === 200 && body.active === active ? state : `200 with active ${active}`;
    }
    case 'whoami': {
      const token = state.tokens.get(jwt);
      if (!token?.holds) return status === 401 && body?.error?.code === 'Unauthorized' ? state : '401 Unauthorized';
      return status === 200 && body.identity.id === token.id ? state : `200 as ${token.id}`;
    }
    case 'regenerate': {
      if (!state.exists) return status === 404 ? state : '404';
      const value = body?.[`${command.slot}Key`];
      if (status !== 200 || typeof value !== 'string' || Object.values(state.keys).includes(value))
        return '200 with a new key';
      const tokens = ended(state, (token) => token.slot === command.slot);
      return { ...state, keys: { ...state.keys, [command.slot]: value }, tokens };
    }
    case 'setKeysDisabled':
      if (!state.exists) return status === 404 ? state : '404';
      return status === 200 ? { ...state, keysDisabled: command.disabled } : '200';
    case 'deleteResource':
      if (!state.exists) return status === 204 ? state : '204';
      if (status !== 200) return '200';
      return { ...state, exists: false, identities: new Map(), tokens: ended(state, () => true) };
  }
}

/** A call with its answer, and when the one was sent and the other had come. */
export interface Done {
  readonly call: Call;
  readonly answer: Answer;
  readonly sentAt: number;
  readonly cameAt: number;
}

/**
 * Looks for an order of calls that explains every answer: one after another in each branch, and none before another that
 * was answered before it was sent. (What is asked of parallel calls is no more, and no less, than that there is one.)
 * @returns every state that such an order can end in; none when no order explains the answers
 */
export function explanations(state: State, branches: readonly (readonly Done[])[]): State[] {
  if (branches.every((branch) => branch.length === 0)) return [state];
  const ends: State[] = [];
  for (const [index, [next, ...others]] of branches.entries()) {
    if (!next || branches.some(([other]) => other && other.cameAt < next.sentAt)) continue;
    const then = after(state, next.call, next.answer);
    if (typeof then === 'string') continue;
    ends.push(...explanations(then, branches.with(index, others)));
    if (ends.length > MOST_ENDS) break;
  }
  return distinct(ends);
}

const MOST_ENDS = 64;

const distinct = (states: readonly State[]): State[] => [
  ...new Map(
    states.map((state) => {
      const { identities, tokens, formerIds, ...rest } = state;
      const sorted = [[...identities].sort(), [...tokens].sort(), [...formerIds].sort()];
      return [JSON.stringify([rest, sorted]), state];
    }),
  ).values(),
];
