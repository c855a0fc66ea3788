import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { givenFolder } from './folders.ts';

/** Why no disk can be made to fail here, or false. */
export const whyNoFailingDisk = (): string | false =>
  process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0
    ? false
    : 'gcc is missing, which compiles the failing disk: apt-get install gcc libc6-dev';

/** What the disk does to the database files: nothing, writes fail with EIO or ENOSPC, the next sync fails with EIO. */
export type Failure = 'none' | 'writes' | 'full' | 'sync';

const BYTE_OF: Readonly<Record<Failure, string>> = { none: '0', writes: 'w', full: 'f', sync: 's' };

/** The system's disk, with a switch (failing-disk.c). */
export class FailingDisk {
  readonly #control: string;
  /** Environment of the server whose disk it is to be. */
  readonly env: Readonly<Record<string, string>>;

  constructor(t: TestContext) {
    const folder = givenFolder(t, 'failing-disk');
    const library = join(folder, 'failing-disk.so');
    const source = join(import.meta.dirname, 'failing-disk.c');
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, source, '-ldl']);
    this.#control = join(folder, 'control');
    writeFileSync(this.#control, Buffer.alloc(64));
    this.env = { LD_PRELOAD: library, FAILING_DISK: this.#control };
  }

  /** In place: the server has the file mapped. */
  set(failure: Failure): void {
    const file = openSync(this.#control, 'r+');
    writeSync(file, BYTE_OF[failure], 0);
    closeSync(file);
  }

  get hasFailedSync(): boolean {
    return readFileSync(this.#control)[1] === 1;
  }

  /** Writes to the database files, and syncs of them, after a sync had failed. */
  get changesAfterFailedSync(): number {
    return readFileSync(this.#control).readUInt32LE(4);
  }

  /** For the next server: no sync has failed. */
  forget(): void {
    const file = openSync(this.#control, 'r+');
    writeSync(file, Buffer.alloc(64), 0, 64, 0);
    closeSync(file);
  }
}

/** A file system of its own, to be filled up. */
export interface SmallDisk {
  readonly folder: string;
  fill(): void;
  free(): void;
}

/** Why no file system can be mounted here, or false. */
export function whyNoSmallDisk(): string | false {
  return process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0
    ? false
    : 'only root can mount the small disk';
}

export function givenSmallDisk(t: TestContext, megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'linarite-test', folder]);
  t.after(() => {
    execFileSync('umount', ['--lazy', folder]); // a server may still have files open there
    rmdirSync(folder);
  });
  const filler = join(folder, 'filler');
  return {
    folder,
    fill() {
      const file = openSync(filler, 'a');
      try {
        for (const block of [1 << 16, 1 << 12]) writeUntilFull(file, Buffer.alloc(block));
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler),
  };
}

function writeUntilFull(file: number, block: Buffer): void {
  try {
    for (;;) writeSync(file, block);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw cause;
  }
}
