import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a client program says about one thing that it tried. */
export interface Finding {
  name: string;
  error?: string;
  milliseconds: number;
}

export interface Ended {
  findings: Finding[];
  errors: string;
  code: number | null;
}

/**
 * Runs a program of this folder in a process that knows of the server by its task and the certificate authority alone.
 * @param machine modules of this folder that make the machine another one, loaded before the program
 */
export async function runClient(file: string, task: object, caPath: string, ...machine: string[]): Promise<Ended> {
  const here = (name: string): string => join(import.meta.dirname, name);
  const loaded = machine.flatMap((name) => ['--import', here(name)]);
  const client = spawn(process.execPath, [...loaded, here(file), JSON.stringify(task)], {
    env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: caPath },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let [output, errors] = ['', ''];
  client.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  client.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const [code] = (await once(client, 'close')) as [number | null];
  const findings = output
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding);
  return { findings, errors, code };
}
