import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** A file to be written whole or not at all. */
export interface WholeFile {
  readonly name: string;
  readonly text: string;
  /** Exact permissions on POSIX, whatever the umask; without effect on Windows. */
  readonly mode: number;
}

/**
 * Writes files of one folder so that a kill or a power cut at any moment leaves each of them as it was, new, or
 * absent if it was absent. They take their places in the order given. One process per folder at a time.
 * @throws the file system's error; the temporary file of a failed attempt is replaced by the next one
 */
export async function writeWhole(folder: string, files: readonly WholeFile[]): Promise<void> {
  // All contents reach the disk at once, since waiting for it is what costs.
  await Promise.all(files.map((file) => writeBeside(join(folder, file.name), file)));
  for (const file of files) {
    const path = join(folder, file.name);
    await rename(beside(path), path);
  }
  await syncFolder(folder);
}

const beside = (path: string): string => `${path}.new`;

async function writeBeside(path: string, { text, mode }: WholeFile): Promise<void> {
  // Made by this call, so that neither permissions nor a link that lay there before can matter.
  await rm(beside(path), { force: true });
  const handle = await open(beside(path), 'wx', mode);
  await writeAndSync(handle, text, mode).finally(() => handle.close());
}

async function writeAndSync(handle: FileHandle, text: string, mode: number): Promise<void> {
  await handle.chmod(mode);
  await handle.writeFile(text);
  await handle.sync();
}

/** Makes new names last. Windows has no such call, and does without. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
