// One request of each operation, sent to a real server, with its answer: the examples of docs/reference/operations.md.
import type { TestContext } from 'node:test';
import type { Access, Route } from '../../../src/http/route.ts';
import { APPLICATIONS, DIRECTORY_TENANT, PUBLISHED_SECRET } from '../../../src/planes/sign-in/directory.ts';
import { DEV_RESOURCE } from '../../../src/resources/resource.ts';
import { describedRoutes } from '../described.ts';
import { ALICE, APP, BOB, CLIENTS, OPERATOR_KEY, TEAMS, userToken, withBearer } from '../dev-tokens.ts';
import type { Answer } from '../http.ts';
import { startProduction } from '../production.ts';
import { startTestServer, type TestServer } from '../server.ts';

/** Operation → its request and its answer, as text of HTTP. */
export type Examples = Record<string, { request: string; answer: string }>;

/** What earlier requests have given, for later ones. */
interface Known {
  id: string;
  token: string;
  userCode: string;
  teamsToken: string;
  extensionToken: string;
  entraToken: string;
}

interface Ask {
  path?: Record<string, string>;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: object;
}

type Asks = Readonly<Record<string, Ask | ((known: Known) => Ask)>>;

const ORIGINAL = '7a1e5c0d-2f4b-4c3a-9d8e-0123456789ab';
const SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';
const ENTRA_TENANT = '0b6f2c9e-8d1a-4e57-a3b4-c5d6e7f80912';
const OF_IDENTITY = ({ id }: Known): Ask => ({ path: { id } });
const IN_DIRECTORY = { path: { tenant: DIRECTORY_TENANT } };
const OF_TRUST = { path: { name: 'contoso' } };
const OF_TEAMS_USER = { path: { tenantId: DIRECTORY_TENANT, objectId: ALICE.objectId } };
const OF_ENTRA_USER = { path: { objectId: ALICE.objectId } };
const OF_SUBSCRIPTION = { path: { subscription: SUBSCRIPTION } };
const OF_GROUP = { path: { subscription: SUBSCRIPTION, group: 'shop' } };
const OF_SERVICE = { path: { subscription: SUBSCRIPTION, group: 'shop', name: 'shop' } };
const OF_PROVIDER = { path: { subscription: SUBSCRIPTION, namespace: 'Microsoft.Communication' } };
const CLIENT = { client_id: APPLICATIONS.service.clientId, client_secret: PUBLISHED_SECRET };
const SIGN_IN = { grant_type: 'client_credentials', ...CLIENT, scope: 'https://communication.azure.com//.default' };
const DEVICE = { client_id: APP, scope: `${CLIENTS}/Chat` };
const RESOURCE = { resource: 'https://communication.azure.com/' };
const METADATA = { headers: { Metadata: 'true' } };
const ADMINISTRATOR = {
  principal: { kind: 'objectId', value: '3c8a1e2f-4b5d-4a6c-8e9f-102132435465' },
  right: 'data',
  resource: 'dev',
};
const TRUST = {
  issuers: ['https://login.microsoftonline.com/{tenantId}/v2.0'],
  tenants: [ENTRA_TENANT],
  applications: ['6d5c4b3a-2918-4706-95e4-d3c2b1a09f8e'],
};

/** What dev mode is asked, in this order. */
const DEV: Asks = {
  createIdentity: { body: { createTokenWithScopes: ['chat', 'voip'], expiresInMinutes: 60, customId: 'user-17' } },
  getIdentity: OF_IDENTITY,
  issueAccessToken: ({ id }) => ({ path: { id }, body: { scopes: ['chat'], expiresInMinutes: 60 } }),
  issueToken: ({ id }) => ({ path: { id }, body: { scopes: ['chat'] } }),
  whoami: {},
  introspectToken: ({ token }) => ({ body: { token } }),
  listIdentities: { query: { pageSize: '100' } },
  showIdentity: OF_IDENTITY,
  importIdentities: {
    path: { resource: DEV_RESOURCE.id },
    body: {
      identities: [
        { id: `8:acs:${DEV_RESOURCE.id}_0000001a-5f3c-9d2e-85f4-343a0d00f2b1`, customId: 'user-18' },
        { id: `8:acs:${ORIGINAL}_0000001a-5f3c-9d2e-85f4-343a0d00f2b2` },
      ],
    },
  },
  updateIdentity: ({ id }) => ({ path: { id }, body: { tokensValidFrom: '2026-11-29T12:00:00Z' } }),
  revokeAccessTokens: OF_IDENTITY,
  deleteIdentity: OF_IDENTITY,
  getSigningKeys: {},
  getDiscovery: {},

  putTeamsExtensionAssignment: { ...OF_TEAMS_USER, body: { principalType: 'user', clientIds: [APP] } },
  getTeamsExtensionAssignment: OF_TEAMS_USER,
  listTeamsExtensionAssignments: {},
  putEntraAssignment: {
    ...OF_ENTRA_USER,
    body: { tenantId: DIRECTORY_TENANT, principalType: 'user', clientIds: [APP] },
  },
  getEntraAssignment: OF_ENTRA_USER,
  updateEntraAssignments: {
    headers: { 'Content-Type': 'application/merge-patch+json' },
    body: { [BOB.objectId]: { tenantId: DIRECTORY_TENANT, principalType: 'user', clientIds: [APP] } },
  },
  listEntraAssignments: {},
  exchangeTeamsUserAccessToken: ({ teamsToken }) => ({
    body: { token: teamsToken, appId: APP, userId: ALICE.objectId },
  }),
  exchangeTeamsExtensionAccessToken: {},
  exchangeEntraUserAccessToken: {},
  deleteTeamsExtensionAssignment: OF_TEAMS_USER,
  deleteEntraAssignment: OF_ENTRA_USER,

  putTrust: { ...OF_TRUST, body: TRUST },
  getTrust: OF_TRUST,
  listTrusts: {},
  putGrant: { path: { name: 'contoso', grant: 'backend' }, body: ADMINISTRATOR },
  deleteGrant: { path: { name: 'contoso', grant: 'backend' } },
  checkTrust: { path: { name: 'dev' } },
  disableTrust: OF_TRUST,
  enableTrust: OF_TRUST,
  deleteTrust: OF_TRUST,

  listTenants: {},
  listSubscriptions: {},
  getSubscription: OF_SUBSCRIPTION,
  putResourceGroup: { ...OF_GROUP, body: { location: 'westeurope', tags: { team: 'shop' } } },
  getResourceGroup: OF_GROUP,
  resourceGroupExists: OF_GROUP,
  listResourceGroups: OF_SUBSCRIPTION,
  listOperations: {},
  checkNameAvailability: {
    ...OF_SUBSCRIPTION,
    body: { name: 'shop', type: 'Microsoft.Communication/communicationServices' },
  },
  putCommunicationService: {
    ...OF_SERVICE,
    body: { location: 'global', tags: { team: 'shop' }, properties: { dataLocation: 'Europe' } },
  },
  getCommunicationService: OF_SERVICE,
  updateCommunicationService: { ...OF_SERVICE, body: { tags: { team: 'orders' } } },
  listCommunicationServices: OF_SUBSCRIPTION,
  listCommunicationServicesInGroup: OF_GROUP,
  listKeys: OF_SERVICE,
  regenerateKey: { ...OF_SERVICE, body: { keyType: 'Primary' } },
  linkNotificationHub: {
    ...OF_SERVICE,
    body: {
      resourceId: `/subscriptions/${SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.NotificationHubs/namespaces/shop/notificationHubs/shop`,
    },
  },
  listResources: OF_SUBSCRIPTION,
  listResourcesInGroup: OF_GROUP,
  listProviders: OF_SUBSCRIPTION,
  getProvider: OF_PROVIDER,
  registerProvider: OF_PROVIDER,
  getCloudMetadata: { query: { 'api-version': '2022-09-01' } },
  importCommunicationService: {
    path: { resource: ORIGINAL },
    body: {
      subscriptionId: SUBSCRIPTION,
      resourceGroup: 'shop',
      name: 'contoso',
      location: 'global',
      dataLocation: 'United States',
    },
  },
  deleteCommunicationService: OF_SERVICE,
  deleteResourceGroup: OF_GROUP,

  getIssuerDiscovery: IN_DIRECTORY,
  getAuthorityDiscovery: { path: { tenant: 'adfs' } },
  getIssuerKeys: IN_DIRECTORY,
  issueDirectoryToken: { ...IN_DIRECTORY, body: SIGN_IN },
  issueTenantToken: { ...IN_DIRECTORY, body: SIGN_IN },
  issueAdfsToken: { body: SIGN_IN },
  startDeviceSignIn: { ...IN_DIRECTORY, body: DEVICE },
  startAdfsDeviceSignIn: { body: DEVICE },
  getUserRealm: { path: { user: ALICE.userName }, query: { 'api-version': '1.0' } },
  showDeviceSignIn: {},
  answerDeviceSignIn: ({ userCode }) => ({
    body: { user_code: userCode, user: ALICE.objectId, answer: 'allow' },
  }),
  getManagedIdentityToken: {
    query: { 'api-version': '2019-08-01', ...RESOURCE },
    headers: { 'X-IDENTITY-HEADER': PUBLISHED_SECRET },
  },
  getCloudShellToken: { ...METADATA, body: RESOURCE },
  getInstanceToken: { ...METADATA, query: { 'api-version': '2018-02-01', ...RESOURCE } },
  getInstanceTokenBySlash: { ...METADATA, query: { 'api-version': '2018-02-01', ...RESOURCE } },
  showStart: {},
  issueFromStart: { body: { chat: 'on' } },

  backUp: {},
  showKeyRing: {},
  rotateDataKey: {},
  rotateKek: {},
  isLive: {},
  isReady: {},
  getMetrics: {},
  getApiDocument: {},
  getCertificateAuthority: {},
  recover: { body: { acceptRollback: true } },
};

/** What production mode alone has. */
const PRODUCTION: Asks = {
  getOperatorAuthority: { path: { tenant: 'adfs' } },
  getOperatorDiscovery: { path: { tenant: 'adfs' } },
  signInOperator: { path: { tenant: 'adfs' }, body: { grant_type: 'client_credentials', client_secret: OPERATOR_KEY } },
  signInAdfsOperator: {
    path: { tenant: ENTRA_TENANT },
    body: { grant_type: 'client_credentials', client_secret: OPERATOR_KEY },
  },
};

/** Sends every request of the tables, in order. @throws Error when an answer is not one that its route names */
export async function recordExamples(t: TestContext): Promise<Examples> {
  const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY };
  const dev = await startTestServer(t, { env });
  const known: Known = {
    id: '',
    token: '',
    userCode: '',
    teamsToken: await userToken(dev, ALICE, `${TEAMS}/Teams.ManageCalls ${TEAMS}/Teams.ManageChats`),
    extensionToken: await userToken(dev, ALICE, `${TEAMS}/TeamsExtension.ManageCalls`),
    entraToken: await userToken(dev, ALICE, `${CLIENTS}/Chat`),
  };
  const production = await startProduction(t, env);
  return {
    ...(await recorded(dev, describedRoutes('dev'), DEV, known)),
    ...(await recorded(production, describedRoutes('production'), PRODUCTION, known)),
  };
}

async function recorded(server: TestServer, routes: readonly Route[], asks: Asks, known: Known): Promise<Examples> {
  const examples: Examples = {};
  for (const [operation, ask] of Object.entries(asks)) {
    const route = routes.find((candidate) => candidate.operation === operation);
    if (!route) throw new Error(`no operation ${operation}`);
    const [example, answer] = await exampleOf(server, route, typeof ask === 'function' ? ask(known) : ask, known);
    examples[operation] = example;
    if (operation === 'createIdentity') {
      known.id = answer.body.identity.id;
      known.token = answer.body.accessToken.token;
    }
    if (operation === 'startDeviceSignIn') known.userCode = answer.body.user_code;
  }
  return examples;
}

async function exampleOf(
  server: TestServer,
  route: Route,
  { path = {}, query = {}, headers = {}, body }: Ask,
  known: Known,
): Promise<[Examples[string], Answer]> {
  const [method = '', template = ''] = route.at.split(' ');
  const version = route.versions && { 'api-version': route.versions.at(-1) ?? '' };
  const search = new URLSearchParams({ ...query, ...version }).toString();
  const target =
    template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? '')) +
    (search && `?${search}`);
  const form = route.body?.kind === 'form';
  const text = body && (form ? new URLSearchParams(body as Record<string, string>).toString() : JSON.stringify(body));
  const sent = {
    ...(text !== undefined && { 'Content-Type': form ? 'application/x-www-form-urlencoded' : 'application/json' }),
    ...headers,
  };
  const answer = await call(server, route, `${method} ${target}`, text, sent, known);
  if (!(answer.status in route.answers) || answer.status >= 400)
    throw new Error(`${route.operation}: ${answer.status} ${answer.text}`);
  const shown = { ...authorization(route.access), ...sent };
  const lines = [`${method} ${target}`, ...Object.entries(shown).map(([name, value]) => `${name}: ${value}`)];
  const shownBody = body && (form ? text : laidOut(body));
  return [
    {
      request: masked([lines.join('\n'), shownBody].filter(Boolean).join('\n\n'), server),
      answer: shortened(masked(textOf(answer), server)),
    },
    answer,
  ];
}

/** An answer as it is shown. Of text that is not JSON, only the first lines. */
function textOf({ status, headers, body, text }: Answer): string {
  if (text === '') return `HTTP/1.1 ${status}`;
  // The next signing key is made in the background: it is there or not.
  if (body !== undefined)
    return `HTTP/1.1 ${status}\n\n${laidOut(Array.isArray(body.keys) ? { ...body, keys: body.keys.slice(0, 1) } : body)}`;
  const start = text.split('\n').slice(0, TEXT_LINES_MOST).join('\n');
  return `HTTP/1.1 ${status}\nContent-Type: ${headers['content-type']}\n\n${start}\n…`;
}

/** JSON with a short list of plain values in one line. */
const laidOut = (body: object): string =>
  JSON.stringify(body, undefined, 2).replace(/\[\n[^[\]{}]{1,160}\n *\]/g, (list) =>
    list.replace(/\n */g, ' ').replace('[ ', '[').replace(/ \]$/, ']'),
  );

function call(
  server: TestServer,
  { access }: Route,
  at: string,
  body: string | undefined,
  headers: Record<string, string>,
  known: Known,
): Promise<Answer> {
  const [method = '', target = ''] = at.split(' ');
  switch (access.caller) {
    case 'service':
      return server.asService(at, body, { headers });
    case 'operator':
    case 'serviceOrOperator':
      return withBearer(server, OPERATOR_KEY, at, body, headers);
    case 'user':
      return withBearer(server, known.token, at, body, headers);
    case 'entraUser':
      return withBearer(
        server,
        access.purpose === 'entraUser' ? known.entraToken : known.extensionToken,
        at,
        body,
        headers,
      );
    case 'nobody':
      return server.send({
        method,
        target,
        body,
        headers:
          access.pages === 'own' && method === 'POST' ? { ...headers, Origin: `http://${server.host}` } : headers,
      });
  }
}

function authorization({ caller }: Access): Record<string, string> {
  switch (caller) {
    case 'nobody':
      return {};
    case 'service':
      return { Authorization: 'HMAC-SHA256 …' };
    case 'operator':
    case 'serviceOrOperator':
      return { Authorization: 'Bearer <operator key>' };
    case 'user':
      return { Authorization: 'Bearer <access token>' };
    case 'entraUser':
      return { Authorization: 'Bearer <token of the user’s directory>' };
  }
}

/** GUIDs that mean the same in every run. */
const FIXED = /^5e1f0057-|^7a1e5c0d-|^0b6f2c9e-|^3c8a1e2f-|^6d5c4b3a-|^0000001a-5f3c-/;

/** What is another value in each run, in the place of which the page shows one that stays. */
const masked = (text: string, server: TestServer): string =>
  text
    .replaceAll(server.host, 'localhost:7417')
    .replaceAll(OPERATOR_KEY, '<operator key>')
    .replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, 'eyJhbGciOiJSUzI1NiJ9…')
    .replace(/(_|%5F)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (found) =>
      FIXED.test(found.slice(1)) ? found : '_0000001a-5f3c-9d2e-85f4-343a0d00f2a0',
    )
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (found) =>
      FIXED.test(found) ? found : '9f2d7c40-1b3a-4e5f-8c6d-7e8f90a1b2c3',
    )
    .replace(
      /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?/g,
      (_, fraction?: string) => `2026-11-29T12:00:00${fraction ? `.${'0'.repeat(fraction.length - 1)}` : ''}`,
    )
    .replace(/\b1[789]\d{8}\b/g, '1795953600')
    .replace(/(accesskey=|"(?:primaryKey|secondaryKey)": ")[\w+/=]{40,}/g, '$1…')
    .replace(/"id": "[0-9a-f]{12}"/g, '"id": "4f1e2d3c5b6a"')
    .replace(/linarite-[\dTZ-]+-[0-9a-f]{6}\.db/g, 'linarite-2026-11-29T12-00-00-000Z-5b6a4f.db')
    .replace(/"version": "[^"]+"/g, '"version": "…"')
    .replace(/"(encryptions|values)": \d+/g, '"$1": 4')
    .replace(/"bytes": \d+/g, '"bytes": 159744')
    .replace(/"(n|kid|x5t|kekId|signingKey|refresh_token|device_code|jti)": "[^"]+"/g, '"$1": "…"')
    .replace(/\b[A-Z]{4}-[A-Z]{4}\b/g, 'BCDF-GHJK')
    .replace(/(?<="expiresOn": "2026-11-29T)12/g, '13')
    .replace(/(?<="(?:exp|expires_on)": "?)1795953600/g, '1795957200')
    .replace(/^MII[\w+/]+\n[\w+/]+$/m, 'MII…')
    .replaceAll(server.folder, '/var/lib/linarite');

const LINES_MOST = 40;
const TEXT_LINES_MOST = 3;

function shortened(text: string): string {
  const lines = text.split('\n').map((line) => (line.length > 240 ? `${line.slice(0, 160)}…` : line));
  return lines.length <= LINES_MOST ? lines.join('\n') : [...lines.slice(0, LINES_MOST - 4), '…'].join('\n');
}
