import { type Command, Option } from 'commander';
import { KEY_SLOTS, type KeySlot } from '../callers.ts';
import type { CliContext } from './cli-context.ts';
import {
  addCommand,
  addGroup,
  DEFAULT_RESOURCE,
  outputOption,
  type Placed,
  type Printing,
  subscriptionOption,
  withOperator,
  withPlace,
  type Yes,
  yesOption,
} from './command.ts';
import { confirm } from './confirm.ts';
import { wrongUse } from './exit.ts';
import { type Client, Refusal } from './http-client.ts';
import { type KeyFileOptions, readKeys, withKeyFiles } from './key-files.ts';
import { groupPath, type Keys, servicePath, subscriptionServicesPath } from './management-paths.ts';
import { type Cells, print } from './output.ts';
import { operatorAccess } from './server-access.ts';

/** A communication service, as the management plane shows it. */
interface Service {
  readonly id: string;
  readonly name: string;
  readonly location: string;
  readonly properties: { readonly dataLocation: string; readonly immutableResourceId: string };
}

type Named = Placed & { name: string };

interface CreateOptions extends Named, Printing, KeyFileOptions {
  dataLocation: string;
  location: string;
  tags?: string[];
  resourceId?: string;
}

/** `linarite resource …`: az's `communication create`, `list`, `show` and `delete`. */
export function addResourceCommands(program: Command, context: CliContext): void {
  const resources = addGroup(program, 'resource', 'resources; each has its own keys and users');

  withKeyFiles(
    withPlace(
      addCommand(
        resources,
        'create',
        'create a resource, or change its tags',
        'linarite resource create --name contoso --data-location "United States"',
        'linarite resource create --name contoso --data-location "United States" --resource-id <GUID> --primary-key-file primary.key --secondary-key-file secondary.key',
      ),
    ),
  )
    .addOption(nameOption().makeOptionMandatory())
    .requiredOption('--data-location <name>', 'stated location of its data, such as Europe; tokens contain it')
    .option('-l, --location <name>', 'location of the resource', 'global')
    .option('--tags <key=value...>', 'tags')
    .option('--resource-id <guid>', 'GUID that the resource has in the original: users keep their ids')
    .addOption(outputOption())
    .action(async (options: CreateOptions) => {
      const service = await create(operatorAccess(context, options), options);
      print(service, options.output, [cellsOf(service)]);
    });

  withOperator(addCommand(resources, 'list', 'list resources', 'linarite resource list --output table'))
    .option('-g, --resource-group <name>', 'only resources of this group')
    .addOption(subscriptionOption())
    .addOption(outputOption())
    .action(async (options: Omit<Placed, 'resourceGroup'> & Printing & { resourceGroup?: string }) => {
      const { subscription, resourceGroup, output } = options;
      const target =
        resourceGroup === undefined
          ? subscriptionServicesPath(subscription)
          : servicePath({ subscription, resourceGroup });
      const { value } = await operatorAccess(context, options).call<{ value: Service[] }>('GET', target);
      print(value, output, value.map(cellsOf));
    });

  withPlace(addCommand(resources, 'show', 'show a resource', 'linarite resource show --name contoso'))
    .addOption(nameOption().makeOptionMandatory())
    .addOption(outputOption())
    .action(async (options: Named & Printing) => {
      const service = await operatorAccess(context, options).call<Service>('GET', pathOf(options));
      print(service, options.output, [cellsOf(service)]);
    });

  withPlace(
    addCommand(
      resources,
      'delete',
      'delete a resource with its keys, users and tokens',
      'linarite resource delete --name contoso --yes',
    ),
  )
    .addOption(nameOption().makeOptionMandatory())
    .addOption(yesOption())
    .action(async (options: Named & Yes) => {
      await confirm(`Delete the resource ${options.name} with its keys, users and tokens?`, options.yes);
      const client = operatorAccess(context, options);
      // The server answers the same when nothing is there; a mistyped name has to be reported.
      await client.call('GET', pathOf(options));
      await client.call('DELETE', pathOf(options));
    });
}

/** `linarite key …` and `linarite connection-string`: az's `communication list-key` and `regenerate-key`. */
export function addKeyCommands(program: Command, context: CliContext): void {
  const keys = addGroup(program, 'key', 'access keys of a resource');

  withPlace(addCommand(keys, 'list', 'show both access keys', 'linarite key list --name contoso'))
    .addOption(nameOption().makeOptionMandatory())
    .addOption(outputOption())
    .action(async (options: Named & Printing) => {
      const found = await listKeys(context, options);
      print(found, options.output, keyCells(found));
    });

  withPlace(
    addCommand(
      keys,
      'regenerate',
      'replace an access key; the tokens issued under it end',
      'linarite key regenerate --name contoso --key-type primary --yes',
    ),
  )
    .addOption(nameOption().makeOptionMandatory())
    .addOption(keyTypeOption().makeOptionMandatory())
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (options: Named & Printing & Yes & { keyType: KeySlot }) => {
      const { name, keyType } = options;
      await confirm(`Replace the ${keyType} key of ${name} and end the tokens issued under it?`, options.yes);
      const target = pathOf(options, '/regenerateKey');
      const fresh = await operatorAccess(context, options).call<Keys>('POST', target, { body: { keyType } });
      print(fresh, options.output, keyCells(fresh));
    });

  withPlace(
    addCommand(
      program,
      'connection-string',
      'print the connection string of a resource',
      'export AZURE_COMMUNICATION_CONNECTION_STRING="$(linarite connection-string)"',
    ),
  )
    .addOption(nameOption().default(DEFAULT_RESOURCE.name))
    .addOption(keyTypeOption().default('primary'))
    .action(async (options: Named & { keyType: KeySlot }) => {
      const text = (await listKeys(context, options))[`${options.keyType}ConnectionString`];
      process.stdout.write(`${text}\n`); // bare, so that a shell can take it as it is
    });
}

const nameOption = (): Option => new Option('-n, --name <name>', 'name of the resource');

const keyTypeOption = (): Option =>
  new Option('--key-type <slot>', 'which of the two keys').choices(KEY_SLOTS).argParser(keyType);

/** az takes `Primary` as well as `primary`. */
function keyType(text: string): KeySlot {
  const slot = KEY_SLOTS.find((candidate) => candidate === text.toLowerCase());
  if (!slot) throw wrongUse(`--key-type must be one of ${KEY_SLOTS.join(', ')}`);
  return slot;
}

const pathOf = ({ name, ...place }: Named, rest = ''): string =>
  servicePath(place, `/${encodeURIComponent(name)}${rest}`);

const listKeys = (context: CliContext, options: Named): Promise<Keys> =>
  operatorAccess(context, options).call<Keys>('POST', pathOf(options, '/listKeys'));

/** Creates the group, too, when it is missing: outside of Azure it is a name and nothing else. */
async function create(client: Client, options: CreateOptions): Promise<Service> {
  const { location, dataLocation, tags: words = [], resourceId, subscription, resourceGroup, name } = options;
  const keys = await readKeys(options);
  const tags = Object.fromEntries(words.map(tag));
  if (resourceId === undefined && Object.keys(keys).length > 0)
    throw wrongUse('access keys can be imported only together with the id of their resource: add --resource-id');
  const put = () =>
    resourceId === undefined
      ? client.call<Service>('PUT', pathOf(options), { body: { location, tags, properties: { dataLocation } } })
      : client.call<Service>('PUT', `/-/resources/${encodeURIComponent(resourceId)}`, {
          body: { subscriptionId: subscription, resourceGroup, name, location, dataLocation, tags, ...keys },
        });
  try {
    return await put();
  } catch (cause) {
    if (!(cause instanceof Refusal) || cause.code !== 'ResourceGroupNotFound') throw cause;
    await client.call('PUT', groupPath(options), { body: { location } });
    return put();
  }
}

function tag(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

const cellsOf = ({ id, name, location, properties }: Service): Cells => ({
  Name: name,
  ResourceGroup: id.split('/')[4],
  Location: location,
  DataLocation: properties.dataLocation,
  ResourceId: properties.immutableResourceId,
});

const keyCells = (keys: Keys): Cells[] =>
  KEY_SLOTS.filter((slot) => keys[`${slot}Key`] !== undefined).map((slot) => ({
    KeyType: slot,
    Key: keys[`${slot}Key`],
    ConnectionString: keys[`${slot}ConnectionString`],
  }));
