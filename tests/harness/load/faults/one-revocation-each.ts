// Planted: every revocation waits for the one before, so that each has a transaction and a sync to disk of its own.
import { Identities } from '../../../../src/identities/identities.ts';

const { revokeTokens } = Identities.prototype;
let last: Promise<void> = Promise.resolve();
Identities.prototype.revokeTokens = function (caller, id) {
  const done = last.then(() => revokeTokens.call(this, caller, id));
  last = done.catch(() => undefined);
  return done;
};
