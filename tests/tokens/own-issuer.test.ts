import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signJws } from '../../src/tokens/jws.ts';
import { claimsOf } from '../harness/dev-tokens.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

// Signed with the server's own key, since what is compared here comes after the signature.

/** What becomes of a good token when its issuer, or the id of its key, is written otherwise. */
async function reasonFor(server: TestServer, { iss, kid }: { iss?: string; kid?: string }): Promise<string> {
  const { tokens, keys } = server.server;
  const claims = claimsOf(await server.givenToken(await server.givenIdentity()));
  const jwt = await signJws({ ...keys.active, ...(kid && { kid }) }, { ...claims, ...(iss && { iss }) });
  return tokens.verify(jwt).then(
    () => 'accepted',
    ({ reason }) => reason,
  );
}

test('in production mode one exact issuer is ours', async (t) => {
  const server = await startProduction(t, { LINARITE_PUBLIC_URL: 'https://acs.example.org' });
  assert.equal(await reasonFor(server, { iss: 'https://acs.example.org' }), 'accepted');
  for (const iss of [
    'https://acs.example.org/',
    'https://acs.example.org.evil.example',
    'https://acs.example.org:443',
    'https://ACS.example.org',
    'http://acs.example.org',
    'https://acs.example.or',
    'https://localhost:7417',
  ])
    assert.equal(await reasonFor(server, { iss }), 'token.issuer', iss);
});

test('in dev mode localhost on any port is, and nothing that only looks like it', async (t) => {
  const server = await startTestServer(t);
  assert.equal(await reasonFor(server, { iss: 'https://localhost:1' }), 'accepted');
  for (const iss of ['https://localhost:1.evil', 'https://localhost:1/', 'xhttps://localhost:1', 'https://localhost'])
    assert.equal(await reasonFor(server, { iss }), 'token.issuer', iss);
});

test('a key is found by its exact id', async (t) => {
  const server = await startTestServer(t);
  const { kid } = server.server.keys.active;
  assert.equal(await reasonFor(server, { kid }), 'accepted');
  for (const other of [kid.toLowerCase(), `${kid}0`, kid.slice(1), ` ${kid}`])
    assert.equal(await reasonFor(server, { kid: other }), 'token.keyUnknown', other);
});
