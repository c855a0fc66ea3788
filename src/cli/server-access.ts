import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { readPrivateFile } from '../secrets/kek.ts';
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
import type { Surroundings } from './surroundings.ts';

/** Options of every command that acts for a resource. */
export interface ServiceOptions {
  connectionString?: string;
  connectionStringFile?: string;
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
  around: Surroundings,
  options: ServiceOptions,
  fallback: Place & { name: string },
): Promise<Client> {
  const connection = (await givenConnection(around, options)) ?? (await ownConnection(around, options, fallback));
  return serviceClient(connection, authorities(around, connection.endpoint, options.ca));
}

/** The connection string that was given, by option or environment. @throws CommandError, SettingsError when it cannot be read */
export async function givenConnection(
  around: Surroundings,
  { connectionString, connectionStringFile: file }: ServiceOptions,
): Promise<Connection | undefined> {
  const { environment } = around;
  if (connectionString !== undefined) return connectionFrom(connectionString, '--connection-string');
  if (file !== undefined) {
    const text = file === '-' ? await around.input() : readPrivateFile(file, '--connection-string-file');
    return connectionFrom(text, '--connection-string-file');
  }
  const variable = CONNECTION_STRING_VARIABLES.find((name) => environment[name]);
  return variable && connectionFrom(environment[variable] ?? '', variable);
}

async function ownConnection(
  around: Surroundings,
  { ca }: ServiceOptions,
  { name, ...place }: Place & { name: string },
): Promise<Connection> {
  const operator = findOperatorAccess(around, ca === undefined ? {} : { ca });
  const missing = `no connection string: give --connection-string-file, or set ${CONNECTION_STRING_VARIABLES[0]}`;
  if (!operator) throw wrongUse(missing);
  try {
    const keys = await operator.call<Keys>('POST', servicePath(place, `/${name}/listKeys`));
    return connectionFrom(keys.primaryConnectionString ?? '', 'the connection string of the server');
  } catch (cause) {
    if (!(cause instanceof Refusal) || cause.status !== 404) throw cause;
    throw wrongUse(`${missing}; \`linarite connection-string --name …\` prints that of a resource`);
  }
}

/** A client with the operator key. @throws CommandError when there is no key at hand */
export function operatorAccess(around: Surroundings, options: OperatorOptions): Client {
  const client = findOperatorAccess(around, options);
  if (client) return client;
  const { settings } = around;
  throw new CommandError(
    `no operator key: set LINARITE_OPERATOR_KEY, or LINARITE_DATA to the data folder of the server (looked for ${operatorKeyFile(settings)})`,
  );
}

/** As {@link operatorAccess}, undefined when there is no key at hand. */
export function findOperatorAccess(around: Surroundings, options: OperatorOptions): Client | undefined {
  const endpoint = operatorEndpoint(around, options);
  const key = operatorKeyFor(around, endpoint);
  return key === undefined
    ? undefined
    : operatorClient({ endpoint, ca: authorities(around, endpoint, options.ca) }, key);
}

/** Where the operator's requests go. @throws CommandError when that is not known */
export function operatorEndpoint({ settings }: Surroundings, { endpoint }: OperatorOptions): URL {
  if (endpoint !== undefined) return endpointFrom(endpoint, '--endpoint');
  if (settings.publicUrl !== undefined) return endpointFrom(settings.publicUrl, 'LINARITE_PUBLIC_URL');
  if (settings.port === 0)
    throw wrongUse('LINARITE_PORT is 0, so where the server listens is not known: give --endpoint');
  return new URL(`https://localhost:${settings.port}/`);
}

/** The key in the data folder is that server's: it goes to this machine or to that server's own address, nowhere else. */
function operatorKeyFor({ settings }: Surroundings, endpoint: URL): string | undefined {
  if (settings.operatorKey !== undefined) return settings.operatorKey;
  const file = operatorKeyFile(settings);
  const known = isThisMachine(endpoint) || endpoint.origin === settings.publicUrl;
  return known && existsSync(file) ? readPrivateFile(file, 'LINARITE_DATA').trim() : undefined;
}

const operatorKeyFile = ({ data }: Surroundings['settings']): string => join(resolve(data), 'operator.key');

/** Whom to trust: the file that was named; or on this machine the server's own authority; or what the system trusts. */
function authorities({ settings }: Surroundings, endpoint: URL, file: string | undefined): Line['ca'] {
  if (file !== undefined) return [readAuthority(file)];
  const own = join(resolve(settings.data), 'ca.pem');
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
