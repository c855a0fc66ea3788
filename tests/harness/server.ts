import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Clock } from '../../src/lib/clock.ts';
import type { Log, LogLevel } from '../../src/monitoring/log.ts';
import { type Server, startServer } from '../../src/server.ts';
import { readSettings } from '../../src/settings.ts';
import { type Answer, type Sent, send } from './http.ts';
import { freshDatabase } from './postgres.ts';
import { sign } from './sign.ts';
import { templateFolder } from './template.ts';

export const API_VERSION = '2023-10-01';

/** A clock that moves when it is told to. */
export class TestClock implements Clock {
  #now: number;
  constructor(now = Date.now()) {
    this.#now = now;
  }
  now(): number {
    return this.#now;
  }
  elapsed(): number {
    return this.#now;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

export interface Line {
  level: LogLevel;
  message: string;
  facts: Readonly<Record<string, unknown>>;
}

/** A log that keeps its lines. */
export class TestLog implements Log {
  readonly lines: Line[] = [];
  readonly dropped = 0;
  write(level: LogLevel, message: string, facts: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level, message, facts });
  }
  keeps(): boolean {
    return true;
  }
  flushSync(): void {}
  async drain(): Promise<void> {}
}

interface Options {
  /** Settings, by their environment variables. */
  env?: Record<string, string>;
  clock?: Clock;
  /** `postgres` gives the server a database of its own there. */
  store?: 'sqlite' | 'postgres';
  /** A data folder to go on with; it is not removed. */
  folder?: string;
}

/** A running server and a client that signs. */
export class TestServer {
  readonly server: Server;
  readonly log: TestLog;
  readonly folder: string;
  readonly #clock: Clock | undefined;
  /** The primary access key of the development resource. */
  key: string;

  constructor(server: Server, log: TestLog, folder: string, clock: Clock | undefined) {
    this.server = server;
    this.log = log;
    this.folder = folder;
    this.#clock = clock;
    this.key = /accesskey=(.+)$/.exec(server.connectionString ?? '')?.[1] ?? '';
  }

  get port(): number {
    return this.server.port;
  }

  get host(): string {
    return `localhost:${this.port}`;
  }

  get connectionString(): string {
    return this.server.connectionString ?? '';
  }

  send(request: Sent): Promise<Answer> {
    return send(this.port, request);
  }

  /**
   * Sends a signed request.
   * @param at method and path, `POST /identities`; `api-version` is added when there is none
   */
  asService(
    at: string,
    body?: object | string,
    { key = this.key, headers = {} }: { key?: string; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const [method = '', path = ''] = at.split(' ');
    const target =
      path.includes('api-version=') || path.startsWith('/-/')
        ? path
        : `${path}${path.includes('?') ? '&' : '?'}api-version=${API_VERSION}`;
    const text = typeof body === 'object' ? JSON.stringify(body) : body;
    const date = this.#clock && new Date(this.#clock.now()).toUTCString();
    const signed = sign({ method, target, host: this.host, body: text, key, ...(date !== undefined && { date }) });
    return this.send({
      method,
      target,
      body: text,
      headers: { 'Content-Type': 'application/json', ...signed, ...headers },
    });
  }

  /** Sends a request with a user's token. */
  asUser(token: string, at = 'GET /-/whoami'): Promise<Answer> {
    const [method = '', target = ''] = at.split(' ');
    return this.send({ method, target, headers: { Authorization: `Bearer ${token}` } });
  }

  async givenIdentity(body?: object): Promise<string> {
    const answer = await this.asService('POST /identities', body);
    if (answer.status !== 201) throw new Error(`no identity: ${answer.text}`);
    return answer.body.identity.id;
  }

  async givenToken(id: string, scopes: readonly string[] = ['chat', 'voip'], more: object = {}): Promise<string> {
    const answer = await this.asService(`POST /identities/${encodeURIComponent(id)}/:issueAccessToken`, {
      scopes,
      ...more,
    });
    if (answer.status !== 200) throw new Error(`no token: ${answer.text}`);
    return answer.body.token;
  }
}

/** Starts a server on a free port with a data folder of its own; both are gone after the test. */
export async function startTestServer(
  t: TestContext,
  { env = {}, clock, store = 'sqlite', folder }: Options = {},
): Promise<TestServer> {
  const own = folder ?? mkdtempSync(join(tmpdir(), 'linarite-test-'));
  if (folder === undefined) cpSync(await templateFolder(), own, { recursive: true });
  const database: Record<string, string> =
    store === 'postgres' ? { LINARITE_DATABASE_URL: await freshDatabase(t, folder === undefined) } : {};
  const log = new TestLog();
  const settings = readSettings({
    LINARITE_DATA: own,
    LINARITE_PORT: '0',
    LINARITE_STOP_SECONDS: '1',
    ...database,
    ...env,
  });
  const server = await startServer(settings, { log, ...(clock && { clock }) });
  t.after(async () => {
    await server.close();
    if (folder === undefined) rmSync(own, { recursive: true, force: true });
  });
  return new TestServer(server, log, own, clock);
}
