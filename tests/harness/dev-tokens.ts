import { APPLICATIONS, PUBLISHED_SECRET, USERS } from '../../src/planes/sign-in/directory.ts';
import type { Answer } from './http.ts';
import type { TestServer } from './server.ts';

export const [ALICE, BOB, CAROL] = USERS as [(typeof USERS)[number], (typeof USERS)[number], (typeof USERS)[number]];
export const APP: string = APPLICATIONS.app.clientId;
export const OTHER_APP: string = APPLICATIONS.service.clientId;

export const TEAMS = 'https://auth.msft.communication.azure.com';
export const CLIENTS = 'https://communication.azure.com/clients';
export const SERVICE = 'https://communication.azure.com/';
export const MANAGEMENT = 'https://management.azure.com/';

/**
 * A token of a user of the development issuer, got as clients get it.
 * @param scope one or more of `<audience>/<permission>`, or `<audience>/.default`
 * @param client the application without a secret, or the one that has one
 */
export async function userToken(
  server: TestServer,
  { userName }: { userName: string },
  scope: string,
  client: string = APP,
): Promise<string> {
  const secret = client === APP ? {} : { client_secret: PUBLISHED_SECRET };
  const fields = { grant_type: 'password', client_id: client, ...secret, username: userName };
  return asked(server, { ...fields, password: PUBLISHED_SECRET, scope });
}

/** A token of the application that has a secret, for an audience. */
export const applicationToken = (server: TestServer, audience: string): Promise<string> =>
  asked(server, {
    grant_type: 'client_credentials',
    client_id: OTHER_APP,
    client_secret: PUBLISHED_SECRET,
    scope: `${audience}/.default`,
  });

async function asked(server: TestServer, fields: Record<string, string>): Promise<string> {
  const answer = await server.send({
    method: 'POST',
    target: '/adfs/oauth2/v2.0/token',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  });
  if (answer.status !== 200) throw new Error(`no token: ${answer.text}`);
  return answer.body.access_token;
}

/** Sends a request with a Bearer token. @param at method and target, which names its own api-version */
export function withBearer(
  server: TestServer,
  token: string,
  at: string,
  body?: object | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const [method = '', target = ''] = at.split(' ');
  return server.send({
    method,
    target,
    body: typeof body === 'object' ? JSON.stringify(body) : body,
    headers: { 'Content-Type': 'application/json', ...headers, Authorization: `Bearer ${token}` },
  });
}

/** What a token says, unverified. */
export const claimsOf = (jwt: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());

export const OPERATOR_KEY = 'an-operator-key-for-tests-0123456789';

/** As {@link asOperator}, whatever the answer is. @returns its status */
export const operatorStatus = async (server: TestServer, at: string, body?: object): Promise<number> =>
  (await withBearer(server, OPERATOR_KEY, at, body)).status;

/** Sends a request with the operator key; the server must have been started with {@link OPERATOR_KEY}. */
export async function asOperator(server: TestServer, at: string, body?: object): Promise<Answer> {
  const answer = await withBearer(server, OPERATOR_KEY, at, body);
  if (answer.status >= 400) throw new Error(`${at}: ${answer.text}`);
  return answer;
}
