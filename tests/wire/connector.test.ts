import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProduction } from '../harness/production.ts';
import { accessKeyOf } from '../harness/resources.ts';
import { sign } from '../harness/sign.ts';

// The four actions of the identity connector for Power Automate and Logic Apps, as its published script writes them: the date
// in `Date`, an endpoint without a port, the oldest stable api-version, an id encoded once.

test('the workflow connector creates a user with a token, issues, revokes and deletes', async (t) => {
  const server = await startProduction(t);
  const { id: resourceId } = await server.server.resources.create({ name: 'contoso' });
  const key = accessKeyOf(server, 'primary', resourceId);
  const act = (method: string, path: string, body = '') => {
    const target = `${path}?api-version=2021-03-07`;
    const host = 'contoso.acs.example.org';
    const { date = '', ...proof } = sign({ method, target, host, body, key, dateHeader: 'date' });
    return server.send({
      method,
      target,
      headers: { Host: host, Date: date, 'Content-Type': 'application/json', ...proof },
      ...(body !== '' && { body }),
    });
  };

  const made = await act('POST', '/identities', '{"createTokenWithScopes":["chat","voip"]}');
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(Object.keys(made.body), ['identity', 'accessToken']);
  assert.deepEqual(Object.keys(made.body.accessToken), ['token', 'expiresOn']);
  const path = `/identities/${encodeURIComponent(made.body.identity.id)}`;
  const issued = await act('POST', `${path}/:issueAccessToken`, '{"scopes":["chat"]}');
  assert.deepEqual([issued.status, Object.keys(issued.body)], [200, ['token', 'expiresOn']]);
  for (const [method, at] of [
    ['POST', `${path}/:revokeAccessTokens`],
    ['DELETE', path],
  ] as const) {
    const { status, text } = await act(method, at);
    assert.deepEqual([status, text], [204, '']);
  }
  const tokens = [made.body.accessToken.token, issued.body.token];
  for (const token of tokens) assert.equal((await server.asUser(token)).status, 401);
});
