import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { givenResource, inPath, unusedId } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';

// identity-protocol, section 4, to the letter: what recordings of the original and its SDKs' suites show.

interface Row {
  situation: string;
  at: string;
  body?: object | string;
  key?: string;
  headers?: Record<string, string>;
  status: number;
  error: { code: string; message: string; target?: string };
}

const NOWHERE = '00000000-0000-0000-0000-000000000000';
const NOT_OWNED = { code: 'IdentityNotOwned', message: "Provided identity doesn't belong to the resource." };
const DENIED = { code: 'Denied', message: 'Denied by the resource provider.' };
const lifetime = (minutes: number) => ({
  code: 'ValidationError',
  message: `ExpiresInMinutes value ${minutes} is invalid. Value must be within the [60, 1440] interval.`,
  target: 'ExpiresInMinutes',
});
const chat = { scopes: ['chat'] };

const rows = (id: string, foreign: string): Row[] => [
  {
    situation: 'issuing with an empty list of scopes',
    at: `POST ${inPath(id)}/:issueAccessToken`,
    body: { scopes: [] },
    status: 400,
    error: { code: 'ValidationError', message: 'Invalid scopes - Scopes field is required.', target: 'scopes' },
  },
  ...[{}, undefined, 'null', { scopes: null }, { expiresInMinutes: 60 }].map((body) => ({
    situation: `issuing without scopes: ${JSON.stringify(body)}`,
    at: `POST ${inPath(id)}/:issueAccessToken`,
    ...(body !== undefined && { body }),
    status: 400,
    error: { code: 'ValidationError', message: 'Scopes: The Scopes field is required.', target: 'Scopes' },
  })),
  ...[59, 1441, 0, -1, 2147483647, -2147483648].flatMap((minutes) => [
    {
      situation: `issuing for ${minutes} minutes`,
      at: `POST ${inPath(id)}/:issueAccessToken`,
      body: { ...chat, expiresInMinutes: minutes },
      status: 400,
      error: lifetime(minutes),
    },
    {
      situation: `creating with a token for ${minutes} minutes`,
      at: 'POST /identities',
      body: { createTokenWithScopes: ['chat'], expiresInMinutes: minutes },
      status: 400,
      error: lifetime(minutes),
    },
  ]),
  ...[unusedId(NOWHERE), `8:acs:${NOWHERE}_${NOWHERE}`, foreign].flatMap((other) => [
    {
      situation: `issuing for ${other} of another resource`,
      at: `POST ${inPath(other)}/:issueAccessToken`,
      body: chat,
      status: 401,
      error: NOT_OWNED,
    },
    {
      situation: `revoking for ${other} of another resource`,
      at: `POST ${inPath(other)}/:revokeAccessTokens`,
      status: 401,
      error: NOT_OWNED,
    },
    {
      situation: `deleting ${other} of another resource`,
      at: `DELETE ${inPath(other)}`,
      status: 401,
      error: NOT_OWNED,
    },
    { situation: `getting ${other} of another resource`, at: `GET ${inPath(other)}`, status: 401, error: NOT_OWNED },
  ]),
  {
    situation: 'a wrong key',
    at: 'POST /identities',
    key: Buffer.alloc(64).toString('base64'),
    status: 401,
    error: DENIED,
  },
  {
    situation: 'a body with another hash',
    at: 'POST /identities',
    body: '{}',
    status: 401,
    error: { code: 'Denied', message: "Request 'x-ms-content-sha256' differs from generated content hash." },
  },
  { situation: 'no Authorization', at: 'POST /identities', headers: { Authorization: '' }, status: 401, error: DENIED },
  {
    situation: 'an unknown scheme',
    at: 'POST /identities',
    headers: { Authorization: 'Negotiate YII=' },
    status: 401,
    error: DENIED,
  },
  {
    situation: 'no api-version',
    at: 'POST /identities?api-version=',
    status: 400,
    error: { code: 'ApiVersionUnspecified', message: 'An API version is required, but was not specified.' },
  },
  {
    situation: 'an unknown scope',
    at: `POST ${inPath(id)}/:issueAccessToken`,
    body: { scopes: ['chat', 'pstn'] },
    status: 400,
    error: { code: 'ValidationError', message: "Invalid scopes - Scope 'pstn' is not supported.", target: 'scopes' },
  },
  {
    situation: 'an id of our own that nobody was given, on issue',
    at: `POST ${inPath(unusedId())}/:issueAccessToken`,
    body: chat,
    status: 404,
    error: { code: 'IdentityNotFound', message: 'Provided identity does not exist.' },
  },
  {
    situation: 'an id of our own that nobody was given, on revoke',
    at: `POST ${inPath(unusedId())}/:revokeAccessTokens`,
    status: 404,
    error: { code: 'IdentityNotFound', message: 'Provided identity does not exist.' },
  },
  {
    situation: 'an id that is none',
    at: `DELETE ${inPath('alice')}`,
    status: 400,
    error: { code: 'ValidationError', message: 'Provided identity id has invalid format.', target: 'id' },
  },
];

describe('the error for', () => {
  let server: TestServer;
  let all: Row[] = [];
  shareServer(async (started) => {
    server = started;
    const neighbour = await givenResource(server);
    const theirs = await server.asService('POST /identities', undefined, { key: neighbour.key });
    all = rows(await server.givenIdentity(), theirs.body.identity.id);
  });

  // The rows are known before the server is: ids are filled in later.
  for (const [index, { situation }] of rows('8:acs:<own>', '8:acs:<foreign>').entries()) {
    test(`${situation} is as recorded`, async () => {
      const { at, body, key, headers, status, error } = all[index] as Row;
      const wrongBody = situation === 'a body with another hash';
      const options = { ...(key !== undefined && { key }), headers: headers ?? {} };
      const answer = wrongBody
        ? await server.asService(at, body, { headers: otherHash(server, at) })
        : await server.asService(at, body, options);
      assert.equal(answer.status, status, answer.text);
      assert.deepEqual(answer.body, { error });
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.headers['www-authenticate'], undefined);
    });
  }
});

/** Headers that are signed for another body. */
function otherHash(server: TestServer, at: string): Record<string, string> {
  const [method = '', path = ''] = at.split(' ');
  return sign({ method, target: `${path}?api-version=2023-10-01`, host: server.host, body: '{ }', key: server.key });
}
