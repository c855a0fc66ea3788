import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HOME_TENANT } from '../../../src/callers.ts';
import { FIRST_SUBSCRIPTION } from '../../../src/planes/management/communication-service.ts';
import type { Finding, ToolCheck } from './operations.ts';
import {
  CLIENTS,
  clientEnvironment,
  machineEnvironment,
  managedIdentity,
  missing,
  NotRun,
  ROOT,
  type Runnable,
  type RunningServer,
  run,
  shellBlocks,
  succeeded,
} from './test-environment.ts';

export const AZ_GUIDE = 'docs/guides/az.md';

const SERVICE = `/subscriptions/${FIRST_SUBSCRIPTION}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/from-az`;
const VERSION = 'api-version=2023-04-01';

/** Runs az in a cloud that is the server. @throws Error with what az says when it fails */
type Az = (...args: string[]) => Promise<unknown>;

/** A release of az from its package registry. Where it is installed, its folder of programs. */
const programsOf = (release: string): string => join(CLIENTS, `az-${release}-venv/bin`);

export function az(release: string): Runnable<ToolCheck> {
  return {
    language: 'az',
    sdk: 'azure-cli',
    release,
    async run(server) {
      await install(release);
      const call = callerOf(release, server);
      const findings: Finding<ToolCheck>[] = [];
      for (const [operation, check] of Object.entries(CHECKS) as [ToolCheck, Check][]) {
        try {
          await check(call, server);
          findings.push({ operation, outcome: 'passed' });
        } catch (cause) {
          findings.push({ operation, outcome: 'differs', how: (cause as Error).message.slice(-600) });
        }
      }
      const extension = 'its extension has that; the extension is in no package registry, so it was not run here';
      return [...findings, { operation: 'identities', outcome: 'absent', how: extension }];
    },
  };
}

/** @throws NotRun */
async function install(release: string): Promise<void> {
  if (missing('python3')) throw new NotRun('python3 is not installed');
  if ((await run(join(programsOf(release), 'az'), ['version'])).code === 0) return;
  const folder = join(programsOf(release), '..');
  rmSync(folder, { recursive: true, force: true });
  const env = machineEnvironment();
  const made = await run('python3', ['-m', 'venv', folder], { env });
  if (made.code !== 0) throw new NotRun('python3 has no venv module');
  const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', `azure-cli==${release}`];
  succeeded(await run(join(programsOf(release), 'python'), pip, { env, minutes: 15 }));
}

function environmentOf(release: string, server: RunningServer) {
  const folder = join(CLIENTS, 'az-config');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return clientEnvironment({
    PATH: `${programsOf(release)}:${process.env.PATH}`,
    AZURE_CONFIG_DIR: folder,
    AZURE_CORE_COLLECT_TELEMETRY: '0',
    AZURE_CORE_ONLY_SHOW_ERRORS: '1',
    REQUESTS_CA_BUNDLE: server.caPath,
    ...managedIdentity(server),
  });
}

function callerOf(release: string, server: RunningServer): Az {
  const env = environmentOf(release, server);
  return async (...args) => {
    const { code, output, errors } = await run('az', [...args, '--output', 'json'], { env });
    if (code !== 0) throw new Error(errors.trim());
    return output.trim() === '' ? undefined : JSON.parse(output);
  };
}

type Check = (call: Az, server: RunningServer) => Promise<void>;

const signIn = (call: Az, secret: string) =>
  call('login', '--service-principal', '-u', HOME_TENANT, '-p', secret, '--tenant', HOME_TENANT);

/** In this order: the later ones need the earlier ones. `az rest` sends what the extension would. */
const CHECKS: Partial<Record<ToolCheck, Check>> = {
  async metadata(call, { task }) {
    await call('cloud', 'register', '-n', 'Local', '--endpoint-resource-manager', `https://localhost:${task.port}`);
    await call('cloud', 'set', '-n', 'Local');
  },
  'wrong-secret': (call) => refused(signIn(call, 'not-the-operator-key'), /client secret/),
  async 'sign-in'(call, { operatorKey }) {
    const [subscription] = (await signIn(call, operatorKey)) as { id: string }[];
    expect(subscription?.id === FIRST_SUBSCRIPTION, 'another subscription', subscription);
    const groups = (await call('group', 'list')) as { name: string }[];
    expect(
      groups.some(({ name }) => name === 'dev'),
      'the group is not listed',
      groups,
    );
  },
  async services(call) {
    const body = { location: 'global', properties: { dataLocation: 'Europe' } };
    const made = (await rest(call, 'put', SERVICE, body)) as { properties: { provisioningState: string } };
    expect(made.properties.provisioningState === 'Succeeded', 'it is not there yet', made);
  },
  async keys(call) {
    const before = (await rest(call, 'post', `${SERVICE}/listKeys`)) as Record<string, string>;
    const after = (await rest(call, 'post', `${SERVICE}/regenerateKey`, { keyType: 'Primary' })) as typeof before;
    expect(after.primaryKey !== before.primaryKey, 'the key is the same');
    expect(after.secondaryKey === undefined, 'it tells the other key');
  },
  async identity(call) {
    interface Shown {
      identity: { principalId?: string; tenantId?: string };
    }
    const { identity } = (await rest(call, 'patch', SERVICE, { identity: { type: 'SystemAssigned' } })) as Shown;
    expect(identity.principalId !== undefined && identity.tenantId === HOME_TENANT, 'it has no names', identity);
    const shown = (await call('resource', 'show', '--ids', SERVICE)) as Shown;
    expect(shown.identity.principalId === identity.principalId, 'the principal does not stay', shown);
  },
  async provider(call) {
    await call('provider', 'register', '-n', 'Microsoft.Communication');
    const shown = (await call('provider', 'show', '-n', 'Microsoft.Communication')) as { registrationState: string };
    expect(shown.registrationState === 'Registered', 'it is not registered', shown);
    for (const where of [['-g', 'dev'], []]) {
      const all = (await call('resource', 'list', ...where)) as { name: string }[];
      expect(
        all.some(({ name }) => name === 'from-az'),
        'the service is not listed',
        all,
      );
    }
  },
  email: (call) =>
    refused(rest(call, 'get', SERVICE.replace(/communicationServices.*/, 'emailServices')), /does not offer e-mail/),
  async delete(call) {
    await call('resource', 'delete', '--ids', SERVICE);
    await refused(rest(call, 'get', SERVICE), /ResourceNotFound/);
  },
  async 'managed-identity'(call) {
    await call('login', '--identity');
    const resource = ['--resource', 'https://communication.azure.com/'];
    const { tokenType } = (await call('account', 'get-access-token', ...resource)) as { tokenType: string };
    expect(tokenType === 'Bearer', 'it is no bearer token', tokenType);
    await call('group', 'list');
  },
};

const rest = (call: Az, method: string, path: string, body?: object): Promise<unknown> =>
  call('rest', '--method', method, '--url', `${path}?${VERSION}`, ...(body ? ['--body', JSON.stringify(body)] : []));

async function refused(work: Promise<unknown>, says: RegExp): Promise<void> {
  const message = await work.then(
    () => 'it was accepted',
    (cause: Error) => cause.message,
  );
  expect(says.test(message), message);
}

function expect(holds: boolean, what: string, found?: unknown): void {
  if (!holds) throw new Error(found === undefined ? what : `${what}: ${JSON.stringify(found)}`);
}

/**
 * Does what the guide to az says, word by word, but for the commands of its extension, which comes from no package registry.
 * @returns what is not as the guide says
 */
export function followAzGuide(release: string) {
  return async (server: RunningServer): Promise<string[]> => {
    if (missing('python3')) {
      console.log(`${AZ_GUIDE}: NOT RUN, python3 is not installed`);
      return [];
    }
    await install(release);
    const operatorKey = join(dirname(server.caPath), 'operator.key');
    const blocks = shellBlocks(readFileSync(join(ROOT, AZ_GUIDE), 'utf8'), server).map((commands) =>
      commands.replaceAll('.linarite/operator.key', operatorKey),
    );
    const followed = blocks.filter((commands) => !/az (communication|extension)/.test(commands));
    const { code, output, errors } = await run('sh', ['-euc', followed.join('')], {
      env: environmentOf(release, server),
    });
    if (code !== 0) return [`it ended with ${code}: ${(errors || output).trim().slice(-600)}`];
    console.log(
      `${AZ_GUIDE}: everything in it works but ${blocks.length - followed.length} blocks of the extension, NOT RUN`,
    );
    return [];
  };
}
