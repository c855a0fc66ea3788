import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { isKnown } from '../../src/http/entity-tag.ts';
import { fileRoutes, manifestOf } from '../../src/http/files.ts';
import { ok, route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { describedPlanes } from '../../src/start/planes.ts';
import { describedRoutes } from '../harness/described.ts';
import { send } from '../harness/http.ts';
import { TestLog, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

const NOBODY = { caller: 'nobody' } as const;
const PAGE = Buffer.from('<!doctype html><title>ä</title>');
const PICTURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0xff, 0xfe]);
const FILES = manifestOf(
  { 'index.html': PAGE, 'img/logo.png': PICTURE, 'assets/main-BfS1x9aQ.js': Buffer.alloc(100_000, 'x') },
  (name) => name.startsWith('assets/'),
);
const SERVING = { below: '/app', operation: 'getFile', summary: 'A file.', access: NOBODY } as const;

describe('a file', () => {
  test('is sent byte by byte, with its type, its tag and how long to keep it', async (t) => {
    const log = new TestLog();
    const port = await givenPipeline(
      t,
      fileRoutes(FILES, { ...SERVING, headers: { 'Content-Security-Policy': 'x' } }),
      {
        log,
      },
    );
    const page = await send(port, { target: '/app/index.html' });
    assert.deepEqual([page.status, page.text], [200, PAGE.toString()]);
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(page.headers['content-length'], String(PAGE.length));
    assert.equal(page.headers.etag, `"${hash('sha256', PAGE, 'base64url')}"`);
    assert.equal(page.headers['cache-control'], 'no-cache');
    assert.equal(page.headers['x-content-type-options'], 'nosniff');
    assert.equal(page.headers['content-security-policy'], 'x');
    const picture = await fetch(`http://localhost:${port}/app/img/logo.png`);
    assert.deepEqual(Buffer.from(await picture.arrayBuffer()), PICTURE);
    const script = await send(port, { target: '/app/assets/main-BfS1x9aQ.js' });
    assert.equal(script.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.equal(log.lines[0]?.facts.operation, 'getFile');
  });

  test('is not sent again to a client that has it, and the answer has no length', async (t) => {
    const port = await givenPipeline(t, fileRoutes(FILES, SERVING));
    const { etag = '' } = (await send(port, { target: '/app/index.html' })).headers;
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await send(port, { target: '/app/index.html', headers: { 'If-None-Match': known } });
      assert.deepEqual([answer.status, answer.text, answer.headers.etag], [304, '', etag], known);
      for (const name of ['content-length', 'content-type', 'transfer-encoding'])
        assert.ok(!(name in answer.headers), name);
      assert.equal(answer.headers['cache-control'], 'no-cache');
    }
    for (const other of ['"other"', etag.slice(1), '', `${etag.slice(0, -1)}x"`]) {
      const answer = await send(port, { target: '/app/index.html', headers: { 'If-None-Match': other } });
      assert.equal(answer.status, 200, other);
    }
    const last = { 'If-None-Match': etag, Connection: 'close' };
    assert.equal((await send(port, { target: '/app/index.html', headers: last })).status, 304);
  });

  test('is sent whole to a client that asks for a range of it', async (t) => {
    const port = await givenPipeline(t, fileRoutes(FILES, SERVING));
    const headers = { Range: 'bytes=0-1', 'If-Range': '"x"' };
    const answer = await send(port, { target: '/app/index.html', headers });
    assert.deepEqual([answer.status, answer.text.length], [200, PAGE.toString().length]);
    assert.ok(!('content-range' in answer.headers));
  });

  test('is there under its own name and no other', async (t) => {
    const port = await givenPipeline(t, fileRoutes(FILES, SERVING));
    for (const name of [
      '',
      '../index.html',
      'img/../index.html',
      '%2e%2e/index.html',
      'img%2flogo.png',
      'img',
      'index.html/',
      'index.html%00',
      '..%2f..%2fetc/passwd',
      'constructor',
      '__proto__',
    ])
      assert.equal((await send(port, { target: `/app/${name}` })).status, 404, name);
    for (const name of [
      '../x.js',
      'a/../x.js',
      './x.js',
      '/x.js',
      'a//x.js',
      'a b.js',
      '{id}.js',
      '*.js',
      ':x.js',
      'x.exe',
      'x',
    ])
      assert.throws(() => manifestOf({ [name]: PAGE }), /cannot be served/, name);
  });
});

describe('an entity tag', () => {
  test('is compared weakly, within lists, and text that is no list names none', () => {
    for (const [header, expected] of [
      [['"a"'], true],
      [['W/"a"'], true],
      [['"b","a"'], true],
      [['"b"', ' "a" '], true],
      [['*'], true],
      [['"b,a"'], false],
      [['a'], false],
      [['"A"'], false],
      [['w/"a"'], false],
      [[], false],
      [['""'], false],
      [['x"a"'], false],
    ] as const)
      assert.equal(isKnown('"a"', header), expected, header.join());
  });

  test('long nonsense takes no time to speak of', () => {
    assert.equal(isKnown('"a"', [`${' '.repeat(16_000)}x`]), false);
    assert.equal(isKnown('"a"', ['"x",'.repeat(4_000)]), false);
  });

  test('of an object and of a refusal', async (t) => {
    const port = await givenPipeline(t, [
      route({
        operation: 'list',
        summary: '',
        at: 'GET /list',
        access: NOBODY,
        answers: { 200: 'nothing' },
        handle: () => ({ ...ok({ a: 1 }), etag: '"1"' }),
      }),
      route({
        operation: 'refuse',
        summary: '',
        at: 'GET /missing',
        access: NOBODY,
        answers: { 404: 'nothing' },
        handle: () => ({ status: 404, body: {}, etag: '"1"' }),
      }),
    ]);
    const headers = { 'If-None-Match': '"1"' };
    assert.equal((await send(port, { target: '/list', headers })).status, 304);
    assert.equal((await send(port, { method: 'HEAD', target: '/list', headers })).status, 304);
    assert.equal((await send(port, { target: '/missing', headers })).status, 404);
  });
});

describe('HEAD', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });
  const gets = describedRoutes('dev').filter(({ at }) => at.startsWith('GET '));

  // What differs from one answer to the next, whatever was asked.
  const steady = (headers: object) =>
    Object.entries(headers).filter(
      ([name]) => !['ms-cv', 'date', 'x-processing-time', 'content-length'].includes(name),
    );

  for (const { at } of gets) {
    test(`${at} is answered as GET is, without a body`, async () => {
      const target = at.slice(4).replaceAll(/\{\w+\}/g, 'x');
      const get = await server.send({ target });
      const head = await server.send({ method: 'HEAD', target });
      assert.equal(head.text, '');
      assert.equal(head.status, get.status);
      assert.deepEqual(steady(head.headers), steady(get.headers));
      assert.equal('content-length' in head.headers, 'content-length' in get.headers);
    });
  }

  test('counts as the operation of its route, and a route of its own comes first', async (t) => {
    const log = new TestLog();
    const one = (at: `${'GET' | 'HEAD'} /${string}`, operation: string) =>
      route({ operation, summary: '', at, access: NOBODY, answers: { 200: 'nothing' }, handle: () => ok({ at }) });
    const port = await givenPipeline(t, [one('GET /a', 'getA'), one('GET /b', 'getB'), one('HEAD /b', 'headB')], {
      log,
    });
    const length = (await send(port, { target: '/a' })).headers['content-length'];
    assert.equal((await send(port, { method: 'HEAD', target: '/a' })).headers['content-length'], length);
    await send(port, { method: 'HEAD', target: '/b' });
    assert.deepEqual(
      log.lines.map(({ facts }) => `${facts.method} ${facts.operation}`),
      ['GET getA', 'HEAD getA', 'HEAD headB'],
    );
  });

  test('is among the methods of every GET route, and nowhere else', () => {
    const table = new RouteTable(describedPlanes('dev'));
    for (const { at } of table.routes) {
      const methods = table.methodsAt(at.slice(at.indexOf(' ') + 1).replaceAll(/\{\w+\}/g, 'x'));
      const hasOwn = table.routes.some((other) => other.at === at.replace(/^\w+/, 'HEAD'));
      assert.equal(methods.includes('HEAD'), methods.includes('GET') || hasOwn, at);
    }
  });
});
