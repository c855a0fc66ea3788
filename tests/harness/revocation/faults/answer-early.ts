// Planted: the answer to a revocation does not wait for it.
import { setTimeout as sleep } from 'node:timers/promises';
import { Identities } from '../../../../src/identities/identities.ts';

const { revokeTokens } = Identities.prototype;
Identities.prototype.revokeTokens = async function (caller, id) {
  void sleep(200).then(() => revokeTokens.call(this, caller, id));
};
