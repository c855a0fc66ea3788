import { type Command, Option } from 'commander';
import { type Grant, type PrincipalKind, RIGHTS, type Right } from '../trusts/trust.ts';
import type { CliContext } from './cli-context.ts';
import { addCommand, addGroup, outputOption, type Printing, withOperator, type Yes, yesOption } from './command.ts';
import { confirm } from './confirm.ts';
import { CommandError, wrongUse } from './exit.ts';
import { type Cells, print } from './output.ts';
import { type OperatorOptions, operatorAccess } from './server-access.ts';
import { grantPath, type ShownTrust, trustPath } from './trust-paths.ts';

type OfTrust = OperatorOptions & { trust: string };
type Named = OfTrust & { name: string };

interface AddOptions extends OfTrust, Printing, Partial<Record<PrincipalKind, string>> {
  name: string;
  right: Right;
  resource: string;
}

/** `linarite trust grant …`: what the tokens of a trust permit, and whom. */
export function addGrantCommands(trusts: Command, context: CliContext): void {
  const grants = addGroup(trusts, 'grant', 'who may do what with tokens of a trust');
  const ofTrust = (name: string, summary: string, ...examples: readonly string[]): Command =>
    withOperator(addCommand(grants, name, summary, ...examples)).requiredOption('--trust <name>', 'name of the trust');

  ofTrust(
    'add',
    'let a principal act on a resource; replaces the grant of that name',
    'linarite trust grant add --trust contoso --name shop-app --object-id 5e1f… --right data --resource shop',
    "linarite trust grant add --trust shop --name admins --role linarite-admin --right management --resource '*'",
  )
    .addOption(nameOption().makeOptionMandatory())
    .option('--object-id <id>', 'a service principal, managed identity or user, by object id')
    .option('--application-id <id>', "an application acting for itself, by client id; with Entra's claims only")
    .option('--role <role>', 'all callers whose token names the role')
    .addOption(
      new Option(
        '--right <right>',
        'data: routes for access keys; management: routes for the operator key; read: routes of both that change nothing',
      )
        .choices(RIGHTS)
        .makeOptionMandatory(),
    )
    .requiredOption('--resource <name>', "name or id of the resource, '*' for all")
    .addOption(outputOption())
    .action(async (options: AddOptions) => {
      const { trust, name, right, resource, output } = options;
      const body = { principal: principalIn(options), right, resource };
      const made = await operatorAccess(context, options).call<Grant>('PUT', grantPath(trust, name), { body });
      print(made, output, [cellsOf(made)]);
    });

  ofTrust(
    'remove',
    'remove a grant; tokens that were issued through it stay valid',
    'linarite trust grant remove --trust contoso --name shop-app --yes',
  )
    .addOption(nameOption().makeOptionMandatory())
    .addOption(yesOption())
    .action(async (options: Named & Yes) => {
      const { trust, name } = options;
      const question = `Tokens that were issued through it stay valid. Remove the grant ${name} of the trust ${trust}?`;
      await confirm(question, options.yes);
      const client = operatorAccess(context, options);
      const found = await client.call<ShownTrust>('GET', trustPath(trust));
      // The server answers the same when nothing is there; a mistyped name has to be reported.
      if (!found.grants.some((grant) => grant.name === name.toLowerCase()))
        throw new CommandError(`the trust ${trust} has no grant ${name}`);
      await client.call('DELETE', grantPath(trust, name));
    });

  ofTrust('list', 'list the grants of a trust', 'linarite trust grant list --trust contoso --output table')
    .addOption(outputOption())
    .action(async (options: OfTrust & Printing) => {
      const { grants } = await operatorAccess(context, options).call<ShownTrust>('GET', trustPath(options.trust));
      print(grants, options.output, grants.map(cellsOf));
    });
}

const nameOption = (): Option => new Option('-n, --name <name>', 'name of the grant, needed to remove it');

function principalIn({ objectId, applicationId, role }: AddOptions): Grant['principal'] {
  const named = Object.entries({ objectId, applicationId, role }).flatMap(([kind, value]) =>
    value === undefined ? [] : [{ kind: kind as PrincipalKind, value }],
  );
  const [principal, ...others] = named;
  if (!principal || others.length > 0) throw wrongUse('one of --object-id, --application-id and --role is needed');
  return principal;
}

const cellsOf = ({ name, principal, right, resource }: Grant): Cells => ({
  Name: name,
  Principal: `${principal.kind} ${principal.value}`,
  Right: right,
  Resource: resource,
});
