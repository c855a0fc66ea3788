// Planted fault: a start does not write the log again. Loaded into a server before it starts.
import fs, { readlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { writeSync } = fs;
fs.writeSync = ((file: number, bytes: Uint8Array, ...rest: []) =>
  readlinkSync(`/proc/self/fd/${file}`).endsWith('-wal')
    ? bytes.length
    : writeSync(file, bytes, ...rest)) as typeof writeSync;
syncBuiltinESMExports();
