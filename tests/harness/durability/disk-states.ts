import { basename } from 'node:path';
import type { Random } from '../revocation/simulation.ts';
import type { TracedCall } from './trace.ts';

const SECTOR = 512;

/** One thing that was done to a file since its last sync. */
type Change = { readonly offset: number; readonly data: Buffer } | { readonly length: number };

/** A file as the disk holds it for certain, and what may have come to it since. */
class DiskFile {
  #durable = Buffer.alloc(0);
  #pending: Change[] = [];

  change(change: Change): void {
    this.#pending.push(change);
  }

  sync(): void {
    for (const change of this.#pending) this.#durable = applied(this.#durable, change);
    this.#pending = [];
  }

  lose(): void {
    this.#pending = [];
  }

  /** What may be there after a cut: any subset of what was not synced, in any order, each write torn between sectors. */
  afterCut(random: Random): Buffer {
    const share = random.pick([0, 0.5, 0.9, 1]);
    const tearing = random.pick([0, 0.3, 1]);
    const chosen = this.#pending.filter(() => random.chance(share));
    if (random.chance(0.3)) shuffle(chosen, random);
    let content = Buffer.from(this.#durable);
    for (const change of chosen) {
      const parts = 'data' in change && random.chance(tearing) ? torn(change, random) : [change];
      for (const part of parts) content = applied(content, part);
    }
    return content;
  }
}

function applied(content: Buffer, change: Change): Buffer<ArrayBuffer> {
  if ('length' in change) {
    const cut = Buffer.alloc(change.length);
    content.copy(cut);
    return cut;
  }
  const { offset, data } = change;
  const grown = offset + data.length > content.length ? Buffer.alloc(offset + data.length) : content;
  if (grown !== content) content.copy(grown);
  data.copy(grown, offset);
  return grown as Buffer<ArrayBuffer>;
}

/** Some of the sectors of a write; a sector is written whole or not at all. */
function torn({ offset, data }: { offset: number; data: Buffer }, random: Random): Change[] {
  const parts: Change[] = [];
  for (let at = offset; at < offset + data.length; ) {
    const end = Math.min(at - (at % SECTOR) + SECTOR, offset + data.length);
    if (random.chance(0.5)) parts.push({ offset: at, data: data.subarray(at - offset, end - offset) });
    at = end;
  }
  return parts;
}

function shuffle(list: unknown[], random: Random): void {
  for (let index = list.length - 1; index > 0; index -= 1) {
    const other = random.below(index + 1);
    [list[index], list[other]] = [list[other], list[index]];
  }
}

/**
 * The database files of a folder, as system calls change them. Names are changed in order, as every journalling file
 * system does it, and last once the folder is synced; contents are in no order at all.
 */
export class Disk {
  readonly #folder: string;
  /** As the running system sees it. */
  readonly #names = new Map<string, DiskFile>();
  readonly #durableNames = new Map<string, DiskFile>();
  #pendingNames: { name: string; file: DiskFile | undefined }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns whether the call changed anything a cut can lose or keep */
  follow({ name, path, data, number, flags }: TracedCall): boolean {
    if (path === this.#folder && name.endsWith('sync')) {
      for (const { name, file } of this.#pendingNames) rename(this.#durableNames, name, file);
      this.#pendingNames = [];
      return true;
    }
    if (!path.startsWith(`${this.#folder}/linarite.db`)) return false;
    const file = basename(path);
    if (name === 'openat') {
      if (this.#names.has(file) || !flags.includes('O_CREAT')) return false;
      this.#rename(file, new DiskFile());
    } else if (name === 'unlink') this.#rename(file, undefined);
    else if (name === 'pwrite64') this.#file(file).change({ offset: number, data });
    else if (name === 'ftruncate') this.#file(file).change({ length: number });
    else if (name === 'fsync' || name === 'fdatasync') this.#file(file).sync();
    else if (name !== 'read') throw new Error(`${name} on ${path}: the model of the disk does not know what it does`);
    return name !== 'read';
  }

  /** A sync failed: the kernel takes what it could not write for written, and shows it, but the disk will never have it. */
  loseUnsynced(): void {
    for (const file of this.#names.values()) file.lose();
  }

  /** The files that may be found after a cut at this instant. */
  afterCut(random: Random): Map<string, Buffer> {
    const names = new Map(this.#durableNames);
    for (const { name, file } of this.#pendingNames.slice(0, random.below(this.#pendingNames.length + 1)))
      rename(names, name, file);
    return new Map([...names].map(([name, file]) => [name, file.afterCut(random)]));
  }

  #rename(name: string, file: DiskFile | undefined): void {
    this.#pendingNames.push({ name, file });
    rename(this.#names, name, file);
  }

  #file(name: string): DiskFile {
    const file = this.#names.get(name);
    if (!file) throw new Error(`${name} is written to and was never opened`);
    return file;
  }
}

function rename(names: Map<string, DiskFile>, name: string, file: DiskFile | undefined): void {
  if (file) names.set(name, file);
  else names.delete(name);
}
