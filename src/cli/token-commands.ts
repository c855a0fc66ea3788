import { type Command, Option } from 'commander';
import { SCOPES } from '../capabilities/tables.ts';
import type { CliContext } from './cli-context.ts';
import {
  addCommand,
  addGroup,
  DEFAULT_RESOURCE,
  outputOption,
  type Printing,
  withConnectionString,
  withOperator,
  withService,
  type Yes,
  yesOption,
} from './command.ts';
import { confirm } from './confirm.ts';
import { CommandError, wrongUse } from './exit.ts';
import { type Explanation, explainToken, type Introspection, type ServerAnswer } from './explain-token.ts';
import type { Client } from './http-client.ts';
import { wholeNumber } from './identity-commands.ts';
import { identityPath } from './identity-paths.ts';
import { type Cells, print } from './output.ts';
import {
  findOperatorAccess,
  givenConnection,
  type OperatorOptions,
  operatorAddress,
  type ServiceOptions,
  serviceAccess,
} from './server-access.ts';

interface IssueOptions extends ServiceOptions, Printing {
  scope: string[];
  user?: string;
  minutes?: number;
}

interface Issued {
  readonly token: string;
  readonly expiresOn: string;
}

type Asking = ServiceOptions & OperatorOptions & Printing & { token: string };

/** `linarite identity token …`: az's `communication identity token`, and questions about a token. */
export function addTokenCommands(identity: Command, context: CliContext): void {
  const tokens = addGroup(identity, 'token', 'access tokens of users');

  withService(
    addCommand(
      tokens,
      'issue',
      'issue a token; without --user, for a new user',
      'linarite identity token issue --scope chat voip --user 8:acs:…',
    ),
  )
    .addOption(new Option('--scope <scope...>', 'what the token permits').choices(SCOPES).makeOptionMandatory())
    .option('--user <id>', 'id of the user')
    .addOption(new Option('--minutes <number>', 'lifetime of the token').argParser(wholeNumber))
    .addOption(outputOption())
    .action(async (options: IssueOptions) => {
      const { user, token, expiresOn } = await issue(context, options);
      print({ expires_on: expiresOn, token, user_id: user }, options.output, [
        { User: user, ExpiresOn: expiresOn, Token: token },
      ]);
    });

  withService(
    addCommand(tokens, 'revoke', 'end every token of a user', 'linarite identity token revoke --user 8:acs:… --yes'),
  )
    .requiredOption('--user <id>', 'id of the user')
    .addOption(yesOption())
    .action(async (options: ServiceOptions & Yes & { user: string }) => {
      await confirm(`End every token of ${options.user}?`, options.yes);
      const client = await serviceAccess(context, options, DEFAULT_RESOURCE);
      await client.call('POST', identityPath(options.user, '/:revokeAccessTokens'));
    });

  asking(
    addCommand(
      tokens,
      'introspect',
      'ask the server whether a token is valid now (RFC 7662)',
      'linarite identity token introspect --token eyJ…',
      'echo "$TOKEN" | linarite identity token introspect --token -',
    ),
  ).action(async (options: Asking) => {
    const token = await tokenFrom(context, options);
    const client = (await findOperator(context, options)) ?? (await serviceAccess(context, options, DEFAULT_RESOURCE));
    const answer = await client.call<Introspection>('POST', '/-/introspect', {
      body: String(new URLSearchParams({ token })),
    });
    print(answer, options.output, [introspectionCells(answer)]);
  });

  asking(
    addCommand(
      tokens,
      'explain',
      'show what a token says and permits, and why it is not accepted',
      'linarite identity token explain --token eyJ… --output table',
    ),
  ).action(async (options: Asking) => {
    const token = await tokenFrom(context, options);
    const explanation = explainToken(token, await ask(context, options, token), Date.now());
    print(explanation, options.output, explanationCells(explanation));
  });
}

const asking = (command: Command): Command =>
  withOperator(
    withConnectionString(
      command.requiredOption(
        '--token <token>',
        'the token; - reads it from standard input, so that the list of processes does not show it',
      ),
      'ask as this resource, not as the operator',
    ),
  ).addOption(outputOption());

async function issue(
  context: CliContext,
  { scope, user, minutes, ...options }: IssueOptions,
): Promise<Issued & { user: string }> {
  const client = await serviceAccess(context, options, DEFAULT_RESOURCE);
  const life = minutes !== undefined && { expiresInMinutes: minutes };
  if (user !== undefined) {
    const body = { scopes: scope, ...life };
    return { user, ...(await client.call<Issued>('POST', identityPath(user, '/:issueAccessToken'), { body })) };
  }
  const { identity, accessToken } = await client.call<{ identity: { id: string }; accessToken: Issued }>(
    'POST',
    identityPath(),
    { body: { createTokenWithScopes: scope, ...life } },
  );
  return { user: identity.id, ...accessToken };
}

async function tokenFrom(context: CliContext, { token, connectionStringFile }: Asking): Promise<string> {
  if (token !== '-') return token;
  if (connectionStringFile === '-')
    throw wrongUse('--token and --connection-string-file cannot both be read from standard input');
  return (await context.input()).trim();
}

/** The operator is told why, so the operator asks, unless the connection string is that of another server. */
async function findOperator(context: CliContext, options: Asking): Promise<Client | undefined> {
  if (options.connectionString !== undefined || options.connectionStringFile !== undefined) return undefined;
  const given = options.endpoint === undefined ? await givenConnection(context, options) : undefined;
  if (given && given.endpoint.origin !== operatorAddress(context, options).endpoint.origin) return undefined;
  return findOperatorAccess(context, options);
}

/** Asks the server where that is possible; a token can be explained without a server, too. */
async function ask(context: CliContext, options: Asking, token: string): Promise<ServerAnswer> {
  const body = String(new URLSearchParams({ token }));
  try {
    const operator = await findOperator(context, options);
    const isGiven = (await givenConnection(context, options)) !== undefined;
    if (!operator && !isGiven) return { asked: 'nobody', problem: 'neither an operator key nor a connection string' };
    const client = operator ?? (await serviceAccess(context, options, DEFAULT_RESOURCE));
    const answer = await client.call<Introspection>('POST', '/-/introspect', { body });
    return { asked: operator ? 'operator' : 'resource', answer };
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    return { asked: 'nobody', problem: cause.message };
  }
}

const introspectionCells = ({ active, inactive_reason, sub, scope, exp }: Introspection): Cells => ({
  Active: active,
  Reason: inactive_reason,
  User: sub,
  Scope: scope,
  ExpiresOn: exp === undefined ? undefined : new Date(exp * 1000).toISOString(),
});

const explanationCells = ({ header, claims, permits, issuedAt, expiresOn, server }: Explanation): Cells[] => [
  { Name: 'accepted', Value: server.active === null ? 'not known' : server.active ? 'yes' : 'no' },
  { Name: 'reason', Value: server.reason ?? server.problem },
  { Name: 'issued', Value: issuedAt },
  { Name: 'expires', Value: expiresOn },
  ...Object.entries(header).map(([name, value]) => ({ Name: `header ${name}`, Value: textOf(value) })),
  ...Object.entries(claims).map(([name, value]) => ({ Name: `claim ${name}`, Value: textOf(value) })),
  ...Object.entries(permits).map(([scope, grants]) => ({ Name: scope, Value: grants.join(' ') })),
];

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
