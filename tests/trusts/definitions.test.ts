import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TrustWish, trustDefinition } from '../../src/trusts/trust.ts';

const refuses = (wish: Partial<TrustWish> & { claims?: object }, message: string): void =>
  assert.throws(
    () => trustDefinition({ issuers: ['https://id.example.org'], ...wish }, { plainHttp: false }),
    ({ message: said }: Error) => said === message,
  );

test('a complaint names the member, so that it can be read without the envelope', () => {
  refuses({ issuers: [] }, 'The trust is not valid: issuers: name at least one.');
  refuses({ tenants: ['x'] }, 'The trust is not valid: tenants: x is no GUID.');
  refuses(
    { audiences: { service: ['a b'] } },
    'The trust is not valid: audiences.service: an entry is text without blanks, of at most 1024 characters.',
  );
});

test('a claim that no trust has is refused, not remembered', () => {
  const known = 'objectId, tenantId, applicationId, scopes, roles, groups';
  for (const claims of [{ objectid: 'sub' }, { objectId: 'sub', oid: 'sub' }, JSON.parse('{"__proto__":"sub"}')])
    refuses({ claims }, `The trust is not valid: claims: one of ${known}.`);
});
