// Planted: of each list to import, the last identity is left out, and called imported.
import { IdentityStore } from '../../../../src/identities/identity-store.ts';

const { insertAll } = IdentityStore.prototype;
IdentityStore.prototype.insertAll = async function (tx, resourceId, identities, revokedSeq) {
  const [last] = identities.slice(-1);
  const inserted = await insertAll.call(this, tx, resourceId, identities.slice(0, -1), revokedSeq);
  return last ? inserted.add(last.id) : inserted;
};
