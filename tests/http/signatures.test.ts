import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import { route } from '../../src/http/route.ts';
import { assertError } from '../harness/envelope.ts';
import { type Answer, type Sent, send } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { type RawAnswer, requestText, sendRaw } from '../harness/raw.ts';
import { accessKeyOf, givenResource, inPath } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { contentHash, sign, signatureOf, type ToSign } from '../harness/sign.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

const CREATE = '/identities?api-version=2023-10-01';
const BODY = '{"createTokenWithScopes":["chat"]}';

const DENIED = { status: 401, code: 'Denied', message: 'Denied by the resource provider.' };
const SKEWED = {
  status: 401,
  code: 'Denied',
  message:
    "The time difference between the request's date and the server is greater than the allowed margin of 5 minutes.",
};
const HASH_DIFFERS = {
  status: 401,
  code: 'Denied',
  message: "Request 'x-ms-content-sha256' differs from generated content hash.",
};

const reasonOf = (answer: Answer): string => String(answer.headers['x-linarite-reason']).split(';', 1)[0] ?? '';

/** A create as it is signed; what is sent can differ. */
interface Changes {
  signed?: Partial<ToSign>;
  sent?: { method?: string; target?: string; body?: string | undefined; headers?: Record<string, string | string[]> };
  /** Signed headers to leave out. */
  without?: string[];
}

function create(
  server: Pick<TestServer, 'host' | 'key' | 'send'>,
  { signed = {}, sent = {}, without = [] }: Changes = {},
): Promise<Answer> {
  const base = { method: 'POST', target: CREATE, host: server.host, body: BODY, key: server.key };
  const headers: Record<string, string | string[]> = {
    'Content-Type': 'application/json',
    ...sign({ ...base, ...signed }),
    ...sent.headers,
  };
  for (const name of without) delete headers[name];
  return server.send({ method: 'POST', target: CREATE, body: BODY, ...sent, headers });
}

/** Signs a free list of headers, to see which lists are taken. */
function createSigning(server: TestServer, names: string, values: (parts: Record<string, string>) => string[]) {
  const date = new Date().toUTCString();
  const hash = contentHash(BODY);
  const parts = { 'x-ms-date': date, date, host: server.host, 'x-ms-content-sha256': hash };
  const signature = signatureOf(server.key, `POST\n${CREATE}\n${values(parts).join(';')}`);
  return server.send({
    method: 'POST',
    target: CREATE,
    body: BODY,
    headers: {
      'Content-Type': 'application/json',
      'x-ms-date': date,
      Date: date,
      'x-ms-content-sha256': hash,
      Authorization: `HMAC-SHA256 SignedHeaders=${names}&Signature=${signature}`,
    },
  });
}

const figures = {
  H1: { dates: 0, otherForms: 0, wrong: 0 },
  H2: { identical: 0, identicalAccepted: 0, changed: 0, changedAccepted: 0 },
};
const planted = { H1: false, H2: false };
after(() => {
  const { H1, H2 } = figures;
  writeResult({
    id: 'H1',
    seed: 0,
    figures: H1,
    passed: H1.dates >= 36 && H1.otherForms >= 26 && H1.wrong === 0,
    planted: planted.H1,
  });
  const passed =
    H2.identicalAccepted === H2.identical && H2.identical >= 20 && H2.changed >= 20 && H2.changedAccepted === 0;
  writeResult({ id: 'H2', seed: 0, figures: H2, passed, planted: planted.H2 });
});

/** What can differ between what was signed and what is sent. */
const CHANGES: Readonly<Record<string, Changes>> = {
  method: { sent: { method: 'PUT' } },
  'the order of the query': {
    signed: { target: '/identities?a=1&api-version=2023-10-01' },
    sent: { target: '/identities?api-version=2023-10-01&a=1' },
  },
  'a value of the query': { sent: { target: '/identities?api-version=2022-10-01' } },
  'one parameter more': { sent: { target: `${CREATE}&a=1` } },
  'an empty parameter more': { sent: { target: `${CREATE}&` } },
  'a parameter less': { signed: { target: `${CREATE}&a=1` } },
  'an encoded character of the query': { sent: { target: '/identities?api%2Dversion=2023-10-01' } },
  'an encoded character of the path': { sent: { target: '/%69dentities?api-version=2023-10-01' } },
  'the case of the path': { sent: { target: '/Identities?api-version=2023-10-01' } },
  'a slash in front': { sent: { target: `/${CREATE}` } },
  'two slashes in front': { sent: { target: `//${CREATE}` } },
  'a slash behind': { sent: { target: '/identities/?api-version=2023-10-01' } },
  'a dot segment': { sent: { target: '/./identities?api-version=2023-10-01' } },
  'a parent segment': { sent: { target: '/x/../identities?api-version=2023-10-01' } },
  'the other operation': { signed: { target: '/identities/x/:revokeAccessTokens?api-version=2023-10-01' } },
  'the case of the host': { signed: { host: 'LOCALHOST' } },
  'another port': { signed: { host: 'localhost:1' } },
  'another name': { signed: { host: '127.0.0.1' } },
  'a dot behind the host': { signed: { host: 'localhost.' } },
  'another date': { sent: { headers: { 'x-ms-date': new Date(Date.now() - 1000).toUTCString() } } },
  'another hash': { sent: { headers: { 'x-ms-content-sha256': contentHash('{}') } } },
  'another hash with its body': { sent: { headers: { 'x-ms-content-sha256': contentHash('{}') }, body: '{}' } },
};

describe('the date of a signed request', () => {
  const NOON = Date.UTC(2030, 0, 1, 12);
  /** Seconds off the clock → what comes of it. */
  const BOUNDARY = [
    [-86_400, 401],
    [-301, 401],
    [-300, 201],
    [-299, 201],
    [0, 201],
    [299, 201],
    [300, 201],
    [301, 401],
    [86_400, 401],
  ] as const;

  // The date on the wire has whole seconds, so the fraction of the server's clock must not matter.
  for (const fraction of [0, 1, 500, 999]) {
    test(`is taken up to 300 s off, both ways, and not at 301 s, at ${fraction} ms past the second`, async (t) => {
      const server = await startTestServer(t, { clock: new TestClock(NOON + fraction) });
      for (const [seconds, status] of BOUNDARY) {
        const answer = await create(server, { signed: { date: new Date(NOON + seconds * 1000).toUTCString() } });
        figures.H1.dates += 1;
        if (answer.status !== status) figures.H1.wrong += 1;
        assert.equal(answer.status, status, `${seconds} s: ${answer.text}`);
        if (status === 401) {
          assertError(answer, SKEWED, `${seconds} s`);
          assert.equal(reasonOf(answer), 'date.skewed');
        }
      }
    });
  }

  test('that is a second off the boundary is found out', async (t) => {
    // The clock stands a second beside the one that the table is for.
    const server = await startTestServer(t, { clock: new TestClock(NOON + 1000) });
    const wrong: number[] = [];
    for (const [seconds, status] of BOUNDARY) {
      const answer = await create(server, { signed: { date: new Date(NOON + seconds * 1000).toUTCString() } });
      if (answer.status !== status) wrong.push(seconds);
    }
    assert.deepEqual(wrong, [-300, 301]);
    planted.H1 = true;
  });

  for (const minutes of [1, 15]) {
    test(`may be ${minutes} min off where the settings say so`, async (t) => {
      const env = { LINARITE_SIGNATURE_WINDOW_MINUTES: String(minutes) };
      const server = await startTestServer(t, { clock: new TestClock(NOON + 250), env });
      for (const [seconds, status] of [
        [-minutes * 60 - 1, 401],
        [-minutes * 60, 201],
        [minutes * 60, 201],
        [minutes * 60 + 1, 401],
      ] as const) {
        const answer = await create(server, { signed: { date: new Date(NOON + seconds * 1000).toUTCString() } });
        assert.equal(answer.status, status, `${seconds} s: ${answer.text}`);
        if (status === 401) assert.match(answer.body.error.message, new RegExp(`margin of ${minutes} minutes`));
      }
    });
  }

  test('is read as an IMF-fixdate and in no other form', async (t) => {
    const server = await startTestServer(t, { clock: new TestClock(NOON) });
    assert.equal((await create(server, { signed: { date: 'Tue, 01 Jan 2030 12:00:00 GMT' } })).status, 201);
    for (const date of [
      '2030-01-01T12:00:00Z',
      '2030-01-01T12:00:00.000Z',
      '2030-01-01',
      'Tuesday, 01-Jan-30 12:00:00 GMT',
      'Tue Jan  1 12:00:00 2030',
      'Tue Jan 01 2030 12:00:00 GMT',
      'Wed, 01 Jan 2030 12:00:00 GMT',
      'Tue, 1 Jan 2030 12:00:00 GMT',
      'Tue, 01 Jan 30 12:00:00 GMT',
      'Tue, 01 Jan 2030 12:00:00 UTC',
      'Tue, 01 Jan 2030 12:00:00 +0000',
      'Tue, 01 Jan 2030 12:00:00',
      'Tue, 01 Jan 2030 12:00 GMT',
      'Tue, 01 Jan 2030 11:59:60 GMT',
      'Mon, 31 Dec 2029 36:00:00 GMT',
      'Tue,  01 Jan 2030 12:00:00 GMT',
      'Tue 01 Jan 2030 12:00:00 GMT',
      '01 Jan 2030 12:00:00 GMT',
      'wed, 01 jan 2030 12:00:00 gmt',
      'tue, 01 jan 2030 12:00:00 utc',
      'tue, 1 jan 2030 12:00:00 gmt',
      'Tue, 01 Jan 2030 13:00:00 CET',
      'Tue, 01 Jan 2030 12:00:00 GMT, Tue, 01 Jan 2030 12:00:00 GMT',
      String(NOON),
      String(NOON / 1000),
      '1',
      'now',
      'Invalid Date',
    ]) {
      const answer = await create(server, { signed: { date } });
      figures.H1.otherForms += 1;
      if (answer.status !== 401) figures.H1.wrong += 1;
      assertError(answer, DENIED, date);
      assert.equal(reasonOf(answer), 'date.malformed', date);
    }
  });

  test('may have its letters in any case, and the signature covers it as it was sent', async (t) => {
    const server = await startTestServer(t, { clock: new TestClock(NOON) });
    // The Rust crate acs-signature writes the first one.
    const dates = [
      'tue, 01 jan 2030 12:00:00 gmt',
      'TUE, 01 JAN 2030 12:00:00 GMT',
      'Tue, 01 Jan 2030 12:00:00 gmt',
      'tUE, 01 jAN 2030 12:00:00 Gmt',
    ];
    for (const dateHeader of ['x-ms-date', 'date'] as const) {
      for (const date of dates) {
        const answer = await create(server, { signed: { date, dateHeader } });
        assert.equal(answer.status, 201, `${dateHeader}: ${date}`);
        const inOtherCase = await create(server, {
          signed: { date, dateHeader },
          sent: { headers: { [dateHeader]: 'Tue, 01 Jan 2030 12:00:00 GMT' } },
        });
        assertError(inOtherCase, DENIED, `${dateHeader}: signed ${date}`);
      }
    }
  });

  test('tells nobody about the clock who holds no key', async (t) => {
    const server = await startTestServer(t, { clock: new TestClock(NOON) });
    const key = Buffer.alloc(64, 7).toString('base64');
    assertError(await create(server, { signed: { date: 'Tue, 01 Jan 2019 12:00:00 GMT', key } }), DENIED);
  });
});

describe('a signed request', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('may be sent twenty times in one second', async () => {
    const date = new Date().toUTCString();
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(server, { signed: { date } })));
    figures.H2.identical += answers.length;
    figures.H2.identicalAccepted += answers.filter(({ status }) => status === 201).length;
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    assert.equal(new Set(answers.map(({ body }) => body.identity.id)).size, 20);
  });

  test('that may be changed is found out', async (t) => {
    const open = route({
      operation: 'createOpenly',
      summary: 'Takes what comes.',
      at: 'POST /identities',
      access: { caller: 'nobody' },
      answers: { 201: 'nothing' },
      handle: () => ({ status: 201 }),
    });
    const port = await givenPipeline(t, [open]);
    const victim = { host: `localhost:${port}`, key: server.key, send: (sent: Sent) => send(port, sent) };
    const taken = await Promise.all(Object.values(CHANGES).map((changes) => create(victim, changes)));
    assert.ok(taken.filter(({ status }) => status < 400).length > 10);
    planted.H2 = true;
  });

  test('is taken under both keys, and under no other', async () => {
    const neighbour = await givenResource(server);
    for (const slot of ['primary', 'secondary'] as const) {
      assert.equal((await create(server, { signed: { key: accessKeyOf(server, slot) } })).status, 201);
    }
    for (const key of [Buffer.alloc(64).toString('base64'), '', 'AA==', server.connectionString]) {
      const answer = await create(server, { signed: { key } });
      assertError(answer, DENIED);
      assert.equal(reasonOf(answer), 'signature.key');
    }
    // A neighbour's key is a good key, of another resource: it makes the neighbour's identities and touches none of ours.
    const theirs = await create(server, { signed: { key: neighbour.key } });
    assert.equal(theirs.status, 201);
    assert.ok(theirs.body.identity.id.startsWith(`8:acs:${neighbour.id}_`));
  });

  test('with a good signature and another body is refused by the hash of the body', async () => {
    for (const body of [`${BODY} `, BODY.replace('chat', 'voip'), '{}', 'x', undefined]) {
      const answer = await create(server, { sent: { body } });
      assertError(answer, HASH_DIFFERS, String(body));
      assert.equal(reasonOf(answer), 'contentHash.differs');
    }
    assertError(await create(server, { signed: { body: '' } }), HASH_DIFFERS);
  });

  test('may have an empty body under a JSON content type', async () => {
    for (const body of [undefined, '']) {
      const answer = await server.asService('POST /identities', body);
      assert.equal(answer.status, 201);
    }
  });

  test('may wait for 100 Continue before it sends its body', async () => {
    const headers = { ...sign({ method: 'POST', target: CREATE, host: server.host, body: BODY, key: server.key }) };
    const head = requestText(`POST ${CREATE}`, [
      ['Host', server.host],
      ['Content-Type', 'application/json'],
      ['Content-Length', String(BODY.length)],
      ['Expect', '100-continue'],
      ['Connection', 'close'],
      ...Object.entries(headers),
    ]);
    const { status, body } = await sendRaw(server.port, Buffer.concat([head, Buffer.from(BODY)]));
    assert.equal(status, 100);
    assert.match(body, /^HTTP\/1\.1 201 /);
  });

  for (const [part, changes] of Object.entries(CHANGES)) {
    test(`is refused when it differs from what was signed in ${part}`, async () => {
      const answer = await create(server, changes);
      figures.H2.changed += 1;
      if (answer.status < 400) figures.H2.changedAccepted += 1;
      assert.ok([401, 404, 405].includes(answer.status), `${answer.status} ${answer.text}`);
      if (answer.status === 401) assertError(answer, DENIED);
      assert.ok(answer.body.error.code);
    });
  }

  test('needs each of its headers', async () => {
    for (const [name, reason] of [
      ['Authorization', 'authorization.missing'],
      ['x-ms-date', 'date.missing'],
      ['x-ms-content-sha256', 'contentHash.missing'],
    ] as const) {
      const answer = await create(server, { without: [name] });
      assertError(answer, DENIED, name);
      assert.equal(reasonOf(answer), reason);
    }
    for (const [name, value] of [
      ['x-ms-date', ''],
      ['x-ms-content-sha256', ''],
      ['x-ms-content-sha256', 'x'],
      ['x-ms-content-sha256', contentHash(BODY).replace('=', '')],
      ['x-ms-content-sha256', contentHash(BODY).toLowerCase()],
      ['x-ms-content-sha256', Buffer.from(contentHash(BODY), 'base64').toString('hex')],
      ['Authorization', ''],
    ] as const) {
      assertError(await create(server, { sent: { headers: { [name]: value } } }), DENIED, `${name}: ${value}`);
    }
  });

  test('signs a date, the host and the content hash, once each, in whatever order and case', async () => {
    for (const names of [
      'x-ms-date;host;x-ms-content-sha256',
      'host;x-ms-content-sha256;x-ms-date',
      'x-ms-content-sha256;x-ms-date;host',
      'date;host;x-ms-content-sha256',
      'X-MS-Date;Host;X-MS-Content-SHA256',
    ]) {
      const answer = await createSigning(server, names, (parts) =>
        names.split(';').map((name) => parts[name.toLowerCase()] ?? ''),
      );
      assert.equal(answer.status, 201, `${names}: ${answer.text}`);
    }
  });

  test('with any other list of signed headers is refused, however well it is signed', async () => {
    for (const names of [
      '',
      'host',
      'x-ms-date;host',
      'host;x-ms-content-sha256',
      'x-ms-date;x-ms-content-sha256',
      'x-ms-date;date;host;x-ms-content-sha256',
      'x-ms-date;host;host',
      'x-ms-date;x-ms-date;host;x-ms-content-sha256',
      'x-ms-date;host;host;x-ms-content-sha256',
      'x-ms-date;host;x-ms-content-sha256;content-type',
      'x-ms-date;host;x-ms-content-sha256;',
      ';x-ms-date;host;x-ms-content-sha256',
      'x-ms-date,host,x-ms-content-sha256',
      'x-ms-date; host; x-ms-content-sha256',
      'x-forwarded-host;x-ms-date;x-ms-content-sha256',
      'x-ms-date;x-forwarded-host;x-ms-content-sha256',
    ]) {
      const answer = await createSigning(server, names, (parts) =>
        names.split(/[;,] ?/).map((name) => parts[name.toLowerCase()] ?? ''),
      );
      assertError(answer, DENIED, names);
      assert.ok(['signedHeaders.unexpected', 'authorization.malformed'].includes(reasonOf(answer)), reasonOf(answer));
    }
  });

  test('states its signature in one way only', async () => {
    const { Authorization = '', ...rest } = sign({
      method: 'POST',
      target: CREATE,
      host: server.host,
      body: BODY,
      key: server.key,
    });
    const [, signature = ''] = Authorization.split('Signature=');
    const list = 'SignedHeaders=x-ms-date;host;x-ms-content-sha256';
    const urlSafe = signature.replaceAll('+', '-').replaceAll('/', '_');
    for (const value of [
      Authorization.replace('HMAC-SHA256', 'HMAC-SHA512'),
      Authorization.replace('HMAC-SHA256', 'hmac-sha256'),
      Authorization.replace('HMAC-SHA256', 'Bearer'),
      Authorization.replace('HMAC-SHA256 ', ''),
      Authorization.replace('HMAC-SHA256 ', 'HMAC-SHA256  '),
      Authorization.replace('&', '; '),
      Authorization.replace('&', ', '),
      Authorization.replace('SignedHeaders', 'signedheaders'),
      `HMAC-SHA256 Signature=${signature}&${list}`,
      `HMAC-SHA256 ${list}`,
      `HMAC-SHA256 ${list}&Signature=`,
      `HMAC-SHA256 ${list}&Signature=${signature.slice(0, -1)}`,
      `HMAC-SHA256 ${list}&Signature=${signature}=`,
      `HMAC-SHA256 ${list}&Signature=${signature}&x=1`,
      `HMAC-SHA256 ${list}&Signature=${signature.slice(0, 22)} ${signature.slice(22)}`,
      `HMAC-SHA256 ${list}&Signature=${encodeURIComponent(signature)}&`,
      `HMAC-SHA256 ${list}&Signature=${Buffer.from(signature, 'base64').toString('hex')}`,
      `HMAC-SHA256 ${list}&Signature=${signature},HMAC-SHA256 ${list}&Signature=${signature}`,
      `HMAC-SHA256 ${list}&Signature=${signature.toLowerCase() === signature ? 'A' : signature.toLowerCase()}`,
      ...(urlSafe === signature ? [] : [`HMAC-SHA256 ${list}&Signature=${urlSafe}`]),
    ]) {
      const answer = await server.send({
        method: 'POST',
        target: CREATE,
        body: BODY,
        headers: { 'Content-Type': 'application/json', ...rest, Authorization: value },
      });
      assertError(answer, DENIED, value.replaceAll(signature, '<signature>'));
    }
  });

  test('gives no second life to a signature by its stray last bits', async () => {
    const headers = sign({ method: 'POST', target: CREATE, host: server.host, body: BODY, key: server.key });
    const good = headers.Authorization ?? '';
    const at = good.length - 2; // the last character before the padding carries two unused bits
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    for (const character of alphabet) {
      const Authorization = `${good.slice(0, at)}${character}=`;
      const { status } = await server.send({
        method: 'POST',
        target: CREATE,
        body: BODY,
        headers: { 'Content-Type': 'application/json', ...headers, Authorization },
      });
      assert.equal(status, Authorization === good ? 201 : 401, character);
    }
  });

  test('with a security header twice is refused, also when both say the same', async () => {
    const signed = Object.entries(
      sign({ method: 'POST', target: CREATE, host: server.host, body: BODY, key: server.key }),
    );
    const lines = [
      ['Host', server.host],
      ['Content-Type', 'application/json'],
      ['Content-Length', String(BODY.length)],
      ['Connection', 'close'],
      ...signed,
    ] as [string, string][];
    assert.equal((await sendRaw(server.port, requestText(`POST ${CREATE}`, lines, BODY))).status, 201);
    for (const [name, value] of lines) {
      if (['Content-Type', 'Connection'].includes(name)) continue;
      for (const second of [value, 'x', '']) {
        for (const twice of [
          [...lines, [name, second]],
          [[name, second], ...lines],
          [...lines, [name.toUpperCase(), second]],
        ] as [string, string][][]) {
          const answer: RawAnswer = await sendRaw(server.port, requestText(`POST ${CREATE}`, twice, BODY));
          assert.equal(
            answer.status,
            name === 'Host' || name === 'Content-Length' ? 400 : 401,
            `${name} and ${second}`,
          );
          assert.ok(JSON.parse(answer.body).error.code);
        }
      }
    }
  });

  test('is decided by nothing that was not signed: look-alikes have no effect', async () => {
    const id = await server.givenIdentity();
    const signed = { 'x-ms-date': '', 'x-ms-content-sha256': '', Authorization: '' };
    for (const [name, value] of [
      ['X-Forwarded-Host', 'evil.example'],
      ['X-Forwarded-Host', server.host],
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-Prefix', '/x'],
      ['X-HTTP-Method-Override', 'DELETE'],
      ['X-HTTP-Method', 'DELETE'],
      ['X-Method-Override', 'DELETE'],
      ['X-Original-URL', inPath(id)],
      ['X-Rewrite-URL', inPath(id)],
      ['X-Original-Host', 'evil.example'],
      ['X-Host', 'evil.example'],
      ['Forwarded', 'host=evil.example'],
      ['X-MS-Original-Url', inPath(id)],
      ['x-ms-hmac-string-to-sign-base64', Buffer.from('anything').toString('base64')],
    ] as const) {
      // A good request stays what it is, whether it is served or (the published key behind a proxy) refused …
      const good = await create(server, { sent: { headers: { [name]: value } } });
      assert.ok(good.status === 201 || reasonOf(good) === 'accessKey.loopbackOnly', `${name}: ${good.text}`);
      // … and a bad one is not made good.
      const bad = await create(server, { signed: { host: 'evil.example' }, sent: { headers: { [name]: value } } });
      assertError(bad, DENIED, name);
      const unsigned = await server.send({
        method: 'POST',
        target: CREATE,
        headers: { ...signed, [name]: value },
      });
      assertError(unsigned, DENIED, name);
    }
    assert.equal((await server.asService(`GET ${inPath(id)}`)).status, 200, 'the identity is still there');
  });

  test('addresses one identity whether its id comes percent-encoded or plain', async () => {
    const id = await server.givenIdentity();
    const tokens = [];
    for (const path of [id, encodeURIComponent(id), encodeURIComponent(id).toLowerCase(), id.replace('8:', '%38:')]) {
      const answer = await server.asService(`POST /identities/${path}/:issueAccessToken`, { scopes: ['voip'] });
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      tokens.push(answer.body.token);
    }
    for (const token of tokens) assert.equal((await server.asUser(token)).body.identity.id, id);
  });

  test('keeps its body to itself until its headers are proven', async () => {
    const headers: [string, string][] = [
      ['Host', server.host],
      ['Content-Type', 'application/json'],
      ['Content-Length', '1000000'],
    ];
    const bad = sign({ method: 'POST', target: CREATE, host: server.host, key: Buffer.alloc(64).toString('base64') });
    for (const lines of [headers, [...headers, ...Object.entries(bad)], [...headers, ['Expect', '100-continue']]]) {
      const answer = await sendRaw(server.port, requestText(`POST ${CREATE}`, lines as [string, string][]), 3000);
      assert.equal(answer.status, 401);
      assert.equal(JSON.parse(answer.body).error.code, 'Denied');
    }
  });
});

describe('the spellings that released clients sign', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('the port twice, in what is signed and what is sent (JavaScript, common 2.0 to 2.4)', async () => {
    const host = `${server.host}:${server.port}`;
    assert.equal((await create(server, { signed: { host }, sent: { headers: { Host: host } } })).status, 201);
  });

  test('the host without its port, sent with it or not (Java)', async () => {
    assert.equal((await create(server, { signed: { host: 'localhost' } })).status, 201);
    const both = { signed: { host: 'localhost' }, sent: { headers: { Host: 'localhost' } } };
    assert.equal((await create(server, both)).status, 201);
  });

  test('the target without its leading slash (Python over plain http)', async () => {
    assert.equal((await create(server, { signed: { target: CREATE.slice(1) } })).status, 201);
  });

  test('the legacy date header (first-generation clients)', async () => {
    assert.equal((await create(server, { signed: { dateHeader: 'date' } })).status, 201);
  });

  test('and no other', async () => {
    const { port } = server;
    for (const host of [
      `localhost:${port}/`,
      `https://localhost:${port}`,
      `localhost:${port}:${port}:${port}`,
      'localhost:',
      'localhost:443',
      `[::1]:${port}`,
      '',
    ]) {
      assertError(await create(server, { signed: { host } }), DENIED, host);
    }
    for (const target of [
      CREATE.slice(2),
      `//${CREATE.slice(1)}`,
      '/identities',
      CREATE.toUpperCase(),
      `http://${server.host}${CREATE}`,
      `https://${server.host}${CREATE}`,
      `${CREATE}#`,
      encodeURIComponent(CREATE),
      '',
    ]) {
      assertError(await create(server, { signed: { target } }), DENIED, target);
    }
    for (const method of ['post', 'Post', '', 'PUT']) {
      assertError(await create(server, { signed: { method } }), DENIED, method);
    }
    // Two spellings at once are nobody's.
    assertError(await create(server, { signed: { host: 'localhost', target: CREATE.slice(1) } }), DENIED);
  });
});

describe('the reason of a refusal in dev mode', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  for (const [reason, changes] of Object.entries({
    'signature.path': { signed: { target: '/identities' } },
    'signature.host': { signed: { host: '127.0.0.1:7417' } },
    'signature.method': { signed: { method: 'PUT' } },
    'signature.contentHash': { signed: { body: '' }, sent: { headers: { 'x-ms-content-sha256': contentHash(BODY) } } },
    'signature.key': { signed: { key: Buffer.alloc(64).toString('base64') } },
    'date.skewed': { signed: { date: 'Tue, 01 Jan 2019 12:00:00 GMT' } },
    'foreign.malformed': { sent: { headers: { Authorization: 'Bearer x' } } },
    'authorization.malformed': { sent: { headers: { Authorization: 'HMAC-SHA256 x' } } },
  } satisfies Record<string, Changes>)) {
    test(`is ${reason} where that is what differs`, async () => {
      const answer = await create(server, changes);
      assert.equal(answer.status, 401);
      assert.equal(reasonOf(answer), reason);
    });
  }

  test('is signature.date where Date was signed and x-ms-date named', async () => {
    const date = new Date(Date.now() - 2000).toUTCString();
    const headers = { Date: date, 'x-ms-date': new Date().toUTCString() };
    const answer = await create(server, { signed: { date }, sent: { headers } });
    assert.equal(reasonOf(answer), 'signature.date');
  });

  test('is exact for clients that say what they signed (Java)', async () => {
    const date = new Date().toUTCString();
    const hash = contentHash(BODY);
    for (const [reason, text] of [
      ['signature.path', `POST\n/elsewhere\n${date};${server.host};${hash}`],
      ['signature.host', `POST\n${CREATE}\n${date};elsewhere.example;${hash}`],
      ['signature.method', `PATCH\n${CREATE}\n${date};${server.host};${hash}`],
      ['signature.date', `POST\n${CREATE}\nyesterday;${server.host};${hash}`],
      ['signature.contentHash', `POST\n${CREATE}\n${date};${server.host};${contentHash('other')}`],
    ] as const) {
      const signature = signatureOf(server.key, text);
      const answer = await create(server, {
        signed: { date },
        sent: {
          headers: {
            'x-ms-hmac-string-to-sign-base64': Buffer.from(text).toString('base64'),
            Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
          },
        },
      });
      assertError(answer, DENIED, reason);
      assert.equal(reasonOf(answer), reason);
    }
  });

  test('is signature.host where a proxy wrote another Host over a public name', async (t) => {
    const behind = await startTestServer(t, {
      env: {
        LINARITE_PUBLIC_URL: 'https://acs.example.org',
        LINARITE_ALLOWED_HOSTS: 'shop.acs.example.org,other.example',
      },
    });
    const PUBLIC = ['acs.example.org', 'acs.example.org:443', 'shop.acs.example.org', 'other.example'];
    for (const host of PUBLIC)
      assert.equal(reasonOf(await create(behind, { signed: { host } })), 'signature.host', host);
    assert.equal(reasonOf(await create(behind, { signed: { host: 'elsewhere.example' } })), 'signature.key');
    const key = Buffer.alloc(64).toString('base64');
    assert.equal(reasonOf(await create(behind, { signed: { host: 'acs.example.org', key } })), 'signature.key');
  });

  test('opens nothing: a string to sign that is signed, and not that of the request, is refused', async () => {
    const text = 'POST\n/x\na;b;c';
    const answer = await create(server, {
      sent: {
        headers: {
          'x-ms-hmac-string-to-sign-base64': Buffer.from(text).toString('base64'),
          Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signatureOf(server.key, text)}`,
        },
      },
    });
    assertError(answer, DENIED);
  });
});

describe('the published development key', () => {
  test('works on loopback without forwarding headers only', async (t) => {
    const server = await startTestServer(t);
    assert.equal((await create(server)).status, 201);
    for (const name of ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Real-IP', 'Via']) {
      for (const value of ['127.0.0.1', '203.0.113.9', '']) {
        const answer = await create(server, { sent: { headers: { [name]: value } } });
        assertError(answer, DENIED, `${name}: ${value}`);
        assert.equal(reasonOf(answer), 'accessKey.loopbackOnly');
      }
    }
    const key = accessKeyOf(server, 'secondary');
    const answer = await create(server, { signed: { key }, sent: { headers: { 'X-Forwarded-For': '203.0.113.9' } } });
    assert.equal(answer.status, 201, 'a key that nobody published may come through a proxy');
  });

  test('is not taken from a peer elsewhere', () => {
    const key = Buffer.from('pw==', 'base64');
    const answerTo = (peer: string, wellKnownKey: 'loopback' | 'everywhere') =>
      verifierOf(key, wellKnownKey).verify(vectorRequest('/', peer));
    for (const peer of ['127.0.0.1', '127.1.2.3', '::1']) assert.equal(answerTo(peer, 'loopback').exposed, false);
    for (const peer of ['192.168.0.7', '10.0.0.1', '::ffff:10.0.0.1', '2001:db8::1', '', '1127.0.0.1', 'localhost']) {
      assert.throws(() => answerTo(peer, 'loopback'), { reason: 'accessKey.loopbackOnly' }, peer);
      assert.equal(answerTo(peer, 'everywhere').exposed, true);
    }
  });
});

test('a node that was cut off learns of regenerated keys before it judges a signature', async (t) => {
  const anybody = route({
    operation: 'createForAnybody',
    summary: 'Takes what is signed.',
    at: 'POST /identities',
    access: { caller: 'service' },
    answers: { 201: 'nothing' },
    handle: () => ({ status: 201 }),
  });
  const [former, current] = ['Zm9ybWVy', 'Y3VycmVudA=='];
  const signatories = [signatoryOf(Buffer.from(former, 'base64'))];
  const requireFresh = async (): Promise<void> => {
    signatories[0] = signatoryOf(Buffer.from(current, 'base64'));
  };
  for (const [key, status] of [
    [former, 401],
    [current, 201],
  ] as const) {
    signatories[0] = signatoryOf(Buffer.from(former, 'base64'));
    const port = await givenPipeline(t, [anybody], { signatories, requireFresh });
    const victim = { host: `localhost:${port}`, key, send: (sent: Sent) => send(port, sent) };
    assert.equal((await create(victim)).status, status, key);
  }
});

test('finding out why a signature is wrong tries few keys, however many there are, and none for a long target', () => {
  let tried = 0;
  const signatories = Array.from({ length: 20 }, () => ({
    resource: { id: 'contoso' as never },
    get keys() {
      tried += 1;
      return signatoryOf(Buffer.from('other')).keys;
    },
  }));
  const verifier = new SignatureVerifier(
    { candidatesFor: () => signatories, clock: new TestClock(Date.parse(VECTOR_DATE)) },
    { windowMinutes: 5, wellKnownKey: 'loopback' },
  );
  const triedFor = (target: string): number => {
    tried = 0;
    assert.throws(() => verifier.verify({ ...vectorRequest('/'), target }), { reason: 'signature.key' });
    return tried;
  };
  const spellings = 2 * signatories.length; // the host has no port
  const diagnosed = triedFor('/testPath') - spellings;
  assert.ok(diagnosed > 0 && diagnosed <= 60, `${diagnosed}`);
  assert.equal(triedFor(`/${'x'.repeat(4000)}`), spellings);
});

// The three vectors of identity-protocol, section 3.1, which the official Python and .NET suites assert.
const VECTORS = {
  '/': '88MDmJhUR3m5QhFxb8ztShsSwlGrg7g/6XPnWf7QEO4=',
  '/testPath': 'RoCrHjw7fb9fpHSbqvRUY2xa8RBS0YvI1cxI1x8AS38=',
  '/testPath?testQuery=yes': 'il99+rd6V5O136roX/zVePCNle78HmvC4B7tu9zRH3I=',
};
const VECTOR_DATE = 'Wed, 13 Apr 2022 18:09:12 GMT';
const VECTOR_HOST = 'contoso.communicationservices.azure.com';

const signatoryOf = (key: Buffer) => ({
  resource: { id: 'contoso' as never },
  keys: [{ slot: 'primary' as const, version: 1, secret: createSecretKey(key), wellKnown: true }],
});

function verifierOf(key: Buffer, wellKnownKey: 'loopback' | 'everywhere' = 'loopback'): SignatureVerifier {
  return new SignatureVerifier(
    { candidatesFor: () => [signatoryOf(key)], clock: new TestClock(Date.parse(VECTOR_DATE)) },
    { windowMinutes: 5, wellKnownKey },
  );
}

function vectorRequest(target: keyof typeof VECTORS, peer = '127.0.0.1') {
  const headers: Record<string, string> = {
    host: VECTOR_HOST,
    'x-ms-date': VECTOR_DATE,
    'x-ms-content-sha256': '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
    authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${VECTORS[target]}`,
  };
  return {
    method: 'GET',
    target,
    peer,
    secure: true,
    hasBody: false,
    upgrades: false,
    onEnd: () => undefined,
    complete: true,
    header: (name: string) => (headers[name] === undefined ? [] : [headers[name]]),
    readBody: () => Promise.reject(new Error('there is none')),
  };
}

for (const target of Object.keys(VECTORS) as (keyof typeof VECTORS)[]) {
  test(`the published vector for GET ${target} verifies, and is what the harness signs`, () => {
    const { caller } = verifierOf(Buffer.from('pw==', 'base64')).verify(vectorRequest(target));
    assert.equal(caller.resourceId, 'contoso');
    assert.throws(() => verifierOf(Buffer.from('pW==', 'base64')).verify(vectorRequest(target)), { error: 'Denied' });
    const ours = sign({ method: 'GET', target, host: VECTOR_HOST, key: 'pw==', date: VECTOR_DATE });
    assert.ok(ours.Authorization?.endsWith(VECTORS[target]));
  });
}

test('in production a refusal does not say why', async (t) => {
  const server = await startProduction(t);
  for (const changes of [
    { signed: { target: '/identities' } },
    { signed: { key: Buffer.alloc(64).toString('base64') } },
    { signed: { host: 'elsewhere' } },
    { sent: { headers: { Authorization: 'x' } } },
    { without: ['x-ms-date'] },
    { sent: { headers: { 'x-ms-content-sha256': 'x' } } },
  ] as Changes[]) {
    const answer = await create(server, changes);
    assertError(answer, DENIED);
    assert.equal(answer.headers['x-linarite-reason'], undefined);
    assert.deepEqual(Object.keys(answer.body.error), ['code', 'message']);
  }
});
