import { availableParallelism } from 'node:os';

// The pool that signs; read when it is first used, so this stands before everything else.
process.env.UV_THREADPOOL_SIZE ??= String(availableParallelism());

const { run } = await import('./cli/run.ts');
process.exitCode = await run(process.argv.slice(2), process.env);
