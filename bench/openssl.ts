import { execFile } from 'node:child_process';
import { constants, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { ownCpuSeconds } from './measure.ts';

const run = promisify(execFile);

/** `OpenSSL 3.0.19 …` of the command on this machine, or undefined when there is none. */
export async function opensslVersion(): Promise<string | undefined> {
  try {
    return (await run('openssl', ['version'])).stdout.trim().split(' ').slice(0, 2).join(' ');
  } catch {
    return undefined;
  }
}

/** Processor seconds of one RSA-2048 signature, by `openssl speed`, which counts user time on one core. */
export async function opensslSignSeconds(seconds = 1): Promise<number> {
  const { stdout } = await run('openssl', ['speed', '-mr', '-seconds', String(seconds), 'rsa2048']);
  const signaturesPerSecond = Number(/^\+F2:\d+:2048:([\d.]+)/m.exec(stdout)?.[1]);
  if (!(signaturesPerSecond > 0)) throw new Error('openssl speed printed no figure for RSA-2048');
  return 1 / signaturesPerSecond;
}

/** A fresh RSA-2048 key. */
export const rsaKey = (): KeyObject =>
  createPrivateKey(
    generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  );

/** Processor seconds of one RS256 signature by this Node.js, over as many bytes as a token has. */
export function nodeSignSeconds(key: KeyObject, count: number): number {
  const bytes = Buffer.alloc(700, 0x61);
  const before = ownCpuSeconds();
  for (let done = 0; done < count; done += 1) sign('sha256', bytes, { key, padding: constants.RSA_PKCS1_PADDING });
  return (ownCpuSeconds() - before) / count;
}
