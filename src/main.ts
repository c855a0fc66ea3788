import { availableParallelism } from 'node:os';

// The pool that signs; read when it is first used, so this stands before everything else. Two at least: a reader of
// our log that stops reading must not stop the signing on one core.
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(2, availableParallelism()));

process.umask(0o077); // what is written is its owner's; files for others say so themselves

const { run } = await import('./cli/run.ts');
process.exitCode = await run(process.argv.slice(2), process.env);
