import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const MAIN = join(import.meta.dirname, '../../../src/main.ts');

/** A server in a process of its own, of which everything that it writes is kept. */
export class WatchedServer {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #written: { readonly out: string[]; readonly err: string[] };

  private constructor(child: ChildProcess, written: { out: string[]; err: string[] }, port: number) {
    this.#child = child;
    this.#written = written;
    this.port = port;
  }

  /** Starts it at the most verbose level. @param env settings, by their environment variables */
  static async start(env: Readonly<Record<string, string>>): Promise<WatchedServer> {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LINARITE_'));
    const child = spawn(process.execPath, [MAIN], {
      env: { ...Object.fromEntries(inherited), LINARITE_PORT: '0', LINARITE_LOG_LEVEL: 'trace', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const killed = (): void => void child.kill('SIGKILL');
    process.once('exit', killed);
    child.once('exit', () => process.off('exit', killed));
    const written = { out: [] as string[], err: [] as string[] };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => written.out.push(text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => written.err.push(text));
    for (let patience = 600; patience > 0 && child.exitCode === null; patience -= 1) {
      const port = /"port":(\d+).*"msg":"started"/.exec(written.err.join(''))?.[1];
      if (port !== undefined) return new WatchedServer(child, written, Number(port));
      await sleep(50);
    }
    child.kill('SIGKILL');
    throw new Error(`the server did not start:\n${written.err.join('').slice(-2000)}`);
  }

  get stdout(): string {
    return this.#written.out.join('');
  }

  get stderr(): string {
    return this.#written.err.join('');
  }

  get logLines(): string[] {
    return this.stderr.split('\n').slice(0, -1);
  }

  /** Stops it as asked, so that its last lines are written. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill(signal);
    await closed;
  }
}
