import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { IdentityId, ServiceCaller } from '../src/callers.ts';
import { DEV_RESOURCE } from '../src/resources/resource.ts';
import { type Server, startServer } from '../src/server.ts';
import { readSettings } from '../src/settings.ts';
import { CONNECTIONS, createIdentities } from './issuing.ts';
import { get, issueRequest, Load, Signer } from './load.ts';
import { interleaved, ownCpuSeconds, ratios, scaled, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { cpuWhile, type ServerProcess, settle, startLinarite } from './server-process.ts';
import { makeFolder } from './workplace.ts';

const MICRO = 1e6;
/** Checks of a known token in one sample, and of a token over HTTP. */
const KNOWN_CHECKS = 100_000;
const WHOAMI_CHECKS = 6000;
const WARM_UP_ROUNDS = 2;

/** What the check of a token costs beside the one RSA operation, and what it costs when that was done before. */
export async function measureCheck({ quick, rounds }: Scale): Promise<Outcome> {
  const count = quick ? 2000 : 3000;
  const server = await startServer(
    readSettings({ LINARITE_DATA: makeFolder('check'), LINARITE_PORT: '0', LINARITE_LOG_LEVEL: 'silent' }),
  );
  const whoami = await Whoami.begin();
  const tokens = await distinctTokens(server, count * (rounds + WARM_UP_ROUNDS));
  const publicKey = createPublicKey(server.keys.active.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const parts = tokens.slice(0, count).map(signedParts);
  const known = tokens[0] ?? '';
  let used = 0;
  const fresh = (): string[] => {
    used += count;
    return tokens.slice(used - count, used);
  };
  const figures = {
    rsa: () => perUnit(count, () => rsaChecks(publicKey, parts)),
    uncached: () => perUnit(count, () => checks(server, fresh())),
    cached: () => perUnit(KNOWN_CHECKS, () => checks(server, repeated(known, KNOWN_CHECKS))),
    http: () => whoami.cpuSecondsPerCheck(),
  };
  await interleaved(WARM_UP_ROUNDS, figures);
  const { rsa, uncached, cached, http } = await interleaved(rounds, figures);
  await whoami.end();
  await server.close();

  return {
    title: 'CPU of one token check ÷ one RSA-2048 verification (crypto.verify, same process)',
    checks: [
      check('token seen before', stat(ratios(cached, rsa)), { most: 0.1 }),
      check('token never seen', stat(ratios(uncached, rsa)), { most: 1.3 }),
    ],
    raw: {
      'crypto.verify of the same tokens, µs': stat(scaled(rsa, MICRO)),
      'check of a token seen before, µs': stat(scaled(cached, MICRO)),
      'check of a token never seen, µs': stat(scaled(uncached, MICRO)),
      'GET /-/whoami over HTTP, server CPU, token seen before, µs': stat(scaled(http, MICRO)),
      'GET /-/whoami ÷ crypto.verify': stat(ratios(http, rsa)),
    },
    notes: [
      `AccessTokens.verify, with revocation, expiry and resource looked up every time; ${count} distinct tokens a sample never seen, ${KNOWN_CHECKS} checks of one token seen before; CPU is of all threads, garbage collection included.`,
    ],
  };
}

/** Processor seconds of this process for one unit of the work. */
async function perUnit(units: number, work: () => Promise<void> | void): Promise<number> {
  const before = ownCpuSeconds();
  await work();
  return (ownCpuSeconds() - before) / units;
}

async function checks({ tokens }: Server, jwts: Iterable<string>): Promise<void> {
  for (const jwt of jwts) await tokens.verify(jwt);
}

function* repeated(jwt: string, count: number): Generator<string> {
  const bytes = Buffer.from(jwt, 'latin1');
  // A new string each time, as from a request: the hash of a string is kept with the string.
  for (let done = 0; done < count; done += 1) yield bytes.toString('latin1');
}

interface SignedParts {
  readonly input: Buffer;
  readonly signature: Buffer;
}

function signedParts(jwt: string): SignedParts {
  const dot = jwt.lastIndexOf('.');
  return { input: Buffer.from(jwt.slice(0, dot)), signature: Buffer.from(jwt.slice(dot + 1), 'base64url') };
}

function rsaChecks(key: KeyObject, parts: readonly SignedParts[]): void {
  for (const { input, signature } of parts) {
    if (!verify('sha256', input, key, signature)) throw new Error('a token of ours with a wrong signature');
  }
}

/** Issues tokens without HTTP, several at a time. */
async function distinctTokens(server: Server, count: number): Promise<string[]> {
  const id = await anIdentity(server);
  const caller: ServiceCaller = {
    kind: 'service',
    resourceId: DEV_RESOURCE.id,
    credential: { kind: 'accessKey', slot: 'primary', version: 1 },
  };
  const tokens: string[] = [];
  const work = async (): Promise<void> => {
    while (tokens.length < count) {
      tokens.push((await server.tokens.issue(caller, id, { scopes: ['chat', 'voip'], minutes: 60 })).jwt);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  return tokens;
}

async function anIdentity(server: Server): Promise<IdentityId> {
  const load = await Load.open(server.port, 1);
  const [id] = await createIdentities(load, new Signer(server.port, DEV_RESOURCE.primaryKey), 1);
  load.close();
  return id as IdentityId;
}

/** A server that is asked who the bearer of a token is. */
class Whoami {
  readonly #server: ServerProcess;
  readonly #load: Load;
  readonly #request: string;

  constructor(server: ServerProcess, load: Load, request: string) {
    this.#server = server;
    this.#load = load;
    this.#request = request;
  }

  static async begin(): Promise<Whoami> {
    const server = await startLinarite();
    const load = await Load.open(server.port, CONNECTIONS);
    const signer = new Signer(server.port, server.found.key ?? '');
    const [id = ''] = await createIdentities(load, signer, 1);
    let token = '';
    await load.run(
      1,
      200,
      () => issueRequest(signer, id),
      ({ text }) => {
        token = JSON.parse(text).token;
      },
    );
    await settle();
    return new Whoami(server, load, get(server.port, '/-/whoami', { Authorization: `Bearer ${token}` }));
  }

  async cpuSecondsPerCheck(): Promise<number> {
    const next = (): string => this.#request;
    return (await cpuWhile(this.#server, () => this.#load.run(WHOAMI_CHECKS, 200, next))) / WHOAMI_CHECKS;
  }

  async end(): Promise<void> {
    this.#load.close();
    await this.#server.stop();
  }
}
