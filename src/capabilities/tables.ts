export type Grant = 'granted' | 'denied' | 'byRole';
const Y = 'granted';
const N = 'denied';
const R = 'byRole';

/** One row per capability, one column per scope; a row of the wrong width does not compile. */
const table = <
  const S extends readonly string[],
  const G extends Record<string, { readonly [Column in keyof S]: Grant }>,
>(
  scopes: S,
  grants: G,
) => ({ scopes, grants });

// The grids keep the shape of the published tables, so that a finger can compare them.

/** What each chat scope permits. */
// biome-ignore format: a grid
export const CHAT = table(
                                 ['chat', 'chat.join', 'chat.join.limited'], {
  'chat.thread.create':            [Y,      N,           N],
  'chat.thread.update':            [Y,      N,           N],
  'chat.thread.delete':            [Y,      N,           N],
  'chat.participant.add':          [Y,      Y,           N],
  'chat.participant.remove':       [Y,      Y,           N],
  'chat.thread.list':              [Y,      Y,           Y],
  'chat.thread.read':              [Y,      Y,           Y],
  'chat.receipt.list':             [Y,      Y,           Y],
  'chat.receipt.send':             [Y,      Y,           Y],
  'chat.message.send':             [Y,      Y,           Y],
  'chat.message.read':             [Y,      Y,           Y],
  'chat.message.updateOwn':        [Y,      Y,           Y],
  'chat.message.deleteOwn':        [Y,      Y,           Y],
  'chat.typing.send':              [Y,      Y,           Y],
  'chat.participant.list':         [Y,      Y,           Y],
});

/** What each calling scope permits. In a room, the room's role decides about control. */
// biome-ignore format: a grid
export const VOIP = table(
                                 ['voip', 'voip.join'], {
  'call.start':                    [Y,      N],
  'call.startInRoom':              [Y,      Y], // when invited to the room
  'call.join':                     [Y,      Y],
  'call.joinInRoom':               [Y,      Y], // when invited to the room
  'call.control':                  [Y,      Y],
  'call.controlInRoom':            [R,      R],
});

/** Every scope a token can carry, in the order of the tables. */
export const SCOPES = [...CHAT.scopes, ...VOIP.scopes] as const;

export type Scope = (typeof SCOPES)[number];
export type Capability = keyof typeof CHAT.grants | keyof typeof VOIP.grants;
