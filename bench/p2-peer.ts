import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { startServer } from '../src/server.ts';
import { readSettings } from '../src/settings.ts';
import { CONNECTIONS, Issuing, WARM_UP } from './issuing.ts';
import { Load } from './load.ts';
import { interleaved, ratios, scaled, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import {
  cpuWhile,
  launch,
  plainEnvironment,
  poolSize,
  ROOT,
  type ServerProcess,
  startLinarite,
} from './server-process.ts';
import { makeFolder } from './workplace.ts';

type Algorithm = 'RS256' | 'ES256';

const GOALS: Record<Algorithm, number> = { RS256: 1.9, ES256: 4 };

/** Tokens per second of CPU beside oidc-provider, with the very same key. */
export async function measurePeer(scale: Scale): Promise<Outcome> {
  const rs256 = await compare('RS256', scale);
  const es256 = await compare('ES256', scale);
  return {
    title: 'tokens per CPU-second ÷ those of oidc-provider (client credentials, JWT)',
    checks: [rs256.check, es256.check],
    raw: { ...rs256.raw, ...es256.raw },
    notes: [
      'oidc-provider 9.13.3 in a process of its own, same Node.js, same key, same thread pool and connections; default in-memory adapter, resource indicator with accessTokenFormat jwt, client_secret_basic, two scopes, no log. Ours writes its request log and asks its SQLite file for each token.',
    ],
  };
}

async function compare(
  algorithm: Algorithm,
  { quick, rounds }: Scale,
): Promise<Pick<Outcome, 'raw'> & { check: Outcome['checks'][number] }> {
  const count = (quick ? 2000 : 4000) * (algorithm === 'ES256' ? 2 : 1);
  const settings = { LINARITE_SIGNING_ALGORITHM: algorithm };
  const folder = makeFolder(algorithm.toLowerCase());
  const jwk = await signingKeyIn(folder, settings);
  const ours = await Issuing.begin(await startLinarite({ folder, settings }));
  const theirs = await Peer.begin(algorithm, jwk);
  const { our, their } = await interleaved(rounds, {
    our: () => ours.cpuSecondsPerToken(count),
    their: () => theirs.cpuSecondsPerToken(count),
  });
  await ours.end();
  await theirs.end();
  return {
    check: check(`${algorithm}: tokens per CPU-second ÷ oidc-provider`, stat(ratios(their, our)), {
      least: GOALS[algorithm],
    }),
    raw: {
      [`${algorithm}: server CPU per token, µs`]: stat(scaled(our, 1e6)),
      [`${algorithm}: oidc-provider CPU per token, µs`]: stat(scaled(their, 1e6)),
    },
  };
}

/** Makes a data folder and gives the private key that its server will sign with. */
async function signingKeyIn(folder: string, settings: Record<string, string>): Promise<object> {
  const server = await startServer(
    readSettings({ ...settings, LINARITE_DATA: folder, LINARITE_PORT: '0', LINARITE_LOG_LEVEL: 'silent' }),
  );
  const jwk = server.keys.active.privateKey.export({ format: 'jwk' });
  await server.close();
  return jwk;
}

/** oidc-provider, asked for tokens the same way. */
class Peer {
  readonly #process: ServerProcess;
  readonly #load: Load;
  readonly #request: string;

  constructor(process: ServerProcess, load: Load, request: string) {
    this.#process = process;
    this.#load = load;
    this.#request = request;
  }

  static async begin(alg: Algorithm, jwk: object): Promise<Peer> {
    const secret = randomBytes(32).toString('hex');
    const process = await launch({
      args: [join(ROOT, 'bench', 'peer.ts')],
      env: {
        ...plainEnvironment(),
        NODE_ENV: 'production',
        UV_THREADPOOL_SIZE: poolSize(),
        BENCH_PEER: JSON.stringify({ alg, jwk, secret }),
      },
      line: /^listening on (?<port>\d+)$/m,
      log: join(makeFolder('peer'), 'peer.log'),
    });
    const load = await Load.open(process.port, CONNECTIONS);
    const peer = new Peer(process, load, tokenRequest(process.port, secret));
    await peer.cpuSecondsPerToken(WARM_UP);
    return peer;
  }

  async cpuSecondsPerToken(count: number): Promise<number> {
    const next = (): string => this.#request;
    return (await cpuWhile(this.#process, () => this.#load.run(count, 200, next, requireJwt))) / count;
  }

  async end(): Promise<void> {
    this.#load.close();
    await this.#process.stop();
  }
}

function tokenRequest(port: number, secret: string): string {
  const body = 'grant_type=client_credentials&scope=chat%20voip';
  const credentials = Buffer.from(`bench:${secret}`).toString('base64');
  return [
    'POST /token HTTP/1.1',
    `Host: localhost:${port}`,
    'Accept: application/json',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    `Authorization: Basic ${credentials}`,
    '',
    body,
  ].join('\r\n');
}

function requireJwt({ text }: { text: string }): void {
  if (!text.includes('"access_token":"eyJ')) throw new Error(`no JWT from oidc-provider: ${text}`);
}
