import { type Command, Option } from 'commander';
import { type Assignment, narrows, PRINCIPAL_TYPES, type PrincipalType } from '../exchanges/assignment.ts';
import type { ApiVersion } from '../http/versions.ts';
import type { CliContext } from './cli-context.ts';
import {
  addCommand,
  addGroup,
  DEFAULT_RESOURCE,
  outputOption,
  type Printing,
  withService,
  type Yes,
  yesOption,
} from './command.ts';
import { confirm } from './confirm.ts';
import { wrongUse } from './exit.ts';
import { type Client, Refusal } from './http-client.ts';
import { type Cells, print } from './output.ts';
import { type ServiceOptions, serviceAccess } from './server-access.ts';

const PLANES = ['entra', 'teams-extension'] as const;

/** An assignment as the server shows it. */
type Shown = Pick<Assignment, 'objectId' | 'tenantId' | 'principalType' | 'clientIds'>;

interface Which extends ServiceOptions {
  plane: (typeof PLANES)[number];
  objectId: string;
  tenant?: string;
}

interface CreateOptions extends Which, Printing, Yes {
  tenant: string;
  principalType: PrincipalType;
  clientId?: string[];
}

const VERSION: ApiVersion = '2025-03-02-preview';
const ENTRA = '/access/entra/assignments';
/** The server's own: the protocol lists Entra assignments alone. */
const TEAMS_LIST = '/-/access/teamsExtension/assignments';

/** `linarite assignment …`: who of other directories may get access tokens of a resource by themselves. */
export function addAssignmentCommands(program: Command, context: CliContext): void {
  const assignments = addGroup(
    program,
    'assignment',
    'users of other directories who may exchange their own token for an access token',
  );
  const service = (options: ServiceOptions): Promise<Client> => serviceAccess(context, options, DEFAULT_RESOURCE);

  withService(
    addCommand(
      assignments,
      'create',
      'assign a user, group or tenant to a resource, or change the applications of an assignment',
      'linarite assignment create --object-id 5e1f… --tenant 5e1f… --client-id 5e1f…',
      'linarite assignment create --plane teams-extension --object-id 5e1f… --tenant 5e1f…',
    ),
  )
    .addOption(planeOption())
    .addOption(objectOption())
    .requiredOption('--tenant <guid>', 'directory of the user or group')
    .addOption(
      new Option('--principal-type <type>', 'kind of the object; for a tenant, --object-id is the id of the tenant too')
        .choices([...new Set(Object.values(PRINCIPAL_TYPES).flat())])
        .default('user'),
    )
    .option('--client-id <guid...>', 'applications that the users may sign in with; needed for entra')
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (options: CreateOptions) => {
      const { plane, objectId, tenant, principalType, clientId, output } = options;
      if (plane === 'entra' && !clientId)
        throw wrongUse('--client-id is needed: name the applications that the users may sign in with');
      const client = await service(options);
      const target = targetOf(options);
      const former = await find(client, target);
      const next = { tenantId: lower(tenant), principalType, clientIds: clientId?.map(lower) };
      if (former && narrows(former, next))
        await confirm(`Change the assignment of ${objectId} and end the tokens issued by it?`, options.yes);
      const made = await client.call<Shown>('PUT', target, { body: next });
      print(made, output, [cellsOf(made)]);
    });

  withService(
    addCommand(
      assignments,
      'list',
      'list the assignments of a resource',
      'linarite assignment list --output table',
      'linarite assignment list --plane teams-extension',
    ),
  )
    .addOption(planeOption())
    .addOption(outputOption())
    .action(async (options: ServiceOptions & Printing & Pick<Which, 'plane'>) => {
      const client = await service(options);
      const found = options.plane === 'entra' ? await listEntra(client) : await listTeams(client);
      print(found, options.output, found.map(cellsOf));
    });

  withService(
    addCommand(assignments, 'show', 'show an assignment', 'linarite assignment show --object-id 5e1f… --output table'),
  )
    .addOption(planeOption())
    .addOption(objectOption())
    .addOption(tenantOption())
    .addOption(outputOption())
    .action(async (options: Which & Printing) => {
      const target = targetOf(options);
      const found = await (await service(options)).call<Shown>('GET', target);
      print(found, options.output, [cellsOf(found)]);
    });

  withService(
    addCommand(
      assignments,
      'delete',
      'remove an assignment and end the tokens issued by it',
      'linarite assignment delete --object-id 5e1f… --yes',
    ),
  )
    .addOption(planeOption())
    .addOption(objectOption())
    .addOption(tenantOption())
    .addOption(yesOption())
    .action(async (options: Which & Yes) => {
      const target = targetOf(options);
      await confirm(`Remove the assignment of ${options.objectId} and end the tokens issued by it?`, options.yes);
      const client = await service(options);
      // The server answers the same when nothing is there; a mistyped id has to be reported.
      await client.call('GET', target);
      await client.call('DELETE', target);
    });
}

const planeOption = (): Option =>
  new Option('--plane <plane>', 'kind of exchange: for Entra users, or for Teams users of a Teams extension')
    .choices(PLANES)
    .default('entra');

const objectOption = (): Option =>
  new Option('--object-id <guid>', 'the user, group, tenant or resource account').makeOptionMandatory();

const tenantOption = (): Option => new Option('--tenant <guid>', 'directory of the user; needed for teams-extension');

/** @throws CommandError */
function targetOf({ plane, objectId, tenant }: Which): string {
  const object = encodeURIComponent(objectId);
  if (plane === 'entra') return `${ENTRA}/${object}?api-version=${VERSION}`;
  if (tenant === undefined) throw wrongUse('--tenant is needed for --plane teams-extension');
  return `/access/teamsExtension/tenants/${encodeURIComponent(tenant)}/assignments/${object}?api-version=${VERSION}`;
}

async function find(client: Client, target: string): Promise<Shown | undefined> {
  try {
    return await client.call<Shown>('GET', target);
  } catch (cause) {
    if (cause instanceof Refusal && cause.code === 'AssignmentNotFound') return undefined;
    throw cause;
  }
}

interface Page {
  readonly value: readonly Shown[];
  /** Of Entra assignments: the address of the next page. */
  readonly nextLink?: string;
  /** Of Teams-extension assignments: where the next page begins. */
  readonly continuation?: string;
}

const listEntra = (client: Client): Promise<Shown[]> =>
  list(client, `${ENTRA}?api-version=${VERSION}`, ({ nextLink }) => {
    const next = nextLink === undefined ? undefined : new URL(nextLink);
    return next && `${next.pathname}${next.search}`;
  });

const listTeams = (client: Client): Promise<Shown[]> =>
  list(
    client,
    TEAMS_LIST,
    ({ continuation }) => continuation && `${TEAMS_LIST}?continuation=${encodeURIComponent(continuation)}`,
  );

/** Follows the pages to the end. @param after the target of the page after one, if there is any */
async function list(client: Client, first: string, after: (page: Page) => string | undefined): Promise<Shown[]> {
  const found: Shown[] = [];
  let target: string | undefined = first;
  while (target !== undefined) {
    const page: Page = await client.call('GET', target);
    found.push(...page.value);
    target = after(page);
  }
  return found;
}

const lower = (text: string): string => text.toLowerCase();

const cellsOf = ({ objectId, tenantId, principalType, clientIds }: Shown): Cells => ({
  ObjectId: objectId,
  TenantId: tenantId,
  PrincipalType: principalType,
  ClientIds: clientIds?.join(' '),
});
