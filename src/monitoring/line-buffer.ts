import { write, writeSync } from 'node:fs';

/** Bytes worth a system call: about ten request lines. */
const WORTH_WRITING = 4096;
const LONGEST_WAIT_MS = 50;
/** What may wait for a reader that has stopped reading. Beyond it lines are dropped and counted: requests come first. */
const MOST_WAITING = 8 * 1024 * 1024;
const RETRY_MS = 20;
const PATIENCE_MS = 2000;

/**
 * Gathers lines and writes them to a file descriptor away from the event loop, one write at a time and in order.
 * Not SonicBoom, which pino writes with: its flushSync (4.2.1) repeats every error for ever, so that a process whose
 * standard error was closed (`linarite 2>&1 | head`) would never end.
 */
export class LineBuffer {
  /** Lines that were never written: the reader was too slow or had gone, or the disk was full. */
  dropped = 0;
  readonly #fd: number;
  #waiting = '';
  #underWay: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#waiting.length > MOST_WAITING) {
      this.dropped++;
      return;
    }
    this.#waiting += line;
    this.#next();
  }

  /** Writes what waits before returning. For the last moments of a process, when callbacks no longer come. */
  flushSync(): void {
    // The thread pool finishes what is under way by itself; a moment of patience keeps the two from mixing.
    if (this.#underWay) pause(RETRY_MS);
    let rest = Buffer.from(this.#waiting);
    this.#waiting = '';
    for (let patience = PATIENCE_MS; rest.length > 0 && patience > 0; ) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if (!isBusy(error)) return;
        patience -= RETRY_MS;
        pause(RETRY_MS);
      }
    }
  }

  /** Resolves once everything is written, or after two seconds without a reader. */
  async drain(): Promise<void> {
    this.#start();
    if (!this.#underWay) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenIdle = resolve;
    const patience = setTimeout(resolve, PATIENCE_MS);
    await promise;
    this.#whenIdle = undefined;
    clearTimeout(patience);
  }

  #next(): void {
    if (this.#waiting.length >= WORTH_WRITING || this.#whenIdle) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), LONGEST_WAIT_MS);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#underWay || this.#waiting === '') return;
    this.#underWay = Buffer.from(this.#waiting);
    this.#waiting = '';
    this.#writeOut(this.#underWay);
  }

  #writeOut(bytes: Buffer): void {
    write(this.#fd, bytes, (error, count) => {
      if (isBusy(error)) setTimeout(() => this.#writeOut(bytes), RETRY_MS);
      else if (error) this.#finish(linesIn(bytes));
      else if (count < bytes.length) this.#writeOut(bytes.subarray(count));
      else this.#finish(0);
    });
  }

  /** A failed write costs its lines and no more: a full disk may have room again for the next ones. */
  #finish(lost: number): void {
    this.dropped += lost;
    this.#underWay = undefined;
    if (this.#waiting !== '') this.#next();
    else this.#whenIdle?.();
  }
}

const linesIn = (bytes: Buffer): number => bytes.toString('latin1').split('\n').length - 1;

const isBusy = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EAGAIN';

const pause = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};
