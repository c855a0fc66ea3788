import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { readPrivateFile } from '../secrets/kek.ts';
import type { CliContext } from './cli-context.ts';
import {
  CONNECTION_STRING_VARIABLES,
  type Connection,
  connectionFrom,
  endpointFrom,
  isThisMachine,
} from './connection-string.ts';
import { CommandError, wrongUse } from './exit.ts';
import { type Client, type Line, operatorClient, Refusal, serviceClient } from './http-client.ts';
import { type Keys, type Place, servicePath } from './management-paths.ts';

/** Options of every command that acts for a resource. */
export interface ServiceOptions {
  connectionString?: string;
  connectionStringFile?: string;
  /** Where the server is reached, in place of what the connection string says. */
  endpoint?: string;
  ca?: string;
}

/** Options of every command that acts for the operator. */
export interface OperatorOptions {
  endpoint?: string;
  ca?: string;
}

/**
 * A client that signs with an access key. The connection string is the option's, or the environment's, or the one that
 * the server on this machine gives its operator for the development resource.
 * @throws CommandError when there is none
 */
export async function serviceAccess(
  context: CliContext,
  options: ServiceOptions,
  fallback: Place & { name: string },
): Promise<Client> {
  const { source, ...connection } =
    (await givenConnection(context, options)) ?? (await ownConnection(context, options, fallback));
  return serviceClient(connection, lineTo(context, { endpoint: connection.endpoint, source }, options.ca));
}

/** The connection string that was given, by option or environment. @throws CommandError, SettingsError when it cannot be read */
export async function givenConnection(
  context: CliContext,
  options: ServiceOptions,
): Promise<(Connection & Address) | undefined> {
  const given = await givenText(context, options);
  if (given === undefined) return undefined;
  const { text, source } = given;
  return reachedAt(options.endpoint, { ...connectionFrom(text, source), source });
}

async function givenText(
  context: CliContext,
  { connectionString, connectionStringFile: file }: ServiceOptions,
): Promise<{ text: string; source: string } | undefined> {
  if (connectionString !== undefined) return { text: connectionString, source: '--connection-string' };
  if (file !== undefined) {
    const source = '--connection-string-file';
    return { text: file === '-' ? await context.input() : readPrivateFile(file, source), source };
  }
  const { environment } = context;
  const variable = CONNECTION_STRING_VARIABLES.find((name) => environment[name]);
  return variable && { text: environment[variable] ?? '', source: variable };
}

/** A connection string says how others reach the server; on its own machine that may be another address. */
const reachedAt = (endpoint: string | undefined, connection: Connection & Address): Connection & Address =>
  endpoint === undefined
    ? connection
    : { ...connection, endpoint: endpointFrom(endpoint, '--endpoint'), source: '--endpoint' };

async function ownConnection(
  context: CliContext,
  { endpoint, ca }: ServiceOptions,
  { name, ...place }: Place & { name: string },
): Promise<Connection & Address> {
  const options = { ...(endpoint !== undefined && { endpoint }), ...(ca !== undefined && { ca }) };
  const operator = findOperatorAccess(context, options);
  const missing = `no connection string: give --connection-string-file, or set ${CONNECTION_STRING_VARIABLES[0]}`;
  if (!operator)
    throw wrongUse(
      `${missing}; or, on the machine of a running server, set LINARITE_DATA to its data folder (${noOperatorKey(context)})`,
    );
  try {
    const keys = await operator.call<Keys>('POST', servicePath(place, `/${name}/listKeys`));
    const source = 'the connection string of the server';
    return reachedAt(endpoint, { ...connectionFrom(keys.primaryConnectionString ?? '', source), source });
  } catch (cause) {
    if (!(cause instanceof Refusal) || cause.status !== 404) throw cause;
    throw wrongUse(`${missing}; \`linarite connection-string --name …\` prints the connection string of a resource`);
  }
}

/** A client with the operator key. @throws CommandError when there is no key at hand */
export function operatorAccess(context: CliContext, options: OperatorOptions): Client {
  const client = findOperatorAccess(context, options);
  if (client) return client;
  throw new CommandError(
    `no operator key: set LINARITE_OPERATOR_KEY, or LINARITE_DATA to the data folder of the server (${noOperatorKey(context)})`,
  );
}

/** As {@link operatorAccess}, undefined when there is no key at hand. */
export function findOperatorAccess(context: CliContext, options: OperatorOptions): Client | undefined {
  const address = operatorAddress(context, options);
  const key = operatorKeyFor(context, address.endpoint);
  return key === undefined ? undefined : operatorClient(lineTo(context, address, options.ca), key);
}

/** Where a server is, and what said so. */
export interface Address {
  readonly endpoint: URL;
  readonly source: string;
}

/** Where the operator's requests go. @throws CommandError when that is not known */
export function operatorAddress({ settings }: CliContext, { endpoint }: OperatorOptions): Address {
  const given = (text: string, source: string): Address => ({ endpoint: endpointFrom(text, source), source });
  if (endpoint !== undefined) return given(endpoint, '--endpoint');
  if (settings.publicUrl !== undefined) return given(settings.publicUrl, 'LINARITE_PUBLIC_URL');
  if (settings.port === 0)
    throw wrongUse('LINARITE_PORT is 0, so the port of the server is not known: give --endpoint');
  return given(`https://localhost:${settings.port}/`, 'LINARITE_PORT');
}

function lineTo(context: CliContext, { endpoint, source }: Address, ca: string | undefined): Line {
  const { port } = context.settings;
  return {
    endpoint,
    source,
    ca: authorities(context, endpoint, ca),
    here: `http://localhost:${port === 0 ? '<port>' : port}`,
  };
}

/** The key in the data folder is that server's: it goes to this machine or to that server's own address, nowhere else. */
function operatorKeyFor({ settings }: CliContext, endpoint: URL): string | undefined {
  if (settings.operatorKey !== undefined) return settings.operatorKey;
  const file = operatorKeyFile(settings);
  const known = isThisMachine(endpoint) || endpoint.origin === settings.publicUrl;
  return known && existsSync(file) ? readPrivateFile(file, 'LINARITE_DATA').trim() : undefined;
}

/** Why none was found in the data folder. */
function noOperatorKey({ settings }: CliContext): string {
  if (settings.data === ':memory:') return 'a server with LINARITE_DATA=:memory: writes none';
  const file = operatorKeyFile(settings);
  return existsSync(file) ? `${file} is only sent to this machine and to LINARITE_PUBLIC_URL` : `there is no ${file}`;
}

const operatorKeyFile = ({ data }: CliContext['settings']): string => join(resolve(data), 'operator.key');

/** The certificate authority that a server in dev mode leaves in its data folder. */
export const authorityFile = ({ settings }: Pick<CliContext, 'settings'>): string =>
  join(resolve(settings.data), 'ca.pem');

/** Whom to trust: the file that was named; or on this machine the server's own authority; or what the system trusts. */
function authorities({ settings }: CliContext, endpoint: URL, file: string | undefined): Line['ca'] {
  if (file !== undefined) return [readAuthority(file)];
  const own = authorityFile({ settings });
  if (!isThisMachine(endpoint) || endpoint.protocol === 'http:' || !existsSync(own)) return undefined;
  return [readAuthority(own), ...getCACertificates('extra')]; // NODE_EXTRA_CA_CERTS may name another server's
}

/** Reads PEM. @throws CommandError */
export function readAuthority(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw wrongUse(`${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}
