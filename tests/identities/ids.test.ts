import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { DEV_ID, givenResource, inPath, unusedId } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const CHAT = { scopes: ['chat'] };
const NOT_OWNED = {
  status: 401,
  code: 'IdentityNotOwned',
  message: "Provided identity doesn't belong to the resource.",
};
const NOT_FOUND = { status: 404, code: 'IdentityNotFound', message: 'Provided identity does not exist.' };
const MALFORMED = {
  status: 400,
  code: 'ValidationError',
  message: 'Provided identity id has invalid format.',
  target: 'id',
};

/** What can be done with an id in a path. */
const uses = (path: string): [string, object?][] => [
  [`GET ${path}`],
  [`POST ${path}/:issueAccessToken`, CHAT],
  [`POST ${path}/:revokeAccessTokens`],
  [`DELETE ${path}`],
];

describe('an id', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('of another resource is 401 for every use, whether it exists or not, and stays untouched', async () => {
    const neighbour = await givenResource(server);
    const asNeighbour = { key: neighbour.key };
    const created = await server.asService('POST /identities', { createTokenWithScopes: ['chat'] }, asNeighbour);
    const theirs = created.body.identity.id;
    const nowhere = '00000000-0000-0000-0000-000000000000';
    for (const id of [
      theirs,
      unusedId(neighbour.id),
      unusedId(nowhere),
      `8:acs:${nowhere}_${nowhere}`,
      `8:gcch-acs:${nowhere}_x`,
    ]) {
      for (const [at, body] of uses(inPath(id))) assertError(await server.asService(at, body), NOT_OWNED, at);
    }
    assert.equal((await server.asService(`GET ${inPath(theirs)}`, undefined, asNeighbour)).status, 200);
    assert.equal((await server.asUser(created.body.accessToken.token)).status, 200);
    const ours = await server.givenIdentity();
    for (const [at, body] of uses(inPath(ours)))
      assertError(await server.asService(at, body, asNeighbour), NOT_OWNED, at);
  });

  test('that names no resource is nobody’s: 401 as for a foreign one', async () => {
    for (const id of [`8:orgid:${DEV_ID}`, '8:spool:abc', '8:spool:a.b_c-d']) {
      for (const [at, body] of uses(inPath(id))) assertError(await server.asService(at, body), NOT_OWNED, at);
    }
  });

  test('of our own that nobody was given is 404, and 204 to delete', async () => {
    for (const id of [
      unusedId(),
      `8:acs:${DEV_ID}_x`,
      `8:dod-acs:${DEV_ID}_x`,
      `8:acs:${DEV_ID}_a_b`,
      `8:acs:${DEV_ID}_wf_a_b`,
    ]) {
      for (const [at, body] of uses(inPath(id))) {
        const answer = await server.asService(at, body);
        if (at.startsWith('DELETE')) assert.deepEqual([answer.status, answer.text], [204, '']);
        else assertError(answer, NOT_FOUND, at);
      }
    }
  });

  test('can be deleted again and again, is 404 from then on, and never comes back', async () => {
    const id = await server.givenIdentity();
    const token = await server.givenToken(id);
    for (let times = 0; times < 3; times++) {
      const { status, text, headers } = await server.asService(`DELETE ${inPath(id)}`);
      assert.deepEqual([status, text, headers['content-type']], [204, '', undefined]);
      assert.equal((await server.asUser(token)).status, 401);
    }
    assertError(await server.asService(`POST ${inPath(id)}/:issueAccessToken`, CHAT), NOT_FOUND);
    assertError(await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`), NOT_FOUND);
    assertError(await server.asService(`GET ${inPath(id)}`), NOT_FOUND);
  });

  test('deleted by ten at once is deleted once for all of them', async () => {
    const id = await server.givenIdentity();
    const answers = await Promise.all(Array.from({ length: 10 }, () => server.asService(`DELETE ${inPath(id)}`)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]));
  });

  for (const [what, text] of Object.entries({
    'a word': 'alice',
    'a bare resource': `8:acs:${DEV_ID}`,
    'no suffix': `8:acs:${DEV_ID}_`,
    'too many segments': `8:acs:${DEV_ID}_a_b_c_d`,
    'another kind': `4:+14255550123`,
    'a bot': `28:orgid:${DEV_ID}`,
    'no kind': `acs:${DEV_ID}_x`,
    'a doubled kind': `8:8:acs:${DEV_ID}_x`,
    'an upper-case resource': unusedId().toUpperCase().replace('8:ACS', '8:acs'),
    'an upper-case kind': unusedId().replace('acs', 'ACS'),
    'a short resource': `8:acs:${DEV_ID.slice(1)}_x`,
    'a space before': ` ${unusedId()}`,
    'a space behind': `${unusedId()} `,
    'a new line behind': `${unusedId()}\n`,
    'a null character': `${unusedId()}\0`,
    'a null character in the middle': unusedId().replace('_', '\0_'),
    'a slash': `${unusedId()}/x`,
    'a parent path': `../${unusedId()}`,
    'only a parent path': '../..',
    'a backslash': `${unusedId()}\\x`,
    'a question mark': `${unusedId()}?x=1`,
    'a number sign': `${unusedId()}#x`,
    'a percent sign': `${unusedId()}%`,
    'an encoded encoding': encodeURIComponent(unusedId()),
    SQL: "8:acs:' OR 1=1 --",
    'SQL behind': `${unusedId()}' OR '1'='1`,
    'a wildcard': `8:acs:${DEV_ID}_%`,
    'letters outside ASCII': `8:acs:${DEV_ID}_é`,
    'full-width digits': unusedId().replace('8', '８'),
    'a Kelvin sign': `8:acs:${DEV_ID}_\u212a`,
    'an emoji': '😀',
    'text direction marks': `\u202e${unusedId()}`,
    'a long suffix': `8:acs:${DEV_ID}_${'x'.repeat(65)}`,
    'a thousand letters': 'x'.repeat(1000),
    'a member of every object': '__proto__',
    'a function of every object': 'constructor',
    'a verb': ':issueAccessToken',
    JSON: '{"id":1}',
  })) {
    test(`that is malformed by ${what} is 400 for every use`, async () => {
      for (const [at, body] of uses(inPath(text))) assertError(await server.asService(at, body), MALFORMED, at);
    });
  }

  test('that is longer than any path segment may be has no route', async () => {
    for (const length of [1025, 4000]) {
      for (const [at, body] of uses(inPath('x'.repeat(length)))) {
        assertError(await server.asService(at, body), { status: 404, code: 'NotFound' }, at);
      }
    }
  });

  test('in a path that cannot be decoded has no route', async () => {
    for (const segment of ['%', '%zz', '%2', '%c3', '%c3%28', '%ff', '%ed%a0%80', '%c0%af', '8%3Aacs%3A%']) {
      for (const [at, body] of uses(`/identities/${segment}`)) {
        assertError(await server.asService(at, body), { status: 404, code: 'NotFound' }, at);
      }
    }
  });

  test('with letters that grow in lower case, which confuse routers without regard to case, is none', async () => {
    for (const [at, body] of uses(inPath(`8:acs:${DEV_ID}_\u0130\u0130\u0130\u0130`))) {
      const { status } = await server.asService(at, body);
      assert.ok([400, 404].includes(status), `${at}: ${status}`);
    }
  });

  test('that is empty is none', async () => {
    for (const [at, body] of uses('/identities/')) {
      const { status, body: answer } = await server.asService(at, body);
      assert.ok([400, 404, 405].includes(status), at);
      assert.ok(answer.error.code);
    }
  });
});

describe('ids that the server makes', () => {
  test('differ, sort by age, and carry the time since 2020-01-01T08:00Z', async (t) => {
    const server = await startTestServer(t);
    const before = Date.now();
    const ids: string[] = [];
    for (let count = 0; count < 50; count++) ids.push(await server.givenIdentity());
    assert.equal(new Set(ids).size, ids.length);
    const times = ids.map((id) => {
      const hex = id.split('_')[1]?.replaceAll('-', '').slice(0, 16);
      return Number(BigInt(`0x${hex}`)) + Date.UTC(2020, 0, 1, 8);
    });
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    assert.ok((times[0] ?? 0) >= before && (times.at(-1) ?? 0) <= Date.now());
    for (const id of ids) assert.doesNotMatch(id.split('_')[1] ?? '', /[_:]/);
    assert.equal(ids[0]?.split('_').length, 2, 'three segments would mean a Teams extension user');
  });
});

describe('a custom id', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('belongs to its resource: another resource has another identity under it', async () => {
    const neighbour = await givenResource(server);
    const ours = await server.asService('POST /identities', { customId: 'alice' });
    const theirs = await server.asService('POST /identities', { customId: 'alice' }, { key: neighbour.key });
    assert.notEqual(ours.body.identity.id, theirs.body.identity.id);
  });

  test('may be anything printable of up to 256 characters, and is told apart exactly', async () => {
    const names = [
      'a',
      'A',
      'á',
      'a\u0301',
      ' a',
      'a ',
      '日本',
      '😀',
      "x' OR 1=1",
      '__proto__',
      '%2F',
      '../..',
      'x'.repeat(256),
    ];
    const ids = new Set<string>();
    for (const customId of names) {
      const { status, body } = await server.asService('POST /identities', { customId });
      assert.equal(status, 201, customId);
      assert.equal(body.identity.customId, customId);
      ids.add(body.identity.id);
    }
    assert.equal(ids.size, names.length);
  });

  test('that is empty, too long or unprintable is 400', async () => {
    for (const customId of ['', 'x'.repeat(257), 'a\0', 'a\n', '\u001f', '\u007f', '\u0085', '\ud800']) {
      const expected = { status: 400, code: 'ValidationError', target: 'customId' };
      assertError(await server.asService('POST /identities', { customId }), expected, JSON.stringify(customId));
    }
    for (const customId of [1, true, ['a'], { a: 1 }]) {
      const expected = { status: 400, code: 'ValidationError', target: 'CustomId' };
      assertError(await server.asService('POST /identities', { customId }), expected, JSON.stringify(customId));
    }
  });

  test('is free again once its identity is deleted', async () => {
    const first = await server.asService('POST /identities', { customId: 'carol' });
    await server.asService(`DELETE ${inPath(first.body.identity.id)}`);
    const second = await server.asService('POST /identities', { customId: 'carol' });
    assert.equal(second.status, 201);
    assert.notEqual(second.body.identity.id, first.body.identity.id);
  });
});
