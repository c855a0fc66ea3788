import { trustLines } from '../certificates/trust-lines.ts';
import { SHELLS, usualShell } from '../lib/shells.ts';
import { APPLICATIONS } from '../planes/sign-in/directory.ts';
import type { Server } from '../server.ts';
import type { Settings } from '../settings.ts';
import { VERSION } from '../version.ts';

/** What a person needs first, printed once the server answers. What is behind a colon can be pasted as it is. */
export function readyBlock(settings: Settings, server: Server): string {
  const { endpoint, connectionString } = server;
  return lines([
    `Linarite ${VERSION} is ready in ${settings.mode} mode.`,
    `Endpoint: ${endpoint}`,
    // By plain HTTP, so that no browser has to trust anything.
    ...(settings.mode === 'dev' ? [`In a browser: http://localhost:${server.port}/`] : []),
    ...(connectionString === undefined ? [] : [`Connection string: ${connectionString}`]),
    ...signInLines(server),
    ...(settings.mode === 'production' ? operatorLines(settings, server) : []),
    ...trustPart(server),
  ]);
}

const lines = (all: readonly string[]): string => `${all.join('\n')}\n`;

function signInLines({ port, endpoint, issuer }: Server): string[] {
  if (issuer === undefined) return [];
  const shell = SHELLS[usualShell()];
  const managed = {
    // By plain HTTP, so that it works before anybody trusts the certificate authority.
    IDENTITY_ENDPOINT: `http://localhost:${port}/msi/token`,
    IDENTITY_HEADER: issuer.secret,
  };
  const service = {
    AZURE_AUTHORITY_HOST: endpoint.slice(0, -1),
    AZURE_TENANT_ID: 'adfs',
    AZURE_CLIENT_ID: APPLICATIONS.service.clientId,
    AZURE_CLIENT_SECRET: issuer.secret,
  };
  return [`Managed identity: ${shell.set(managed)}`, `Service principal: ${shell.set(service)}`];
}

/** Where it listens, which the public address does not say, and what to do there first. */
function operatorLines({ allowedHosts }: Settings, { addresses, port, resources }: Server): string[] {
  const [first] = resources.list();
  const command =
    first === undefined
      ? 'linarite resource create --name <name> --data-location Europe'
      : `linarite connection-string --name ${first.name}`;
  const here = allowedHosts.length === 0 || allowedHosts.includes('localhost');
  return [
    `Listening on: ${addresses.join(' ')}`,
    `Next, in a shell with the same settings: ${command}${here ? ` --endpoint http://localhost:${port}` : ''}`,
  ];
}

function trustPart({ caPath, endpoint }: Server): string[] {
  if (caPath === undefined) return [];
  const rows = trustLines(caPath, endpoint);
  const width = Math.max(...rows.map(({ client }) => client.length));
  return [
    `CA certificate: ${caPath}`,
    '',
    'Trust it in one shell, never in the whole system:',
    ...rows.map(({ client, line }) => `  ${client.padEnd(width)}  ${line}`),
  ];
}
