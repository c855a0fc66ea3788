import assert from 'node:assert/strict';
import { createPrivateKey, createSecretKey, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Route } from '../../src/http/route.ts';
import { unseal } from '../../src/secrets/envelope.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { type Rows, sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { cli } from '../harness/cli.ts';
import { describedRoutes } from '../harness/described.ts';
import { type Answer, type Sent, send } from '../harness/http.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { unusedId } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { Canaries, type Hit } from '../harness/secrets/canaries.ts';
import { WatchedServer } from '../harness/secrets/watched-server.ts';
import { sign } from '../harness/sign.ts';

/** How often every route is asked with every secret in every place; 12 for a release: `npm run harness -- secrets`. */
const ROUNDS = Number(process.env.TEST_SECRETS_ROUNDS ?? 1);
const SEED = Number(process.env.TEST_SECRETS_SEED ?? Date.now() % 1_000_000);
const AGENT = join(import.meta.dirname, '../harness/secrets/agent-logging-headers.ts');
const PLACE = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/canary';
const SERVICE = `${PLACE}/providers/Microsoft.Communication/communicationServices/canary`;
const VERSION = '?api-version=2026-03-18';

const NO_ANSWER = { headers: {}, body: '' };

/** What hands a secret to its owner, who asked for it. */
const HANDS_OUT: readonly string[] = [
  'createIdentity',
  'issueAccessToken',
  'issueToken',
  'listKeys',
  'regenerateKey',
  'signInOperator',
];

const ROUTES: Route[] = describedRoutes('production');

type Secrets = Readonly<Record<'accessKey' | 'token' | 'operatorKey' | 'kek', string>>;

/** A server in production mode, everybody's secrets, and everything that came out of the server. */
class Listener {
  readonly canaries = new Canaries();
  readonly random = new Random(SEED);
  readonly server: WatchedServer;
  readonly #kek: string;
  readonly #operatorKey: string;
  #secrets: Secrets | undefined;
  hits: Hit[] = [];
  asked = 0;

  constructor(server: WatchedServer, kek: string, operatorKey: string) {
    this.server = server;
    this.#kek = kek;
    this.#operatorKey = operatorKey;
    this.canaries.add('key-encryption key', Buffer.from(kek, 'base64'));
    this.canaries.add('operator key', operatorKey);
  }

  get secrets(): Secrets {
    if (!this.#secrets) throw new Error('not prepared');
    return this.#secrets;
  }

  /** Makes a resource, an identity and a token, whose secrets are looked for after this. */
  async prepare(): Promise<void> {
    await this.#asOperator('PUT', `${PLACE}${VERSION}`, { location: 'global' });
    await this.#asOperator('PUT', `${SERVICE}${VERSION}`, {
      location: 'global',
      properties: { dataLocation: 'Europe' },
    });
    const keys = (await this.#asOperator('POST', `${SERVICE}/listKeys${VERSION}`)).body;
    for (const slot of ['primaryKey', 'secondaryKey']) this.canaries.add(slot, Buffer.from(keys[slot], 'base64'));
    const made = await this.#asService('POST', '/identities?api-version=2023-10-01', keys.primaryKey, {
      createTokenWithScopes: ['chat', 'voip'],
    });
    const { token } = made.body.accessToken;
    this.canaries.add('token', token.split('.')[2]); // what is before it says who, and proves nothing
    this.#secrets = { accessKey: keys.primaryKey, token, operatorKey: this.#operatorKey, kek: this.#kek };
  }

  /** Every route, with every secret where it belongs and where it does not. */
  async walk(): Promise<void> {
    const { accessKey, token, operatorKey } = this.secrets;
    for (const one of ROUTES.filter(
      ({ operation }) =>
        !['recover', 'deleteCommunicationService', 'deleteResourceGroup', 'regenerateKey'].includes(operation),
    )) {
      const { method, target, body, type } = callOf(one);
      const signed = (key: string) => sign({ method, target, host: this.#host, body, key });
      const [own, strange] = [signed(accessKey), signed(randomBytes(64).toString('base64'))];
      this.canaries.add(`signature ${one.operation}`, signatureIn(own));
      this.canaries.add(`refused signature ${one.operation}`, signatureIn(strange));
      const proofs: Record<string, string>[] = [
        own,
        strange,
        { Authorization: `Bearer ${operatorKey}x` },
        { Authorization: `Bearer ${operatorKey.slice(1)}` },
        { Authorization: `Bearer ${token}` },
        { Authorization: `Bearer ${operatorKey}` },
        {},
        ...misplaced(this.secrets, signed(accessKey)),
      ];
      for (const proof of proofs) {
        const headers = { 'Content-Type': type, ...proof };
        await this.#ask(one.operation, { method, target, headers, ...(body !== undefined && { body }) });
      }
      for (const [name, whole] of Object.entries(this.secrets)) {
        const secret = this.#cut(whole);
        const targets = [
          `${target}${target.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(secret)}`,
          target.replace(/api-version=[^&]*/, `api-version=${encodeURIComponent(secret)}`),
          one.at.split(' ')[1]?.replace(/\{\w+\}/g, encodeURIComponent(secret)) ?? '/',
        ];
        for (const elsewhere of new Set(targets)) {
          const proof = sign({ method, target: elsewhere, host: this.#host, body, key: accessKey });
          for (const own of [proof, { Authorization: `Bearer ${operatorKey}` }])
            await this.#ask(one.operation, {
              method,
              target: elsewhere,
              headers: { 'Content-Type': type, ...own },
              body,
            });
        }
        if (!one.body) continue;
        for (const text of bodiesWith(secret, one)) {
          const proof = sign({ method, target, host: this.#host, body: text, key: accessKey });
          for (const own of [proof, { Authorization: `Bearer ${operatorKey}` }])
            await this.#ask(one.operation, { method, target, headers: { 'Content-Type': type, ...own }, body: text });
        }
      }
    }
    await this.#framing();
  }

  /** Looks through what was written, now that also the keys in the store are known. */
  async lookThrough(rows: Rows): Promise<void> {
    const kek = createSecretKey(Buffer.from(this.#kek, 'base64'));
    const dataKeys = new Map<string, Buffer>();
    for (const { id, sealed } of await rows.all<{ id: string; sealed: string }>(
      sql`select id, sealed from data_keys`,
    )) {
      const bytes = unseal(kek, sealed, { table: 'data_keys', column: 'sealed', row: id, version: 1 });
      assert.ok(bytes);
      this.canaries.add(`data key ${id}`, bytes);
      dataKeys.set(id, bytes);
    }
    const signing = await rows.all<{ kid: string; sealed: string }>(
      sql`select kid, sealed from signing_keys where sealed is not null`,
    );
    for (const { kid, sealed } of signing) {
      const [id = '', text = ''] = sealed.split('.');
      const place = { table: 'signing_keys', column: 'sealed', row: kid, version: 1 };
      const der = unseal(createSecretKey(dataKeys.get(id) ?? Buffer.alloc(32)), text, place);
      assert.ok(der);
      this.canaries.addPrivateKey(`signing key ${kid}`, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    }
    this.hits.push(...this.canaries.in('standard output', this.server.stdout));
    this.hits.push(...this.canaries.in('the log', this.server.stderr));
  }

  /** What the parser refuses, and what a proxy in front might have done to a request. */
  async #framing(): Promise<void> {
    const { accessKey, token, operatorKey } = this.secrets;
    for (const secret of [accessKey, token, operatorKey]) {
      const host: [string, string] = ['Connection: close\r\nHost', this.#host];
      const texts = [
        requestText(`GET /-/whoami?${secret}`, [
          host,
          ['Authorization', `Bearer ${secret}`],
          ['Authorization', secret],
        ]),
        requestText('POST /identities', [host, ['Authorization', secret], ['Content-Length', secret]]),
        requestText('GET /', [['Connection: close\r\nHost', secret.replace(/[^\w.]/g, '')]]),
        requestText(secret, [host]),
        requestText('GET /', [host, [secret.replace(/[^\w]/g, ''), secret]]),
        requestText('GET /', [host, ['Transfer-Encoding', secret]]),
        requestText('GET /', [host, ['Expect', secret]]),
        Buffer.from(`${secret}\r\n\r\n`),
      ];
      for (const text of texts) {
        const { headers, body } = await sendRaw(this.server.port, text, 1000).catch(() => NO_ANSWER);
        this.asked += 1;
        this.hits.push(...this.canaries.in('an answer to bad framing', JSON.stringify(headers) + body));
      }
    }
  }

  /** A secret as it is, or what is left of one that was pasted badly. */
  #cut(secret: string): string {
    const { random } = this;
    const [from, more] = [random.below(secret.length - 40), random.pick(['', 'x', ' ', '"'])];
    return random.pick([secret, secret.slice(0, -3), secret.slice(from), `${more}${secret}`, `${secret}${more}`]);
  }

  get #host(): string {
    return `localhost:${this.server.port}`;
  }

  async #ask(operation: string, request: Sent): Promise<Answer> {
    const answer = await send(this.server.port, request);
    this.asked += 1;
    const where = `the answer of ${operation} ${answer.status}`;
    const handsOut = answer.status < 400 && HANDS_OUT.includes(operation);
    const hits = this.canaries.in(where, JSON.stringify(answer.headers) + (handsOut ? '' : answer.text));
    if (hits.length > 0) this.hits.push(...withoutEcho(hits, this.canaries, request));
    return answer;
  }

  async #asOperator(method: string, target: string, body?: object): Promise<Answer> {
    const headers = { Authorization: `Bearer ${this.#operatorKey}`, 'Content-Type': 'application/json' };
    return succeeded(await send(this.server.port, { method, target, headers, body: body && JSON.stringify(body) }));
  }

  async #asService(method: string, target: string, key: string, body: object): Promise<Answer> {
    const text = JSON.stringify(body);
    const headers = {
      'Content-Type': 'application/json',
      ...sign({ method, target, host: this.#host, body: text, key }),
    };
    return succeeded(await send(this.server.port, { method, target, headers, body: text }));
  }
}

/** What a caller wrote into a name, a version or a request id may come back to that caller; what proves something may not. */
function withoutEcho(hits: Hit[], canaries: Canaries, { target, headers, body }: Sent): Hit[] {
  const { Authorization: _, ...others } = headers ?? {};
  const texts = [decodeURIComponent(target), JSON.stringify(others), String(body)];
  const sent = new Set(canaries.in('the request', texts.join('\n')).map(({ secret }) => secret));
  return hits.filter(({ secret }) => !sent.has(secret));
}

function succeeded(answer: Answer): Answer {
  if (answer.status >= 300) throw new Error(`${answer.status} ${answer.text}`);
  return answer;
}

/** Method, target and body of a call that would be a good one. */
function callOf({ at, versions, body }: Route): { method: string; target: string; body?: string; type: string } {
  const [method = '', path = ''] = at.split(' ');
  const filled = path
    .replace('{subscription}/resourceGroups/{group}', PLACE.slice('/subscriptions/'.length))
    .replace('{subscription}', '00000000-0000-0000-0000-000000000001')
    .replace('{name}', 'canary')
    .replace('{id}', encodeURIComponent(unusedId()));
  const version = versions?.at(-1);
  const form = body?.kind === 'form';
  return {
    method,
    target: version ? `${filled}?api-version=${version}` : filled,
    ...(body && { body: form ? 'token=x' : '{"scopes":["chat"]}' }),
    type: form ? 'application/x-www-form-urlencoded' : 'application/json',
  };
}

const signatureIn = ({ Authorization = '' }: Record<string, string>): Buffer =>
  Buffer.from(Authorization.split('&Signature=')[1] ?? '', 'base64');

/** Secrets in headers where they do not belong. */
const misplaced = (
  { accessKey, token, operatorKey, kek }: Secrets,
  signed: Record<string, string>,
): Record<string, string>[] => [
  { Authorization: `Bearer ${accessKey}` },
  { Authorization: `Basic ${Buffer.from(`x:${operatorKey}`).toString('base64')}` },
  { Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${accessKey}` },
  { Authorization: `HMAC-SHA256 ${token}` },
  { Authorization: operatorKey },
  { ...signed, 'x-ms-date': accessKey },
  { ...signed, 'x-ms-content-sha256': accessKey },
  { ...signed, 'x-ms-client-request-id': token },
  { ...signed, 'x-ms-client-request-id': accessKey },
  {
    ...signed,
    Cookie: `session=${token}`,
    'x-api-key': accessKey,
    'User-Agent': operatorKey,
    Referer: `https://x/?${token}`,
  },
  { ...signed, Origin: `https://${operatorKey}` },
  { ...signed, 'Content-Type': accessKey },
  { ...signed, 'Content-Encoding': kek },
];

/** Secrets in bodies: in members of the right name and the wrong one, and where no JSON is. */
function bodiesWith(secret: string, { body }: Route): string[] {
  if (body?.kind === 'form')
    return [`token=${encodeURIComponent(secret)}`, `${secret}=x`, `client_secret=${secret}`, secret];
  return [
    JSON.stringify({ scopes: [secret], createTokenWithScopes: [secret], keyType: secret, name: secret, type: secret }),
    JSON.stringify({
      tokensValidFrom: secret,
      location: 1,
      properties: secret,
      tags: secret,
      expiresInMinutes: secret,
    }),
    JSON.stringify({ [secret]: secret }),
    `{"scopes":["${secret}"`,
    secret,
  ];
}

interface Ran {
  readonly listener: Listener;
  readonly hits: readonly Hit[];
}

/** Starts a server, walks through it, and looks through everything that came out. */
async function run(t: TestContext, store: (typeof STORES)[number], env: Record<string, string> = {}): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-leaks-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const url = store === 'postgres' ? await freshDatabase(t) : undefined;
  const [kek, operatorKey] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64url')];
  const server = await WatchedServer.start({
    LINARITE_MODE: 'production',
    LINARITE_DATA: folder,
    LINARITE_PUBLIC_URL: 'https://acs.example.org',
    LINARITE_KEK: kek,
    LINARITE_OPERATOR_KEY: operatorKey,
    ...(url && { LINARITE_DATABASE_URL: url }),
    ...env,
  });
  t.after(() => server.stop('SIGKILL'));
  const listener = new Listener(server, kek, operatorKey);
  if (url) listener.canaries.add('database password', new URL(url).password);
  await listener.prepare();
  for (let round = 0; round < ROUNDS; round += 1) await listener.walk();
  await server.stop();
  const db = url ? await openPostgres(url) : openSqlite(join(folder, 'linarite.db'));
  await listener.lookThrough(db.rows);
  await db.close();
  return { listener, hits: listener.hits };
}

describe('no secret comes out of the server, at the most verbose level,', () => {
  for (const store of STORES) {
    test(`on ${store}, whatever is asked and however`, async (t) => {
      const { listener, hits } = await run(t, store);
      const unique = [...new Set(hits.map(({ where, secret, form }) => `${secret} in ${where} as ${form}`))];
      assert.deepEqual(unique, [], `seed ${SEED}`);
      assert.ok(listener.server.logLines.length > listener.asked / 2, 'the log was there to be looked through');

      const planted = await run(t, store, { NODE_OPTIONS: `--import=${AGENT}` });
      const found = new Set(planted.hits.filter(({ where }) => where === 'the log').map(({ secret }) => secret));
      assert.ok(found.has('token') && found.has('operator key'), [...found].join());

      const figures = {
        requests: listener.asked,
        secrets: listener.canaries.count,
        bytesOfLog: listener.server.stderr.length,
        hits: hits.length,
      };
      t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
      writeResult({
        id: store === 'sqlite' ? 'S1' : 'S1-postgres',
        seed: SEED,
        figures,
        passed: true,
        planted: found.size > 0,
      });
    });
  }

  test('when it cannot start', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'linarite-leaks-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const secret = randomBytes(33).toString('base64url');
    const canaries = new Canaries();
    canaries.add('it', secret);
    const starts: Record<string, string>[] = [
      { LINARITE_KEK: secret },
      { LINARITE_OPERATOR_KEY: `${secret}\u00e9` },
      { LINARITE_DATABASE_URL: `postgres://u:${secret}@127.0.0.1:1/x` },
      { LINARITE_DATABASE_URL: `mysql://u:${secret}@127.0.0.1:1/x` },
      { LINARITE_KEK_COMMAND: `${process.execPath} -e console.log('${secret}')` },
      { LINARITE_KEK_COMMAND: `/nonexistent ${secret}` },
      { LINARITE_KEK: randomBytes(32).toString('base64'), LINARITE_KEK_FILE: secret },
    ];
    for (const env of starts) {
      const { code, stdout, stderr } = await cli([], { env: { LINARITE_DATA: folder, LINARITE_PORT: '0', ...env } });
      assert.notEqual(code, 0, Object.keys(env).join());
      assert.deepEqual(canaries.in('output', stdout + stderr), [], stderr);
    }
  });
});
