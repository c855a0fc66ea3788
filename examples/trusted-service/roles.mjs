// What each kind of user may do, and which identity each user has. This is the part to make your own.

/**
 * 1:1, one identity for each user. The usual choice: what others see as one person is one person, on every device, and ending
 * the identity's tokens ends them everywhere.
 */
const oneForEachUser = (user) => `user:${user.name}`;

/**
 * 1:N, several identities for one user: one for each inbox here, or for each device or tenant. Choose it where the parts must
 * be kept apart: whoever is let into one inbox's chats is in no other's, and one part can be ended while the others go on.
 */
const oneForEachInbox = (user, inbox) =>
  user.inboxes.includes(inbox) ? `user:${user.name}/inbox:${inbox}` : undefined;

/**
 * N:1, one identity for several users. Choose it where a place talks and not a person, such as a kiosk or a front desk:
 * everybody there is in the same chats, and ending the identity's tokens ends them for all of them.
 */
const oneForEachSite = (user) => `site:${user.site}`;

/** The scopes that are needed and no more, and the name under which the identity is kept. */
export const ROLES = {
  /** Joins chats and calls that somebody else began. */
  customer: { scopes: ['chat.join', 'voip.join'], identityName: oneForEachUser },
  /** Begins them. */
  agent: { scopes: ['chat', 'voip'], identityName: oneForEachInbox },
  /** Writes in the chats that it was put into, and puts nobody else there. */
  kiosk: { scopes: ['chat.join.limited'], identityName: oneForEachSite },
};

/** Names of all the identities that a user has. */
export const identityNames = (user) =>
  (user.inboxes ?? [undefined]).map((inbox) => ROLES[user.role].identityName(user, inbox));
