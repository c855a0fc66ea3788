import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type RawAnswer, requestText, sendRaw } from '../harness/raw.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { contentHash, sign } from '../harness/sign.ts';

// The life of an identity in the requests of SDKs that cannot be installed everywhere: .NET above all (published sources and
// recordings; it was never run here), Java (taken off the wire of 1.4.10), Python over plain HTTP (1.5.0).

/** One operation, as all of them have it. */
interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  /** The identity that the path names after `/identities/`. */
  id?: string;
  verb?: string;
  /** Undefined: the operation has no body. */
  body?: object;
}

/** How one SDK writes a call. */
interface Sdk {
  version: string;
  /** How it writes an id in a path. */
  inPath(id: string): string;
  /** What it sends for a create without anything, as text. */
  nothing: string;
  headers(sent: Written): [string, string][];
}

/** A call in the words of one SDK. */
interface Written {
  method: string;
  target: string;
  /** Name and port. */
  authority: string;
  body: string;
  hasBody: boolean;
  key: string;
  requestId: string;
}

const REQUEST_ID = '1e7d0777-24b1-4e16-8968-3583e92e5cd9';
const signed = (
  { method, target, body, key }: Written,
  host: string,
  date: string,
  dateHeader: 'date' | 'x-ms-date' = 'x-ms-date',
): Record<string, string> => sign({ method, target, host, body, key, date, dateHeader });

/** Authority and PathAndQuery of a System.Uri, HttpClient's habits, Azure.Core's policies. */
const dotnet = (release: string, version: string, age: 'first' | 'published' | 'next'): Sdk => ({
  version,
  inPath: encodeURIComponent,
  nothing: '{}',
  headers(sent) {
    const date = new Date().toUTCString();
    const dateHeader = age === 'first' ? 'date' : 'x-ms-date';
    const { Authorization = '', 'x-ms-content-sha256': hash = '' } = signed(sent, sent.authority, date, dateHeader);
    return [
      ['Host', sent.authority],
      ['x-ms-client-request-id', sent.requestId],
      ['x-ms-return-client-request-id', 'true'],
      // Operations that answer without a body lost their Accept when the client was generated anew.
      ...(age !== 'next' || sent.hasBody ? ([['Accept', 'application/json']] as [string, string][]) : []),
      ['User-Agent', `azsdk-net-Communication.Identity/${release} (.NET 8.0.11; Debian GNU/Linux 12 (bookworm))`],
      ['traceparent', '00-7f66b1812d7a6194a3550cc4308aa1b3-64c651a5e384988e-00'],
      ['x-ms-content-sha256', hash],
      ['Date', date],
      ...(age === 'first' ? [] : ([['x-ms-date', date]] as [string, string][])),
      ['Authorization', Authorization],
      ...(sent.hasBody ? ([['Content-Type', 'application/json']] as [string, string][]) : []),
      // HttpClient names the length of nothing for a POST and says nothing for a DELETE.
      ...(sent.hasBody || sent.method === 'POST'
        ? ([['Content-Length', String(sent.body.length)]] as [string, string][])
        : []),
    ];
  },
});

const java: Sdk = {
  version: '2022-10-01',
  inPath: (id) => id,
  nothing: '{}',
  headers(sent) {
    const [host = ''] = sent.authority.split(':');
    const date = new Date().toUTCString();
    const parts = signed(sent, host, date);
    const text = `${sent.method}\n${sent.target}\n${date};${host};${contentHash(sent.body)}`;
    return [
      ...Object.entries(parts),
      ['x-ms-hmac-string-to-sign-base64', Buffer.from(text).toString('base64')],
      ['host', host],
      ...(sent.hasBody ? ([['Content-Type', 'application/json']] as [string, string][]) : []),
      ['x-ms-client-request-id', sent.requestId],
      ['Accept', 'application/json'],
      ['User-Agent', 'azsdk-java-azure-communication-identity/1.4.10 (17.0.15; Linux; 6.12.0)'],
      ['content-length', String(sent.body.length)],
    ];
  },
};

const pythonOverHttp: Sdk = {
  version: '2023-10-01',
  inPath: encodeURIComponent,
  nothing: '',
  headers(sent) {
    // It takes one character too many off the front.
    const parts = signed({ ...sent, target: sent.target.slice(1) }, sent.authority, new Date().toUTCString());
    return [
      ['Host', sent.authority],
      ...(sent.hasBody ? ([['Content-Type', 'application/json']] as [string, string][]) : []),
      ['Accept', 'application/json'],
      ['Content-Length', String(sent.body.length)],
      ['x-ms-client-request-id', sent.requestId],
      ['User-Agent', 'azsdk-python-communication-identity/1.5.0 Python/3.11.7 (Linux-6.12.0)'],
      ...Object.entries(parts),
      ['x-ms-return-client-request-id', 'true'],
      ['Accept-Encoding', 'gzip, deflate'],
    ];
  },
};

const SDKS: Record<string, Sdk> = {
  '.NET 1.0.0': dotnet('1.0.0', '2021-03-07', 'first'),
  '.NET 1.3.1': dotnet('1.3.1', '2023-10-01', 'published'),
  '.NET 1.4.0-beta.1': dotnet('1.4.0-beta.1', '2025-03-02-preview', 'published'),
  '.NET, as it is generated now': dotnet('1.3.1', '2026-09-23', 'next'),
  'Java 1.4': java,
  'Python 1.5 over plain HTTP': pythonOverHttp,
};

for (const [name, sdk] of Object.entries(SDKS)) {
  describe(`the life of an identity in the requests of ${name}`, () => {
    let server: TestServer;
    shareServer((started) => {
      server = started;
    });

    async function call({ method, path, id, verb = '', body }: Call, key = server.key): Promise<RawAnswer> {
      const target = `${path}${id === undefined ? '' : `/${sdk.inPath(id)}`}${verb}?api-version=${sdk.version}`;
      const isEmpty = body !== undefined && Object.keys(body).length === 0;
      const text = body === undefined ? '' : isEmpty ? sdk.nothing : JSON.stringify(body);
      const sent: Written = {
        method,
        target,
        authority: server.host,
        body: text,
        hasBody: body !== undefined,
        key,
        requestId: REQUEST_ID,
      };
      const headers = [...sdk.headers(sent), ['Connection', 'close'] as [string, string]];
      const answer = await sendRaw(server.port, requestText(`${method} ${target}`, headers, text));
      assert.equal(answer.headers['x-ms-client-request-id'], REQUEST_ID);
      return answer;
    }

    const create = (body: object = {}, key = server.key) => call({ method: 'POST', path: '/identities', body }, key);
    const issue = (id: string, body: object) =>
      call({ method: 'POST', path: '/identities', id, verb: '/:issueAccessToken', body });
    const revoke = (id: string) => call({ method: 'POST', path: '/identities', id, verb: '/:revokeAccessTokens' });
    const remove = (id: string) => call({ method: 'DELETE', path: '/identities', id });
    const isAccepted = async (token: string) => (await server.asUser(token)).status === 200;

    async function givenIdentity(): Promise<string> {
      const { status, body } = await create();
      assert.equal(status, 201, body);
      return JSON.parse(body).identity.id;
    }

    /** Generated clients take one status for a success, and read nothing of an answer without a body. */
    function assertNothing({ status, headers, body }: RawAnswer): void {
      assert.deepEqual([status, body, headers['content-type']], [204, '', undefined]);
    }

    function assertRefused({ status, body }: RawAnswer, expected: number, code: string): void {
      assert.equal(status, expected, body);
      assert.equal(JSON.parse(body).error.code, code);
    }

    test('creates with nothing', async () => {
      const { status, headers, body } = await create();
      assert.equal(status, 201);
      assert.equal(headers['content-type'], 'application/json; charset=utf-8');
      assert.deepEqual(Object.keys(JSON.parse(body)), ['identity']);
    });

    test('creates with a token', async () => {
      const { status, body } = await create({ createTokenWithScopes: ['chat', 'voip'] });
      const { identity, accessToken } = JSON.parse(body);
      assert.equal(status, 201);
      assert.match(accessToken.expiresOn, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/);
      const claims = JSON.parse(Buffer.from(accessToken.token.split('.')[1], 'base64url').toString());
      assert.equal(`8:${claims.skypeid}`, identity.id);
      assert.equal(claims.acsScope, 'chat,voip');
    });

    test('issues, revokes and issues anew', async () => {
      const id = await givenIdentity();
      const first = JSON.parse((await issue(id, { scopes: ['voip'] })).body).token;
      assert.ok(await isAccepted(first));
      assertNothing(await revoke(id));
      assert.ok(!(await isAccepted(first)));
      const { status, body } = await issue(id, { scopes: ['voip'] });
      assert.equal(status, 200);
      assert.ok(await isAccepted(JSON.parse(body).token));
    });

    test('deletes, and once more', async () => {
      const id = await givenIdentity();
      const { token } = JSON.parse((await issue(id, { scopes: ['chat'] })).body);
      assertNothing(await remove(id));
      assert.ok(!(await isAccepted(token)));
      assertNothing(await remove(id));
    });

    if (sdk.version >= '2025-03-02-preview') {
      test('creates for a custom id, which leads to the same identity again and is told with it', async () => {
        const first = await create({ customId: 'alice@example.org' });
        assert.equal(first.status, 201, first.body);
        const { identity } = JSON.parse(first.body);
        assert.equal(identity.customId, 'alice@example.org');
        const again = await create({
          customId: 'alice@example.org',
          createTokenWithScopes: ['chat'],
          expiresInMinutes: 60,
        });
        assert.equal(again.status, 201, again.body);
        assert.equal(JSON.parse(again.body).identity.id, identity.id);

        const shown = await call({ method: 'GET', path: '/identities', id: identity.id });
        assert.equal(shown.status, 200, shown.body);
        const { id, customId, lastTokenIssuedAt } = JSON.parse(shown.body);
        assert.deepEqual([id, customId], [identity.id, 'alice@example.org']);
        assert.match(lastTokenIssuedAt, /^\d{4}-\d\d-\d\dT.*\+00:00$/);
      });
    }

    test('is told what is wrong', async () => {
      const id = await givenIdentity();
      const nowhere = '00000000-0000-0000-0000-000000000000';
      assertRefused(await issue(id, { scopes: [] }), 400, 'ValidationError');
      assertRefused(await remove(`8:acs:${nowhere}_${nowhere}`), 401, 'IdentityNotOwned');
      assertRefused(await create({}, Buffer.alloc(64).toString('base64')), 401, 'Denied');
      if (sdk.version >= '2022-10-01')
        assertRefused(await issue(id, { scopes: ['chat'], expiresInMinutes: 59 }), 400, 'ValidationError');
    });
  });
}
