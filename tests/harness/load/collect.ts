// Loaded before the server: at SIGUSR2 it collects all garbage and writes what is left to TEST_MEMORY_FILE.
import { renameSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const file = process.env.TEST_MEMORY_FILE ?? '';

process.on('SIGUSR2', () => {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  // As a whole or not at all: somebody is waiting for it.
  writeFileSync(`${file}.new`, JSON.stringify({ live: heapUsed + external, resident: rss }));
  renameSync(`${file}.new`, file);
});
