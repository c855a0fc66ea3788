import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import { run } from '../../src/cli/run.ts';
import type { Ran } from './cli.ts';

/** What the command has written that runs in this context. */
interface Written {
  stdout: string;
  stderr: string;
}

const commands = new AsyncLocalStorage<Written>();

/** Gives each command streams of its own; code that runs no command keeps those of the process. */
function divertStreams(): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = process[name];
    const write = stream.write.bind(stream);
    stream.setMaxListeners(0); // a command listens until its process ends
    stream.write = (chunk: string | Uint8Array, ...more: never[]): boolean => {
      const written = commands.getStore();
      if (written === undefined) return write(chunk, ...more);
      written[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    };
  }
  const { stdin } = process;
  const nothing = (): Readable => Readable.from([]);
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    get: () => (commands.getStore() === undefined ? stdin : nothing()),
  });
}

let isDiverted = false;

/** Runs the command line in this process, as its own process would run it without a terminal and with nothing to read. */
export async function runHere(args: readonly string[], environment: Parameters<typeof run>[1]): Promise<Ran> {
  if (!isDiverted) divertStreams();
  isDiverted = true;
  process.umask(0o077); // as main.ts has it
  const written: Written = { stdout: '', stderr: '' };
  const code = await commands.run(written, () => run(args, environment));
  return { code, ...written };
}
