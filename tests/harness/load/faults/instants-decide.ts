// Planted: a token is revoked if it was issued before the second of the revocation, by the clock.
import { RevocationState } from '../../../../src/revocation/revocation-state.ts';

const revokedAt = new Map<string, number>();
const { apply } = RevocationState.prototype;
RevocationState.prototype.apply = function (event, nowMs) {
  apply.call(this, event, nowMs);
  if (event.kind === 'identity') revokedAt.set(event.identityId, Math.floor(Date.now() / 1000));
};
RevocationState.prototype.verdict = ({ identityId, issuedAtSeconds }) =>
  issuedAtSeconds < (revokedAt.get(identityId) ?? 0) ? { kind: 'identity', seq: 1 } : undefined;
