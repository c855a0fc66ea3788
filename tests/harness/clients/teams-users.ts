import { APPLICATIONS, DIRECTORY_TENANT, PUBLISHED_SECRET, USERS } from '../../../src/planes/sign-in/directory.ts';
import { SERVICE, TEAMS } from '../dev-tokens.ts';
import type { Provider } from '../provider.ts';
import { goodDraft, signed } from '../vectors/foreign-tokens.ts';

/** Claims of Alice, who came by the application without a secret. */
const ALICE = { azp: APPLICATIONS.app.clientId, oid: USERS[0]?.objectId };

/**
 * A token of Alice's of any age, which the development issuer would not give.
 * @param lifeSeconds from now; negative for one that has run out
 */
export function teamsUserToken(provider: Provider, lifeSeconds: number): string {
  const draft = goodDraft(provider, 'teamsUser', Date.now() + (lifeSeconds - 3600) * 1000);
  Object.assign(draft.claims, ALICE, { iss: provider.issuer(DIRECTORY_TENANT), tid: DIRECTORY_TENANT });
  return signed(draft);
}

/** Signs Alice in at the development issuer of a server. */
export function signedIn(port: number): Promise<string> {
  return askIssuer(port, {
    grant_type: 'password',
    client_id: ALICE.azp,
    username: USERS[0]?.userName ?? '',
    password: PUBLISHED_SECRET,
    scope: `${TEAMS}/Teams.ManageCalls ${TEAMS}/Teams.ManageChats`,
  });
}

/** Makes a server trust a provider. @throws when it does not: then a token that ran out would be refused for another reason */
export async function makeTrusted(provider: Provider, port: number, operatorKey: string): Promise<void> {
  const trust = { ...provider.wish(), tenants: [DIRECTORY_TENANT], applications: ['*'] };
  await ask(port, 'PUT', '/-/trusts/provider', operatorKey, trust);
  const { service } = APPLICATIONS;
  const token = await askIssuer(port, {
    grant_type: 'client_credentials',
    client_id: service.clientId,
    client_secret: PUBLISHED_SECRET,
    scope: `${SERVICE}/.default`,
  });
  const body = { token: teamsUserToken(provider, 60), appId: ALICE.azp, userId: ALICE.oid };
  await ask(port, 'POST', '/teamsUser/:exchangeAccessToken?api-version=2023-10-01', token, body);
}

async function askIssuer(port: number, fields: Record<string, string>): Promise<string> {
  const url = `http://localhost:${port}/adfs/oauth2/v2.0/token`;
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(fields) });
  const { access_token, error_description } = (await response.json()) as Record<string, string>;
  if (access_token === undefined) throw new Error(`no token from the development issuer: ${error_description}`);
  return access_token;
}

async function ask(port: number, method: string, target: string, bearer: string, body: object): Promise<void> {
  const response = await fetch(`http://localhost:${port}${target}`, {
    method,
    headers: { Authorization: `Bearer ${bearer}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
}
