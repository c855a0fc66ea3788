import { createRequest, issueRequest, Load, Signer } from './load.ts';
import { cpuWhile, type ServerProcess, settle } from './server-process.ts';

export const CONNECTIONS = 32;
/** Until then V8 is still compiling; a server that issues tokens has long passed that. */
export const WARM_UP = 15_000;

/** A server that is asked for tokens by 32 connections. */
export class Issuing {
  readonly server: ServerProcess;
  readonly #load: Load;
  readonly #next: () => string;
  #wallSeconds = 0;
  #tokens = 0;

  constructor(server: ServerProcess, load: Load, next: () => string) {
    this.server = server;
    this.#load = load;
    this.#next = next;
  }

  /**
   * Connects, and issues until the code is compiled.
   * @param ids identities to issue for, in turns of chance; without them one is made
   */
  static async begin(server: ServerProcess, ids?: readonly string[]): Promise<Issuing> {
    const signer = new Signer(server.port, server.found.key ?? '');
    const load = await Load.open(server.port, CONNECTIONS);
    const pool = ids ?? (await createIdentities(load, signer, CONNECTIONS));
    const issuing = new Issuing(server, load, () => {
      const id = pool[Math.floor(Math.random() * pool.length)] ?? '';
      return issueRequest(signer, id);
    });
    await settle();
    await issuing.cpuSecondsPerToken(WARM_UP);
    issuing.#wallSeconds = issuing.#tokens = 0;
    return issuing;
  }

  /** Server CPU of one token, over so many of them. */
  async cpuSecondsPerToken(count: number): Promise<number> {
    const cpu = await cpuWhile(this.server, async () => {
      this.#wallSeconds += await this.#load.run(count, 200, this.#next);
    });
    this.#tokens += count;
    return cpu / count;
  }

  /** By the clock on the wall, with the generator on the same cores: information only. */
  get tokensPerSecond(): number {
    return this.#tokens / this.#wallSeconds;
  }

  async end(): Promise<void> {
    this.#load.close();
    await this.server.stop();
  }
}

export async function createIdentities(load: Load, signer: Signer, count: number): Promise<string[]> {
  const ids: string[] = [];
  await load.run(
    count,
    201,
    () => createRequest(signer),
    ({ text }) => ids.push(JSON.parse(text).identity.id),
  );
  return ids;
}
