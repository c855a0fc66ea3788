import { isDeepStrictEqual } from 'node:util';
import { type Command, Option } from 'commander';
import { narrows, type TrustDefinition } from '../trusts/trust.ts';
import type { CliContext } from './cli-context.ts';
import { addCommand, addGroup, outputOption, type Printing, withOperator, type Yes, yesOption } from './command.ts';
import { confirm } from './confirm.ts';
import { CommandError, complain, wrongUse } from './exit.ts';
import { addGrantCommands } from './grant-commands.ts';
import { type Client, Refusal } from './http-client.ts';
import { type Cells, print } from './output.ts';
import { type OperatorOptions, operatorAccess } from './server-access.ts';
import { type DefinitionOptions, definitionFrom, withDefinition } from './trust-definition.ts';
import { type ShownTrust, trustPath } from './trust-paths.ts';

type Named = OperatorOptions & { name: string };
type Checking = { check: boolean };

/** What the server found at one address of keys. */
interface Check {
  readonly tenantId?: string;
  readonly keys?: number;
  readonly failure?: string;
}

/** `linarite trust …`: whose tokens, other than the server's own, are trusted. */
export function addTrustCommands(program: Command, context: CliContext): void {
  const trusts = addGroup(program, 'trust', 'issuers whose tokens are accepted, and what these tokens permit');
  const named = (name: string, summary: string, ...examples: readonly string[]): Command =>
    withOperator(addCommand(trusts, name, summary, ...examples)).addOption(nameOption().makeOptionMandatory());

  withDefinition(
    named(
      'create',
      'accept the tokens of an issuer',
      'linarite trust create --name contoso --entra 5e1f0057-0000-4000-8000-000000000002',
      'linarite trust create --name shop --keycloak https://id.example.org/realms/shop',
      'linarite trust create --name other --issuer https://id.example.org --claim objectId=sub tenantId= --algorithm ES256',
    ),
  )
    .addOption(checkOption())
    .addOption(outputOption())
    .action(async (options: Named & DefinitionOptions & Printing & Checking) => {
      const { name } = options;
      const { issuer, entra, keycloak } = options;
      if (!issuer && !entra && !keycloak) throw wrongUse('one of --issuer, --entra and --keycloak is needed');
      const body = definitionFrom(options);
      const client = operatorAccess(context, options);
      if (await find(client, name))
        throw new CommandError(`the trust ${name} already exists: change it with \`trust update\``);
      show(await client.call<ShownTrust>('PUT', trustPath(name), { body }), options);
      await warnOfFailures(client, options);
    });

  withDefinition(
    named(
      'update',
      'change the given members of a trust; if it then accepts less, the tokens issued through it end',
      "linarite trust update --name contoso --application '*'",
      "linarite trust update --name contoso --application ''",
    ),
  )
    .addHelpText('after', "\nA list replaces the former one. Empty text ('') sets a member back to its default.")
    .addOption(checkOption())
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (options: Named & DefinitionOptions & Printing & Yes & Checking) => {
      const { name } = options;
      const client = operatorAccess(context, options);
      const former = await client.call<ShownTrust>('GET', trustPath(name));
      const body = definitionFrom(options, former);
      if (isSame(former, body)) throw wrongUse('nothing would change: give an option with a new value');
      if (narrows(former, body))
        await confirm(`Change the trust ${name} and end the tokens issued through it?`, options.yes);
      show(await client.call<ShownTrust>('PUT', trustPath(name), { body }), options);
      await warnOfFailures(client, options);
    });

  named('check', "read the keys of a trust's issuer now", 'linarite trust check --name contoso --output table')
    .addOption(outputOption())
    .action(async (options: Named & Printing) => {
      const checks = await check(operatorAccess(context, options), options.name);
      print(checks, options.output, checks.map(checkCells));
      const failures = checks.filter(({ failure }) => failure !== undefined);
      if (failures.length > 0) throw new CommandError(`the keys of the trust ${options.name} cannot be read`);
    });

  withOperator(addCommand(trusts, 'list', 'list trusts', 'linarite trust list --output table'))
    .addOption(outputOption())
    .action(async (options: OperatorOptions & Printing) => {
      const { value } = await operatorAccess(context, options).call<{ value: ShownTrust[] }>('GET', trustPath());
      print(value, options.output, value.map(cellsOf));
    });

  named('show', 'show a trust with its grants', 'linarite trust show --name contoso')
    .addOption(outputOption())
    .action(async (options: Named & Printing) => {
      show(await operatorAccess(context, options).call<ShownTrust>('GET', trustPath(options.name)), options);
    });

  named('enable', 'enable a trust again; tokens that were ended stay ended', 'linarite trust enable --name contoso')
    .addOption(outputOption())
    .action(async (options: Named & Printing) => {
      const target = trustPath(options.name, '/:enable');
      show(await operatorAccess(context, options).call<ShownTrust>('POST', target), options);
    });

  named(
    'disable',
    'disable a trust, and end the tokens issued through it',
    'linarite trust disable --name contoso --yes',
  )
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (options: Named & Printing & Yes) => {
      await confirm(`Disable the trust ${options.name} and end the tokens issued through it?`, options.yes);
      const target = trustPath(options.name, '/:disable');
      show(await operatorAccess(context, options).call<ShownTrust>('POST', target), options);
    });

  named(
    'delete',
    'delete a trust with its grants, and end the tokens issued through it',
    'linarite trust delete --name contoso --yes',
  )
    .addOption(yesOption())
    .action(async (options: Named & Yes) => {
      const { name } = options;
      await confirm(`Delete the trust ${name} with its grants and end the tokens issued through it?`, options.yes);
      const client = operatorAccess(context, options);
      // The server answers the same when nothing is there; a mistyped name has to be reported.
      await client.call('GET', trustPath(name));
      await client.call('DELETE', trustPath(name));
    });

  addGrantCommands(trusts, context);
}

const nameOption = (): Option => new Option('-n, --name <name>', 'name of the trust');

async function find(client: Client, name: string): Promise<ShownTrust | undefined> {
  try {
    return await client.call<ShownTrust>('GET', trustPath(name));
  } catch (cause) {
    if (cause instanceof Refusal && cause.code === 'TrustNotFound') return undefined;
    throw cause;
  }
}

const checkOption = (): Option => new Option('--no-check', "do not check whether the issuer's keys can be read");

const check = async (client: Client, name: string): Promise<Check[]> =>
  (await client.call<{ value: Check[] }>('POST', trustPath(name, '/:check'))).value;

/** The trust stands, whatever comes of this: its issuer may be started later. */
async function warnOfFailures(client: Client, { name, check: wanted }: Named & Checking): Promise<void> {
  if (!wanted) return;
  for (const { tenantId, failure } of await check(client, name)) {
    if (failure === undefined) continue;
    const whose = tenantId === undefined ? 'the issuer' : `the tenant ${tenantId}`;
    complain(`warning: the keys of ${whose} cannot be read now: ${failure}; \`linarite trust check\` tries again`);
  }
}

const checkCells = ({ tenantId, keys, failure }: Check): Cells => ({ Tenant: tenantId, Keys: keys, Failure: failure });

/** Compares without checking the former one: an earlier release may have taken what is refused now. */
const isSame = (former: TrustDefinition, next: TrustDefinition): boolean =>
  Object.entries(next).every(([member, value]) => isDeepStrictEqual(former[member as keyof TrustDefinition], value));

const show = (trust: ShownTrust, { output }: Printing): void => print(trust, output, [cellsOf(trust)]);

const cellsOf = ({ name, enabled, issuers, tenants, grants }: ShownTrust): Cells => ({
  Name: name,
  Enabled: enabled,
  Issuers: issuers.join(' '),
  Tenants: tenants.join(' '),
  Grants: grants.length,
});
