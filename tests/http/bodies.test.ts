import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { inPath } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';

const UNREADABLE = { status: 400, code: 'ValidationError', message: 'The request body is not valid JSON.' };
const UNSUPPORTED = { status: 415, code: 'UnsupportedMediaType' };
const MEGABYTE = 1024 * 1024;
const TARGET = '/identities?api-version=2023-10-01';

describe('a body', () => {
  let server: TestServer;
  let id: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
  });

  const create = (
    body: string | Buffer,
    headers: Record<string, string> = {},
    without: string[] = [],
  ): Promise<Answer> => {
    const all: Record<string, string> = {
      'Content-Type': 'application/json',
      ...sign({ method: 'POST', target: TARGET, host: server.host, body, key: server.key }),
      ...headers,
    };
    for (const name of without) delete all[name];
    return server.send({ method: 'POST', target: TARGET, body, headers: all });
  };
  const issue = (body: string) => server.asService(`POST ${inPath(id)}/:issueAccessToken`, body);

  test('that is no JSON in UTF-8 is 400', async () => {
    for (const body of [
      '{',
      '}',
      '{}}',
      '{} {}',
      '{},',
      '{}x',
      '{}\0',
      'x',
      '{x:1}',
      "{'a':1}",
      '{"a":1,}',
      '{"a"}',
      '{"a":}',
      '{"a":01}',
      '{"a":.5}',
      '{"a":NaN}',
      '{"a":undefined}',
      '{"a":"\n"}',
      '{"a":"\\x"}',
      '{"a":"\\u12"}',
      '{/* */}',
      '// {}',
      '\u00a0{}',
      ' ',
      '\0',
      'undefined',
      'scopes=chat',
      '<scopes/>',
      Buffer.from([0xff]),
      Buffer.from('{"a":"\xff"}', 'latin1'),
      Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]), // an overlong slash
      Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), // half a surrogate pair
      Buffer.from('{}', 'utf16le'),
      Buffer.from('\ufeff{}', 'utf16le'),
      gzipSync('{}'),
    ]) {
      assertError(await create(body), UNREADABLE, JSON.stringify(body));
    }
  });

  test('that is JSON and no object is 400, but null is as good as none', async () => {
    for (const body of ['[]', '[{}]', '1', '0', '-1', '1e999', '""', '"{}"', 'true', 'false']) {
      assertError(await create(body), UNREADABLE, body);
    }
    for (const body of ['null', ' null ', '{}', ' \t\r\n{} \t\r\n', '\ufeff{}']) {
      assert.equal((await create(body)).status, 201, JSON.stringify(body));
    }
  });

  test('may be nested 20,000 deep where nobody looks, and is refused where somebody does', async () => {
    const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const deepObject = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`;
    for (const value of [deep(20_000), deepObject]) {
      const ignored = await create(`{"ignored":${value}}`);
      assert.ok([201, 400].includes(ignored.status), ignored.text);
      assertError(await issue(`{"scopes":${value}}`), { status: 400, code: 'ValidationError', target: 'Scopes' });
      assertError(await issue(`{"scopes":[${value}]}`), { status: 400, code: 'ValidationError', target: 'Scopes' });
    }
    assertError(await create(deep(20_000)), UNREADABLE);
    assertError(await create('['.repeat(500_000)), UNREADABLE);
    assertError(await create('{"a":'.repeat(100_000)), UNREADABLE);
  });

  test('with a name twice counts the last one, as JSON.parse and the original do', async () => {
    const { status, body } = await issue('{"scopes":["voip"],"scopes":["chat"]}');
    assert.equal(status, 200);
    assert.equal(JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString()).acsScope, 'chat');
    assert.equal((await issue('{"scopes":["chat"],"expiresInMinutes":60,"expiresInMinutes":59}')).status, 400);
    assert.equal((await issue('{"scopes":["chat"],"expiresInMinutes":59,"expiresInMinutes":60}')).status, 200);
  });

  test('has the members that it has itself: a prototype adds none and changes nobody else’s', async () => {
    const missing = { status: 400, code: 'ValidationError', target: 'Scopes' };
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      assertError(await issue(`{"${name}":{"scopes":["chat"]}}`), missing, name);
      assertError(await issue(`{"constructor":{"${name}":{"scopes":["chat"]}}}`), missing, name);
      const { status, body } = await create(`{"${name}":{"createTokenWithScopes":["chat"],"customId":"x"}}`);
      assert.equal(status, 201);
      assert.deepEqual(Object.keys(body), ['identity']);
    }
    assert.equal((Object.prototype as { scopes?: unknown }).scopes, undefined);
    assertError(await issue('{}'), missing);
  });

  test('has names with case', async () => {
    for (const name of ['Scopes', 'SCOPES', ' scopes', 'scopes ', 'scope', 'sc\\u006fpes\\u0000']) {
      assertError(
        await issue(`{"${name}":["chat"]}`),
        { status: 400, code: 'ValidationError', target: 'Scopes' },
        name,
      );
    }
    assert.equal((await issue('{"\\u0073copes":["ch\\u0061t"],"unknown":1}')).status, 200, 'escapes are only spelling');
  });

  test('of one megabyte is read, and one byte more is 413, announced or not', async () => {
    const exactly = `{"ignored":"${'x'.repeat(MEGABYTE - 14)}"}`;
    assert.equal(exactly.length, MEGABYTE);
    assert.equal((await create(exactly)).status, 201);
    const tooLarge = {
      status: 413,
      code: 'PayloadTooLarge',
      message: 'The request body is larger than 1048576 bytes.',
    };
    assertError(await create(`${exactly} `), tooLarge);

    const text = `${exactly} `;
    const signed = sign({ method: 'POST', target: TARGET, host: server.host, body: text, key: server.key });
    const lines: [string, string][] = [
      ['Host', server.host],
      ['Content-Type', 'application/json'],
      ['Connection', 'close'],
      ...Object.entries(signed),
    ];
    const chunked = requestText(
      `POST ${TARGET}`,
      [...lines, ['Transfer-Encoding', 'chunked']],
      `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`,
    );
    assert.equal((await sendRaw(server.port, chunked)).status, 413);
    // Announced: refused at once, nothing of it is waited for.
    for (const length of ['1048577', '999999999999999', '9'.repeat(18)]) {
      const announced = requestText(`POST ${TARGET}`, [...lines, ['Content-Length', length]]);
      assert.ok([400, 413].includes((await sendRaw(server.port, announced, 3000)).status), length);
    }
  });

  test('may come in chunks', async () => {
    const text = '{"createTokenWithScopes":["chat"]}';
    const signed = sign({ method: 'POST', target: TARGET, host: server.host, body: text, key: server.key });
    const chunks = [...text].map((character) => `1\r\n${character}\r\n`).join('');
    const lines: [string, string][] = [
      ['Host', server.host],
      ['Content-Type', 'application/json'],
      ['Connection', 'close'],
      ['Transfer-Encoding', 'chunked'],
      ...Object.entries(signed),
    ];
    const { status } = await sendRaw(server.port, requestText(`POST ${TARGET}`, lines, `${chunks}0\r\n\r\n`));
    assert.equal(status, 201);
  });

  test('is JSON by its content type, with a charset of UTF-8 or none', async () => {
    for (const type of [
      'application/json',
      'application/json; charset=utf-8',
      'application/json;charset=UTF-8',
      'application/json; charset="utf-8"',
      'application/json ; charset=utf-8; odata=verbose',
      'Application/JSON',
      'text/json',
      'application/merge-patch+json',
    ]) {
      assert.equal((await create('{}', { 'Content-Type': type })).status, 201, type);
    }
    for (const type of [
      'text/plain',
      'text/plain;charset=UTF-8',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/octet-stream',
      'application/xml',
      'text/html',
      'application/jsonx',
      'xapplication/json',
      'application/json, text/plain',
      'application/json/x',
      'application',
      'json',
      '*/*',
      'application/*',
      ';application/json',
      'application/json; charset=utf-16',
      'application/json; charset=iso-8859-1',
      'application/json;charset="utf-7"',
      'application/javascript',
      '',
    ]) {
      assertError(await create('{}', { 'Content-Type': type }), UNSUPPORTED, type);
    }
    assertError(await create('{}', {}, ['Content-Type']), UNSUPPORTED);
  });

  test('may have two content types no more than two lengths', async () => {
    const signed = sign({ method: 'POST', target: TARGET, host: server.host, body: '{}', key: server.key });
    const lines: [string, string][] = [
      ['Host', server.host],
      ['Content-Length', '2'],
      ['Connection', 'close'],
      ['Content-Type', 'application/json'],
      ['Content-Type', 'application/json'],
      ...Object.entries(signed),
    ];
    assert.equal((await sendRaw(server.port, requestText(`POST ${TARGET}`, lines, '{}'))).status, 415);
  });

  test('that is not there needs no content type', async () => {
    for (const type of ['application/json', 'text/plain', 'nonsense', '']) {
      assert.equal((await create('', { 'Content-Type': type })).status, 201, type);
    }
    assert.equal((await create('', {}, ['Content-Type'])).status, 201);
  });

  test('comes as it is: an encoding is 415, on routes that read no body too', async () => {
    for (const encoding of [
      'gzip',
      'GZIP',
      'deflate',
      'br',
      'zstd',
      'compress',
      'x-gzip',
      'gzip, gzip',
      'identity, gzip',
      'aes128gcm',
    ]) {
      for (const body of [gzipSync('{}'), '{}']) {
        assertError(await create(body, { 'Content-Encoding': encoding }), UNSUPPORTED, encoding);
      }
    }
    assert.equal((await create('{}', { 'Content-Encoding': 'identity' })).status, 201);
    const revoke = `POST ${inPath(id)}/:revokeAccessTokens`;
    assertError(await server.asService(revoke, '{}', { headers: { 'Content-Encoding': 'gzip' } }), UNSUPPORTED);
    assert.equal((await server.asService(revoke, '{}')).status, 204);
  });

  test('on a route without one does no harm, and still has to fit its signature', async () => {
    const other = await server.givenIdentity();
    assert.equal((await server.asService(`DELETE ${inPath(other)}`, 'anything')).status, 204);
    const signed = sign({
      method: 'GET',
      target: `${inPath(id)}?api-version=2023-10-01`,
      host: server.host,
      key: server.key,
    });
    const answer = await server.send({ target: `${inPath(id)}?api-version=2023-10-01`, body: 'x', headers: signed });
    assertError(answer, { status: 401, code: 'Denied' });
  });

  test('with half a million wrong entries is refused as fast as one with one', async () => {
    const body = `{"scopes":[${'1,'.repeat(500_000)}1]}`;
    const started = performance.now();
    assertError(await issue(body), { status: 400, code: 'ValidationError', target: 'Scopes' });
    assert.ok(performance.now() - started < 1000, `${performance.now() - started} ms`);
  });
});
