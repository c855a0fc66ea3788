// The clients that are no identity SDK: az, the management SDKs of Python and Go, what Terraform signs in with, and a Rust crate.
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HOME_TENANT } from '../../../src/callers.ts';
import { FIRST_SUBSCRIPTION } from '../../../src/planes/management/communication-service.ts';
import { az } from './az.ts';
import type { Finding, ToolCheck } from './operations.ts';
import {
  CLIENTS,
  clientEnvironment,
  findingsOf,
  machineEnvironment,
  managedIdentity,
  missing,
  NotRun,
  type Outcome,
  type Runnable,
  type RunningServer,
  run,
  succeeded,
} from './test-environment.ts';

const HERE = import.meta.dirname;

type Tool = Runnable<ToolCheck>;
type Absent = Partial<Record<ToolCheck, string>>;

const NO_METADATA = 'it takes addresses, and no metadata document';
const NO_DATA_PLANE = 'it is for the management plane';
const OTHER_PACKAGE = 'another package has it';

export const AZ_RELEASE = '2.91.0';

export const TOOLS: readonly Tool[] = [
  az(AZ_RELEASE),
  ...['1.0.0', '2.0.0', '2.1.0', '2.2.0', '3.0.0'].map(python),
  go('hashicorp/go-azure-sdk', '0.20260811', 'hashicorp', {
    ...Object.fromEntries(
      (['services', 'keys', 'identity', 'provider', 'delete'] as const).map((check) => [
        check,
        'the part of it that finds clouds and signs in is tried; the generated part is a download of 142 MB',
      ]),
    ),
    identities: NO_DATA_PLANE,
  }),
  go('armcommunication', '2.3.0', 'arm', {
    metadata: NO_METADATA,
    provider: OTHER_PACKAGE,
    identities: NO_DATA_PLANE,
  }),
  rust(),
];

/** What every program is told beside its client. */
const taskOf = (server: RunningServer, client: string): string =>
  JSON.stringify({
    client,
    endpoint: `https://localhost:${server.task.port}`,
    connectionString: server.connectionString,
    operatorKey: server.operatorKey,
    tenant: HOME_TENANT,
    subscriptionId: FIRST_SUBSCRIPTION,
  });

/** The findings of a program, and those that it can have nothing to say about. */
const withAbsent = (outcome: Outcome, absent: Absent): Finding<ToolCheck>[] => [
  ...findingsOf<ToolCheck>(outcome),
  ...(Object.entries(absent) as [ToolCheck, string][]).map(
    ([operation, how]) => ({ operation, outcome: 'absent', how }) as const,
  ),
];

function python(release: string): Tool {
  return {
    language: 'Python',
    sdk: 'azure-mgmt-communication',
    kind: 'management',
    release,
    async run(server) {
      const program = await pythonWithCredentials();
      const packages = join(CLIENTS, `azure-mgmt-communication-${release}`);
      rmSync(packages, { recursive: true, force: true });
      await install(program, '--no-deps', '--target', packages, `azure-mgmt-communication==${release}`);
      const env = clientEnvironment({
        REQUESTS_CA_BUNDLE: server.caPath,
        PYTHONPATH: packages,
        PYTHONDONTWRITEBYTECODE: '1',
        ...managedIdentity(server),
      });
      const outcome = await run(program, [join(HERE, 'python_management.py'), taskOf(server, release)], { env });
      return withAbsent(outcome, { metadata: NO_METADATA, provider: OTHER_PACKAGE, identities: NO_DATA_PLANE });
    },
  };
}

/** A Python with what every release of the management SDK needs. @throws NotRun */
async function pythonWithCredentials(): Promise<string> {
  if (missing('python3')) throw new NotRun('python3 is not installed');
  const folder = join(CLIENTS, 'python-management-venv');
  const program = join(folder, 'bin/python');
  if ((await run(program, ['-c', 'import azure.identity, azure.mgmt.core, msrest, isodate'])).code === 0)
    return program;
  rmSync(folder, { recursive: true, force: true });
  const made = await run('python3', ['-m', 'venv', folder], { env: machineEnvironment() });
  if (made.code !== 0) throw new NotRun('python3 has no venv module');
  await install(program, 'azure-identity==1.27.0', 'azure-mgmt-core', 'msrest', 'isodate', 'typing-extensions', 'six');
  return program;
}

async function install(program: string, ...wanted: readonly string[]): Promise<void> {
  const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...wanted];
  succeeded(await run(program, pip, { env: machineEnvironment(), minutes: 10 }));
}

function go(sdk: string, release: string, client: string, absent: Absent): Tool {
  return {
    language: 'Go',
    sdk: sdk === 'armcommunication' ? `azure-sdk-for-go/…/${sdk}` : `github.com/${sdk}`,
    kind: sdk,
    release,
    async run(server) {
      if (missing('go')) throw new NotRun('go is not installed');
      const program = join(CLIENTS, 'go-clients');
      const built = await run('go', ['build', '-o', program, '.'], {
        cwd: join(HERE, 'go'),
        env: machineEnvironment(),
        minutes: 10,
      });
      if (built.errors.includes('go.mod requires go')) throw new NotRun('go is too old for it here');
      succeeded(built);
      const env = clientEnvironment({ SSL_CERT_FILE: server.caPath, ...managedIdentity(server) });
      return withAbsent(await run(program, [taskOf(server, client)], { env }), absent);
    },
  };
}

const SIGNS_ONLY = 'it signs requests with an access key, and nothing else';

function rust(): Tool {
  return {
    language: 'Rust',
    sdk: 'acs-signature',
    kind: 'acs-signature',
    release: '0.1.0',
    async run(server) {
      if (missing('cargo')) throw new NotRun('cargo is not installed');
      const folder = join(CLIENTS, 'rust');
      mkdirSync(folder, { recursive: true });
      for (const name of ['Cargo.toml', 'Cargo.lock', 'src'])
        cpSync(join(HERE, 'rust', name), join(folder, name), { recursive: true });
      const built = await run('cargo', ['build', '-q', '--locked'], {
        cwd: folder,
        env: machineEnvironment(),
        minutes: 10,
      });
      if (/requires rustc|edition2024|lock file version/.test(built.errors))
        throw new NotRun('rust is too old for it here');
      succeeded(built);
      const outcome = await run(join(folder, 'target/debug/linarite-clients'), [taskOf(server, 'acs-signature')]);
      const others = ['metadata', 'sign-in', 'services', 'keys', 'identity', 'provider', 'email', 'delete'] as const;
      return withAbsent(outcome, {
        ...Object.fromEntries(others.map((check) => [check, SIGNS_ONLY])),
        'managed-identity': SIGNS_ONLY,
      });
    },
  };
}
