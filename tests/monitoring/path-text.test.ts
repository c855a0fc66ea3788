import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pathText } from '../../src/monitoring/path-text.ts';

const GUID = '5e1f0057-ed00-4acc-8000-000000007417';
const ID = `8:acs:${GUID}_00000019-5466-0f71-aefa-4e3a0d002539`;
const SECRET = 'J7sX-9cPq_2LmN4vRtYwZaBcDeFgHiJkLmNoPqRsTu0';

// biome-ignore format: a table
const SHOWN: readonly (readonly [path: string, pattern: string | undefined, text: string])[] = [
  ['/identities', '/identities', '/identities'],
  [`/identities/${encodeURIComponent(ID)}/:revokeAccessTokens`, '/identities/{id}/:revokeAccessTokens', `/identities/${ID}/:revokeAccessTokens`],
  [`/identities/${ID}`, '/identities/{id}', `/identities/${ID}`],
  [`/IDENTITIES//${ID}`, '/identities/{id}', `/identities/${ID}`],
  [`/identities/8:orgid:${GUID}`, '/identities/{id}', `/identities/8:orgid:${GUID}`],
  [`/subscriptions/${GUID}/resourceGroups/shop`, '/subscriptions/{subscription}/resourceGroups/{group}', `/subscriptions/${GUID}/resourceGroups/{group}`],
  // What somebody put where an id belongs.
  [`/identities/${SECRET}`, '/identities/{id}', '/identities/{id}'],
  [`/identities/8:acs:${SECRET}`, '/identities/{id}', '/identities/{id}'],
  ['/identities/eyJhbGciOiJSUzI1NiJ9.eyJ4IjoxfQ.c2ln', '/identities/{id}', '/identities/{id}'],
  ['/identities/a/b', '/identities/{id}', '/identities/{id}'],
  // A ticket, where a protocol has it in the path.
  [`/sockets/eyJpZCI6IngifQ.${SECRET}`, '/sockets/{ticket}', '/sockets/{ticket}'],
  [`/sockets/eyJpZCI6IngifQ.${SECRET}`, undefined, '/sockets/…'],
  // Where there is no route, anything may be anywhere.
  ['/', undefined, '/'],
  ['/chat/threads', undefined, '/chat/threads'],
  ['/favicon.ico', undefined, '/favicon.ico'],
  [`/chat/threads/19:${SECRET}@thread.v2`, undefined, '/chat/threads/…'],
  [`/${SECRET}/${GUID}`, undefined, `/…/${GUID}`],
  ['/Passw0rd/UPPER/%0d%0aforged', undefined, '/…/…/…'],
  [`/${'a/'.repeat(30)}`, undefined, `/${'a/'.repeat(16)}…`],
];

for (const [path, pattern, text] of SHOWN)
  test(`of ${path.slice(0, 80)} the log shows ${text.slice(0, 80)}`, () => assert.equal(pathText(path, pattern), text));

test('whatever stands in a path, its log text is ids, plain words and what the route says', () => {
  const allowed = /^\/(?:(?:…|\{id\}|[.:]?[a-zA-Z.-]{0,20}|[0-9a-f-]{36}|8:[a-z-]+:[0-9a-f_-]+)(?:\/|$))*$/i;
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.base64String({ minLength: 12 }),
    fc.constantFrom(ID, GUID, '8:acs:', '8:acs:%0a'),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.boolean(), (pieces, matched) => {
      const text = pathText(`/${pieces.join('/')}`, matched ? '/identities/{id}' : undefined);
      assert.match(text, allowed);
      assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }),
  );
});
