import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { copyExample } from '../examples/trusted-service.ts';
import { CACHE, machineEnvironment, ROOT, type RunningServer, shellBlocks } from './test-environment.ts';

export const README = 'examples/entra-users/README.md';

const ALICE = '5e1f0057-0000-4000-8000-0000000000d1';
const MINUTES_MOST = 10;

/**
 * Does what the README says, word by word, and answers as Alice whenever somebody is asked to sign in.
 * @returns what is not as the README says
 */
export async function followEntraUsers(server: RunningServer): Promise<string[]> {
  const cwd = join(CACHE, 'clients/entra-users');
  rmSync(cwd, { recursive: true, force: true });
  copyExample(cwd, join(ROOT, 'examples/entra-users'));
  const script = shellBlocks(readFileSync(join(cwd, 'README.md'), 'utf8'), server).join('');
  const shell = spawn('sh', ['-euc', script], {
    cwd,
    env: machineEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: MINUTES_MOST * 60_000,
  });
  let said = '';
  let answered = 0;
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const codes = [...said.matchAll(/To sign in, open https:\S+ and enter the code (\S+)\.\n/g)];
      for (const [, code = ''] of codes.slice(answered)) void answerAsAlice(server.task.port, code);
      answered = codes.length;
    });
  }
  const [code] = (await once(shell, 'close')) as [number | null];
  const expected = new RegExp(
    `${ALICE} may get access tokens[\\s\\S]+signed in as 8:acs:\\S+_${ALICE} for chat and voip until[\\s\\S]+and the tokens are ended[\\s\\S]+no token: [^\\n]+ 403[\\s\\S]+Alice may not any more`,
  );
  if (code !== 0 || !expected.test(said)) return [`ended with ${code}: ${said.slice(-2000)}`];
  console.log(`${README}: everything in it works`);
  return [];
}

/** Sends the form of the page that the message names. An answer that does not arrive leaves the program waiting, which shows. */
async function answerAsAlice(port: number, code: string): Promise<void> {
  const origin = `http://localhost:${port}`;
  await fetch(`${origin}/-/devicelogin`, {
    method: 'POST',
    headers: { Origin: origin },
    body: new URLSearchParams({ user_code: code, user: ALICE, answer: 'allow' }),
  }).catch((cause) => console.error(`the sign-in was not answered: ${cause}`));
}
