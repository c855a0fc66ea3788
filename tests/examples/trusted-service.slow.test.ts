import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  buildCopy,
  copyExample,
  demoUsers,
  EXAMPLE,
  environmentFor,
  type RunningService,
  startService,
} from '../harness/examples/trusted-service.ts';
import { inPath } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const run = promisify(execFile);
const [ada, grace, lobby1, lobby2] = demoUsers(readFileSync(join(EXAMPLE, 'README.md'), 'utf8'));
assert.ok(ada && grace && lobby1 && lobby2, 'the README has a table of users');

let server: TestServer;
let service: RunningService;
const folder = mkdtempSync(join(tmpdir(), 'linarite-trusted-service-'));

const environment = (more: Record<string, string>) => ({ ...environmentFor(server), ...more });

const start = (more: Record<string, string>) =>
  startService(process.execPath, ['server.mjs'], folder, environment(more));

/** Runs a program of the example that ends by itself. */
const runToEnd = (file: string, args: string[], more: Record<string, string> = {}) => {
  const work = run(process.execPath, [file, ...args], { cwd: folder, env: environment(more) });
  work.child.stdin?.end('a long enough password\n');
  return work.then(
    ({ stdout }) => ({ code: 0, said: stdout }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, said: stderr }),
  );
};

shareServer(async (started) => {
  server = started;
  copyExample(folder);
  buildCopy(folder);
  service = await start({});
});
after(async () => {
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Asked {
  cookie?: string;
  origin?: string | undefined;
  type?: string;
  at?: RunningService;
}

/** Posts as the page does, unless told otherwise. */
async function post(path: string, body: object, { cookie, at = service, type, ...more }: Asked = {}) {
  const origin = 'origin' in more ? more.origin : at.origin;
  const response = await fetch(`${at.origin}${path}`, {
    method: 'POST',
    headers: {
      'Content-Type': type ?? 'application/json',
      ...(origin !== undefined && { Origin: origin }),
      ...(cookie !== undefined && { Cookie: cookie }),
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const setCookie = response.headers.get('set-cookie') ?? '';
  return {
    status: response.status,
    body: text === '' ? {} : JSON.parse(text),
    setCookie,
    cookie: setCookie.split(';')[0] ?? '',
    retryAfter: Number(response.headers.get('retry-after')),
  };
}

async function signedIn({ name, password }: { name: string; password: string }, at = service): Promise<string> {
  const { status, cookie, body } = await post('/api/login', { name, password }, { at });
  assert.equal(status, 204, JSON.stringify(body));
  return cookie;
}

async function tokenOf(cookie: string, body: object = {}): Promise<string> {
  const answer = await post('/api/token', body, { cookie });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body.token;
}

/** Who the server says the bearer is. */
async function bearer(token: string): Promise<{ id: string; scopes: string[] }> {
  const { status, body } = await server.asUser(token);
  assert.equal(status, 200);
  return { id: body.identity.id, scopes: body.scopes };
}

/** Whose session it is. */
async function userOf(cookie: string): Promise<string | undefined> {
  const response = await fetch(`${service.origin}/api/me`, { headers: { Cookie: cookie } });
  const { user } = (await response.json()) as { user: { name: string } | null };
  return user?.name;
}

describe('signing in', () => {
  test('gives a cookie that no script reads and no other site sends', async () => {
    const { setCookie } = await post('/api/login', { name: ada.name, password: ada.password });
    assert.match(setCookie, /^trusted-service=[\w-]{22}; Path=\/; Max-Age=28800; HttpOnly; SameSite=Strict$/);
  });

  test('with a wrong password or an unknown name gives the same words and no cookie', async () => {
    for (const name of [ada.name, 'nobody', 'constructor', '']) {
      const { status, body, setCookie } = await post('/api/login', { name, password: 'wrong' });
      assert.deepEqual([status, body.error, setCookie], [401, 'The name or the password is wrong.', ''], name);
    }
  });

  test('that is no name and password is answered 400', async () => {
    for (const body of [
      {},
      { name: 'ada' },
      { name: ['ada'], password: 'x' },
      { name: 'ada', password: 'x'.repeat(2000) },
    ])
      assert.equal((await post('/api/login', body)).status, 400, JSON.stringify(body).slice(0, 80));
    assert.equal((await post('/api/login', { name: 'x'.repeat(20_000) })).status, 413);
  });

  test('again and again with wrong passwords is refused, then also with the right one', async () => {
    const at = await start({ DATA_FOLDER: join(folder, 'throttled') });
    try {
      const attempt = (password: string) => post('/api/login', { name: ada.name, password }, { at });
      const answers = await Promise.all(Array.from({ length: 7 }, (_, index) => attempt(`wrong-${index}`)));
      assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(5).fill(401), 429, 429]);
      const { status, setCookie, retryAfter } = await attempt(ada.password);
      assert.deepEqual([status, setCookie], [429, '']);
      assert.ok(retryAfter > 0 && retryAfter <= 900, `${retryAfter}`);
      await signedIn(lobby1, at);
    } finally {
      await at.stop();
    }
  });

  test('anew ends the session before', async () => {
    const first = await signedIn(ada);
    const { cookie } = await post('/api/login', { name: ada.name, password: ada.password }, { cookie: first });
    assert.deepEqual([await userOf(first), await userOf(cookie)], [undefined, 'ada']);
  });
});

describe('a request from another page', () => {
  test('does nothing, though it carries the cookie', async () => {
    const cookie = await signedIn(ada);
    const token = await tokenOf(cookie);
    const { host } = new URL(service.origin);
    for (const origin of [
      undefined,
      'null',
      'https://evil.example',
      'http://localhost',
      `https://${host}`,
      `http://${host}.evil.example`,
    ]) {
      for (const path of ['/api/sign-out-everywhere', '/api/logout', '/api/token', '/api/login']) {
        const { status, body, setCookie } = await post(path, {}, { cookie, origin });
        assert.deepEqual([status, setCookie, body.token], [403, '', undefined], `${origin} ${path}`);
      }
    }
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
      assert.equal((await post('/api/sign-out-everywhere', {}, { cookie, type })).status, 415, type);
    assert.equal(await userOf(cookie), 'ada');
    assert.equal((await server.asUser(token)).status, 200);
  });

  test('by GET finds nothing that changes anything', async () => {
    for (const path of ['token', 'logout', 'sign-out-everywhere', 'login'])
      assert.equal((await fetch(`${service.origin}/api/${path}`)).status, 404, path);
  });
});

describe('the identity', () => {
  test('of a customer is the same in every session, and the token permits joining only', async () => {
    const [one, other] = await Promise.all([signedIn(ada), signedIn(ada)]);
    const found = await bearer(await tokenOf(one));
    assert.deepEqual(found.scopes, ada.scopes);
    assert.deepEqual(await bearer(await tokenOf(other)), found);
  });

  test('of an agent is another for each inbox, and there is none for the inbox of somebody else', async () => {
    const cookie = await signedIn(grace);
    const [sales, support] = await Promise.all(
      ['sales', 'support'].map(async (inbox) => bearer(await tokenOf(cookie, { inbox }))),
    );
    assert.deepEqual([sales?.scopes, support?.scopes], [grace.scopes, grace.scopes]);
    assert.notEqual(sales?.id, support?.id);
    for (const inbox of ['claims', undefined, '', null, ['sales'], 'constructor'])
      assert.equal((await post('/api/token', { inbox }, { cookie })).status, 403, `${inbox}`);
  });

  test('of all kiosks in the lobby is one, and the token permits writing only', async () => {
    const one = await bearer(await tokenOf(await signedIn(lobby1)));
    const other = await bearer(await tokenOf(await signedIn(lobby2)));
    assert.deepEqual(one, other);
    assert.deepEqual(one.scopes, lobby1.scopes);
  });

  test('is made once when many ask at once', async () => {
    const at = await start({ DATA_FOLDER: join(folder, 'many') });
    try {
      const cookie = await signedIn(ada, at);
      const answers = await Promise.all(Array.from({ length: 10 }, () => post('/api/token', {}, { cookie, at })));
      const tokens = answers.map(({ body }) => body.token);
      assert.equal(new Set(tokens).size, 1);
      const made = Object.values(JSON.parse(readFileSync(join(folder, 'many/identities.json'), 'utf8')));
      assert.deepEqual(made, [(await bearer(tokens[0])).id]);
    } finally {
      await at.stop();
    }
  });

  test('that the server knows no more is replaced', async () => {
    const cookie = await signedIn(lobby2);
    const token = await tokenOf(cookie);
    const { id } = await bearer(token);
    await server.asService(`DELETE ${inPath(id)}`);
    const next = await bearer(await tokenOf(cookie, { refused: token }));
    assert.notEqual(next.id, id);
  });
});

describe('the kept token', () => {
  test('is handed out again, and stands nowhere in clear', async () => {
    const cookie = await signedIn(ada);
    const token = await tokenOf(cookie);
    assert.equal(await tokenOf(cookie), token);
    for (const file of ['token-cache.json', 'identities.json']) {
      const path = join(folder, 'data', file);
      assert.equal(statSync(path).mode & 0o777, 0o600, file);
      const text = readFileSync(path, 'utf8');
      for (const part of token.split('.')) assert.ok(!text.includes(part), file);
    }
  });

  test('outlives a restart, with the same key only', async () => {
    const cookie = await signedIn(ada);
    const token = await tokenOf(cookie);
    for (const [key, same] of [
      [Buffer.alloc(32, 7), true],
      [Buffer.alloc(32, 8), false],
    ] as const) {
      const at = await start({ TOKEN_CACHE_KEY: key.toString('base64') });
      try {
        const { body } = await post('/api/token', {}, { cookie: await signedIn(ada, at), at });
        assert.equal(body.token === token, same);
        await bearer(body.token);
      } finally {
        await at.stop();
      }
    }
  });

  test('is let go of when the server refuses it, and for no other reason', async () => {
    const cookie = await signedIn(lobby1);
    const token = await tokenOf(cookie);
    assert.equal(await tokenOf(cookie, { refused: 'another' }), token);
    await server.asService(`POST ${inPath((await bearer(token)).id)}/:revokeAccessTokens`);
    assert.equal(await tokenOf(cookie), token, 'nobody told the service');
    const next = await tokenOf(cookie, { refused: token });
    assert.notEqual(next, token);
    assert.equal((await server.asUser(next)).status, 200);
    assert.equal(await tokenOf(cookie, { refused: token }), next);
  });

  interface Cache {
    find(id: string, scopes: readonly string[]): { token: string } | undefined;
    keep(id: string, scopes: readonly string[], token: { token: string; expiresOn: number }): void;
    drop(id: string): void;
  }
  type CacheClass = new (file: string, key: Buffer, now?: () => number) => Cache;

  test('is read for its identity, scopes and time only', async () => {
    const { TokenCache } = (await import(join(EXAMPLE, 'token-cache.mjs'))) as { TokenCache: CacheClass };
    const { writePrivate } = (await import(join(EXAMPLE, 'private-file.mjs'))) as {
      writePrivate(file: string, value: unknown): void;
    };
    const file = join(folder, 'cache.json');
    const key = Buffer.alloc(32, 1);
    let now = 0;
    const open = (with_ = key) => new TokenCache(file, with_, () => now);
    open().keep('a', ['chat'], { token: 'secret', expiresOn: 3_600_000 });
    open().keep('b', ['chat'], { token: 'other', expiresOn: 3_600_000 });
    assert.equal(open().find('a', ['chat'])?.token, 'secret');
    assert.equal(open().find('a', ['voip']), undefined);
    assert.equal(open(Buffer.alloc(32, 2)).find('a', ['chat']), undefined);

    const [entry, other] = JSON.parse(readFileSync(file, 'utf8'));
    for (const changed of [
      { ...entry, identityId: 'c' },
      { ...entry, scopes: ['chat', 'voip'] },
      { ...entry, expiresOn: 7_200_000 },
      { ...entry, sealed: other.sealed },
      { ...entry, sealed: entry.sealed.slice(0, 8) },
      { ...entry, sealed: '' },
    ]) {
      writePrivate(file, [changed]);
      assert.equal(open().find(changed.identityId, changed.scopes), undefined, JSON.stringify(changed));
    }

    writePrivate(file, [entry, other]);
    now = 3_600_000 - 15 * 60_000;
    assert.equal(open().find('a', ['chat'])?.token, 'secret');
    now++;
    assert.equal(open().find('a', ['chat']), undefined, 'it ends too soon');
    now = 0;
    open().drop('a');
    assert.deepEqual([open().find('a', ['chat']), open().find('b', ['chat'])?.token], [undefined, 'other']);
  });
});

describe('signing out', () => {
  test('everywhere ends all sessions and tokens of the user, of nobody else, and what is kept', async () => {
    const [here, there, kiosk] = await Promise.all([signedIn(grace), signedIn(grace), signedIn(lobby1)]);
    const tokens = await Promise.all(['sales', 'support'].map((inbox) => tokenOf(here, { inbox })));
    const neighbour = await tokenOf(kiosk);
    const { status, setCookie } = await post('/api/sign-out-everywhere', {}, { cookie: here });
    assert.equal(status, 204);
    assert.match(setCookie, /Max-Age=0/);
    for (const token of tokens) assert.equal((await server.asUser(token)).status, 401);
    for (const cookie of [here, there]) {
      assert.equal(await userOf(cookie), undefined);
      assert.equal((await post('/api/token', { inbox: 'sales' }, { cookie })).status, 401);
    }
    assert.equal((await server.asUser(neighbour)).status, 200);
    assert.equal(await userOf(kiosk), lobby1.name);
    await bearer(await tokenOf(await signedIn(grace), { inbox: 'sales' }));
  });

  test('everywhere leaves no token that was asked for at the same moment', async () => {
    let cookie = await signedIn(ada);
    for (let round = 0; round < 4; round++) {
      const ask = () => post('/api/token', {}, { cookie });
      const before = [ask(), ask()];
      const ending = post('/api/sign-out-everywhere', {}, { cookie });
      const answers = await Promise.all([...before, ask(), ask()]);
      assert.equal((await ending).status, 204);
      for (const { status, body } of answers) {
        if (status === 200) assert.equal((await server.asUser(body.token)).status, 401);
        else assert.equal(status, 401);
      }
      cookie = await signedIn(ada);
      await bearer(await tokenOf(cookie));
    }
  });

  test('here ends this session and leaves the other devices alone', async () => {
    const [here, there] = await Promise.all([signedIn(ada), signedIn(ada)]);
    const token = await tokenOf(there);
    assert.equal((await post('/api/logout', {}, { cookie: here })).status, 204);
    assert.deepEqual([await userOf(here), await userOf(there)], [undefined, 'ada']);
    assert.equal((await server.asUser(token)).status, 200);
  });
});

describe('the service', () => {
  test('works with a connection string too', async () => {
    const at = await start({
      AZURE_COMMUNICATION_CONNECTION_STRING: server.connectionString,
      IDENTITY_ENDPOINT: '',
      IDENTITY_HEADER: '',
      DATA_FOLDER: join(folder, 'by-key'),
    });
    try {
      const { body } = await post('/api/token', {}, { cookie: await signedIn(ada, at), at });
      assert.deepEqual((await bearer(body.token)).scopes, ada.scopes);
    } finally {
      await at.stop();
    }
  });

  test('says so when the server does not help, and no more', async () => {
    const at = await start({
      AZURE_COMMUNICATION_CONNECTION_STRING: server.connectionString.replace(
        /accesskey=.*/,
        `accesskey=${Buffer.alloc(64).toString('base64')}`,
      ),
      DATA_FOLDER: join(folder, 'wrong-key'),
    });
    try {
      const { status, body } = await post('/api/token', {}, { cookie: await signedIn(ada, at), at });
      assert.deepEqual(
        [status, body.error],
        [502, 'The token server did not do it. The log of this service says why.'],
      );
    } finally {
      await at.stop();
    }
  });

  test('does not start without what it needs, and says what that is', async () => {
    for (const [more, says] of [
      [{ AZURE_COMMUNICATION_ENDPOINT: '' }, /AZURE_COMMUNICATION_ENDPOINT is not set/],
      [{ TOKEN_CACHE_KEY: '' }, /TOKEN_CACHE_KEY must be 32 random bytes/],
      [{ BROWSER_ENDPOINT: 'localhost:7417' }, /BROWSER_ENDPOINT is no address/],
      [{ PORT: 'x' }, /PORT is no port/],
      [{ PUBLIC_URL: 'https://shop.example' }, /Set USERS_FILE to users of your own/],
    ] as const) {
      const { code, said } = await runToEnd('server.mjs', [], more);
      assert.equal(code, 2, said);
      assert.match(said, says);
    }
  });

  test('under an address of its own has users of its own, and cookies for https', async () => {
    const more = { USERS_FILE: join(folder, 'own/users.json'), PUBLIC_URL: 'https://shop.example' };
    for (const args of [
      ['linus', 'customer'],
      ['joan', 'agent', '--inboxes=sales,claims'],
      ['gate-1', 'kiosk', '--site=gate'],
    ])
      assert.equal((await runToEnd('add-user.mjs', args, more)).code, 0, args.join(' '));
    for (const args of [['Linus', 'customer'], ['linus', 'king'], ['joan', 'agent'], ['gate-1', 'kiosk'], []])
      assert.equal((await runToEnd('add-user.mjs', args, more)).code, 2, args.join(' '));
    const port = await freePort();
    const at = await start({ ...more, PORT: `${port}`, DATA_FOLDER: join(folder, 'own') });
    try {
      const attempt = (origin: string) =>
        fetch(`http://localhost:${port}/api/login`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Origin: origin },
          body: JSON.stringify({ name: 'linus', password: 'a long enough password' }),
        });
      const { status, headers } = await attempt('https://shop.example');
      assert.equal(status, 204);
      assert.match(headers.get('set-cookie') ?? '', /^__Host-trusted-service=.+; HttpOnly; SameSite=Strict; Secure$/);
      assert.equal(headers.get('strict-transport-security'), 'max-age=31536000');
      assert.equal((await attempt(`http://localhost:${port}`)).status, 403);
    } finally {
      await at.stop();
    }
  });
});

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, 'localhost');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  return port;
}
