// Everything that this service reads from its environment.
import { join } from 'node:path';

export class SettingsError extends Error {}

const HERE = import.meta.dirname;

/** @throws SettingsError that names the variable and what to do */
export function readSettings(env) {
  const connectionString = env.AZURE_COMMUNICATION_CONNECTION_STRING;
  const endpoint = env.AZURE_COMMUNICATION_ENDPOINT ?? /endpoint=([^;]+)/i.exec(connectionString ?? '')?.[1];
  if (!endpoint) throw new SettingsError('AZURE_COMMUNICATION_ENDPOINT is not set: it is the address of the server.');
  const port = Number(env.PORT ?? 8080);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new SettingsError(`PORT is no port: ${env.PORT}`);
  return {
    endpoint: address('AZURE_COMMUNICATION_ENDPOINT', endpoint),
    /** Undefined: the service proves who it is by what the environment gives to `DefaultAzureCredential`. */
    connectionString,
    /** Where the page reaches the server. */
    browserEndpoint: address('BROWSER_ENDPOINT', env.BROWSER_ENDPOINT ?? endpoint),
    tokenCacheKey: cacheKey(env.TOKEN_CACHE_KEY),
    /** Where users reach this service, when that is not this machine at the port. With https a proxy in front speaks TLS. */
    publicUrl: env.PUBLIC_URL && address('PUBLIC_URL', env.PUBLIC_URL).slice(0, -1),
    host: env.HOST ?? 'localhost',
    port,
    usersFile: env.USERS_FILE ?? join(HERE, 'users.json'),
    dataFolder: env.DATA_FOLDER ?? join(HERE, 'data'),
  };
}

/** An origin, with the slash that connection strings have. */
function address(name, text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== '/')
    throw new SettingsError(`${name} is no address such as https://localhost:7417/: ${text}`);
  return `${url.origin}/`;
}

function cacheKey(text = '') {
  const key = Buffer.from(text, 'base64');
  if (key.length !== 32)
    throw new SettingsError(
      "TOKEN_CACHE_KEY must be 32 random bytes in base64: node -p 'crypto.randomBytes(32).toString(`base64`)' makes them.",
    );
  return key;
}
