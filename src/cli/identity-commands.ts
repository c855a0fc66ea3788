import { type Command, Option } from 'commander';
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
import { CommandError, wrongUse } from './exit.ts';
import type { Client } from './http-client.ts';
import { identityPath } from './identity-paths.ts';
import { type Cells, print } from './output.ts';
import { type ServiceOptions, serviceAccess } from './server-access.ts';

/** An identity as the directory shows it. */
interface Entry {
  readonly id: string;
  readonly customId?: string;
  readonly createdAt: string;
  readonly lastTokenIssuedAt?: string;
}

interface Page {
  readonly value: readonly Entry[];
  readonly continuation?: string;
}

interface ListOptions extends ServiceOptions, Printing {
  maxItems: number;
  continuation?: string;
  customId?: string;
}

const MOST_PER_PAGE = 1000;

/** `linarite identity user …`: az's `communication identity user`, and the directory that az has no command for. */
export function addUserCommands(identity: Command, context: CliContext): void {
  const users = addGroup(identity, 'user', 'users of a resource');
  const service = (options: ServiceOptions): Promise<Client> => serviceAccess(context, options, DEFAULT_RESOURCE);

  withService(addCommand(users, 'create', 'create a user', 'linarite identity user create'))
    .option('--custom-id <text>', 'your own name for the user; if a user has this name already, that user is returned')
    .addOption(outputOption())
    .action(async (options: ServiceOptions & Printing & { customId?: string }) => {
      const { customId } = options;
      const client = await service(options);
      const body = customId === undefined ? undefined : { customId };
      const { identity } = await client.call<{ identity: { id: string } }>('POST', identityPath(), { body });
      const { id } = identity;
      print({ properties: { id }, rawId: id }, options.output, [{ Id: id }]); // az's nesting
    });

  withService(
    addCommand(
      users,
      'delete',
      "delete a user and end the user's tokens",
      'linarite identity user delete --user 8:acs:… --yes',
    ),
  )
    .requiredOption('--user <id>', 'id of the user')
    .addOption(yesOption())
    .action(async (options: ServiceOptions & Yes & { user: string }) => {
      await confirm(`Delete the user ${options.user}?`, options.yes);
      await (await service(options)).call('DELETE', identityPath(options.user));
    });

  withService(
    addCommand(
      users,
      'list',
      'list the users of a resource, by id',
      'linarite identity user list --max-items 20 --output table',
    ),
  )
    .addOption(
      new Option('--max-items <number>', 'largest number of users to list').default(100).argParser(wholeNumber),
    )
    .option('--continuation <text>', 'continue where an earlier list stopped')
    .option('--custom-id <text>', 'only the user who has this custom id')
    .addOption(outputOption())
    .action(async (options: ListOptions) => {
      const page = await list(await service(options), options);
      print(page, options.output, page.value.map(cellsOf));
      if (options.output === 'table' && page.continuation !== undefined)
        process.stderr.write(`More: --continuation ${page.continuation}\n`);
    });

  withService(addCommand(users, 'show', 'show a user', 'linarite identity user show --user 8:acs:…'))
    .option('--user <id>', 'id of the user')
    .option('--custom-id <text>', 'custom id of the user')
    .addOption(outputOption())
    .action(async (options: ServiceOptions & Printing & { user?: string; customId?: string }) => {
      const { user, customId } = options;
      if ((user === undefined) === (customId === undefined)) throw wrongUse('one of --user and --custom-id is needed');
      const client = await service(options);
      const entry =
        user === undefined
          ? (await list(client, { customId: customId ?? '', maxItems: 1 })).value[0]
          : await client.call<Entry>('GET', `/-/identities/${encodeURIComponent(user)}`);
      if (!entry) throw new CommandError(`no user has the custom id ${customId}`);
      print(entry, options.output, [cellsOf(entry)]);
    });
}

/** Follows the pages until there are enough. */
async function list(
  client: Client,
  { maxItems, continuation, customId }: Pick<ListOptions, 'maxItems' | 'continuation' | 'customId'>,
): Promise<Page> {
  const value: Entry[] = [];
  let next = continuation;
  do {
    const query = new URLSearchParams({ pageSize: String(Math.min(maxItems - value.length, MOST_PER_PAGE)) });
    if (next !== undefined) query.set('continuation', next);
    if (customId !== undefined) query.set('customId', customId);
    const page = await client.call<Page>('GET', `/-/identities?${query}`);
    value.push(...page.value);
    next = page.continuation;
  } while (next !== undefined && value.length < maxItems);
  return { value, ...(next !== undefined && { continuation: next }) };
}

const cellsOf = ({ id, customId, createdAt, lastTokenIssuedAt }: Entry): Cells => ({
  Id: id,
  CustomId: customId,
  CreatedAt: createdAt,
  LastTokenIssuedAt: lastTokenIssuedAt,
});

/** Reads a number of things. @throws CommandError */
export function wholeNumber(text: string): number {
  const number = Number(text);
  if (!/^\d{1,9}$/.test(text) || number < 1) throw wrongUse(`'${text}' is not a whole number of 1 or more`);
  return number;
}
