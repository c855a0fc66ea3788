import { VERSION } from '../version.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Runs a command line. What a command needs is loaded when it is known which one: `--version` loads nothing, and the
 * server does not load the command parser.
 * @returns the exit code
 */
export async function run(args: readonly string[], environment: Environment): Promise<number> {
  const [first = 'serve', ...more] = args;
  if (more.length === 0) {
    if (first === '--version' || first === '-V') {
      process.stdout.write(`${VERSION}\n`);
      return 0;
    }
    if (first === 'serve') {
      const { serve } = await import('./serve.ts');
      return serve(environment);
    }
  }
  const { runProgram } = await import('./program.ts');
  return runProgram(args, environment);
}
