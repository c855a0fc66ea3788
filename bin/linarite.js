#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { launch } from './launch.js';

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

// In the repository the sources run as they are, so that a forgotten build never shows yesterday's server.
const isPublished = existsSync(inRoot('dist/main.js')) && !existsSync(inRoot('src'));
const main = inRoot(isPublished ? 'dist/main.js' : 'src/main.ts');

// One signature per core at a time, which the pool learns before it starts only from here. At least two threads,
// because one that waits for a slow disk or a stalled reader of the log must not stop all signing.
process.env.UV_THREADPOOL_SIZE ||= String(Math.max(2, availableParallelism()));

const [, , command = 'serve'] = process.argv;
await launch([main, ...process.argv.slice(2)], { server: command === 'serve' });
