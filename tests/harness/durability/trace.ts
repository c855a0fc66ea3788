import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const CALLS = 'read,write,writev,pwrite64,pwritev,fsync,fdatasync,ftruncate,openat,unlink,rename';

/** One system call that succeeded. Positions count the lines of the trace; a call has no effect outside begin…end. */
export interface TracedCall {
  readonly begin: number;
  readonly end: number;
  readonly name: string;
  /** What the file descriptor is, or the first path; `socket:[…]` for sockets. */
  readonly path: string;
  /** The second path of a rename. */
  readonly target: string;
  readonly data: Buffer;
  /** Offset of pwrite64, length of ftruncate. */
  readonly number: number;
  /** `O_CREAT|…` of openat. */
  readonly flags: string;
}

/** Why traces cannot be taken here, or false. */
export function whyNoTrace(): string | false {
  const { status } = spawnSync('strace', ['-D', '-f', '--seccomp-bpf', '-o', '/dev/null', 'true']);
  return status === 0 ? false : 'strace is missing or may not trace: apt-get install strace';
}

/**
 * The command that runs a program under a trace. With -D the program is our child, and strace ends with it.
 * @param bytesMost how much of each buffer is kept
 */
export const traced = (file: string, bytesMost: number): string[] =>
  // biome-ignore format: options by meaning
  ['strace', '-D', '-f', '--seccomp-bpf', '-y', '-xx', '-s', String(bytesMost), '-e', `trace=${CALLS}`, '-o', file];

/** libuv would hand some calls to the kernel where no trace sees them. */
export const TRACED_ENV = { UV_USE_IO_URING: '0' };

/** Reads a trace whose program has ended, call by call. */
export async function* readTrace(file: string): AsyncGenerator<TracedCall> {
  const started = new Map<string, { begin: number; text: string }>();
  let line = 0;
  for await (const text of createInterface(createReadStream(file))) {
    line += 1;
    const space = text.indexOf(' ');
    const thread = text.slice(0, space);
    let rest = text.slice(space).trimStart();
    let begin = line;
    const unfinished = rest.indexOf(' <unfinished ...>');
    if (unfinished >= 0) {
      started.set(thread, { begin, text: rest.slice(0, unfinished) });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(rest);
    if (resumed) {
      const head = started.get(thread);
      if (!head) continue;
      begin = head.begin;
      rest = head.text + rest.slice(resumed[0].length);
    }
    const call = parse(rest);
    if (call) yield { begin, end: line, ...call };
  }
}

function parse(text: string): Omit<TracedCall, 'begin' | 'end'> | undefined {
  const result = /\) += (\d+)(?:<[^>]*>)?$/.exec(text)?.[1];
  const name = /^(\w+)\(/.exec(text)?.[1];
  if (result === undefined || name === undefined) return undefined; // failed, or a line about a thread
  const strings = [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => fromHex(hex));
  const onDescriptor = /^\w+\(\d+<((?:\\x[0-9a-f]{2})*)>/.exec(text)?.[1];
  const path = onDescriptor === undefined ? String(strings[0] ?? '') : String(fromHex(onDescriptor));
  return {
    name,
    path,
    target: onDescriptor === undefined ? String(strings[1] ?? '') : '',
    data: onDescriptor === undefined ? Buffer.alloc(0) : Buffer.concat(strings).subarray(0, Number(result)),
    number: Number(/, (\d+)\) += \d+$/.exec(text)?.[1] ?? 0),
    flags: /, (O_[A-Z_|]+)/.exec(text)?.[1] ?? '',
  };
}

const fromHex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex');

/** Waits until strace has written the last line about a process that has ended. */
export async function traceEnded(file: string, pid: number): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const { stdout } = spawnSync('tail', ['-n', '50', file], { encoding: 'utf8' });
    if (new RegExp(`^${pid} +\\+\\+\\+ `, 'm').test(stdout)) return;
    await sleep(25);
  }
  throw new Error(`the trace of ${pid} has no end`);
}

/** Ids of our requests in what a socket read, and of our answers of 2xx in what it wrote. */
export const requestsIn = (data: Buffer): string[] =>
  [...data.toString('latin1').matchAll(/^x-ms-client-request-id: (call-\d+)\r$/gim)].map(([, id = '']) => id);
export const successesIn = (data: Buffer): string[] =>
  data
    .toString('latin1')
    .split(/^(?=HTTP\/1\.1 )/m)
    .filter((answer) => answer.startsWith('HTTP/1.1 2'))
    .flatMap((answer) => requestsIn(Buffer.from(answer, 'latin1')));
