/** What a client program finds out about one operation. */
export interface Finding<Key extends string = OperationKey> {
  operation: Key;
  /** `absent`: this release has no such thing, or refuses it without asking the server. */
  outcome: 'passed' | 'differs' | 'absent';
  /** What differs, or why it is absent. */
  how?: string;
}

/** What a client program is told, as the JSON of its only argument. */
export interface Task {
  /** In JavaScript the package, in Python `sync` or `async`, in Java `key` or `credentials`. */
  client: string;
  port: number;
  /** Primary access key, in base64. */
  key: string;
  /** As the management plane lists them. */
  connectionString: string;
  secondaryConnectionString: string;
  /** Identities of other resources. */
  foreignIds: readonly string[];
  resourceId: string;
  /** An application that the server knows, in place of the key. */
  application: { tenant: string; id: string; secret: string };
  /** A Teams user's token of the user's own directory, one that has run out, and what the good one was made for. */
  teamsUser: { token: string; expiredToken: string; appId: string; userId: string };
}

/** What proves the service: its access key, or a token of its directory. */
export const PROOFS = { key: 'access key', entra: 'Entra' } as const;
export type Proof = keyof typeof PROOFS;

/** What the exchange of a Teams user's token is asked for, and what comes of it, in the words of the original. */
export const EXCHANGES = {
  good: 'a token that is accepted, for what the user permitted',
  'empty-token': 'an empty token: 401',
  'malformed-token': 'no token at all in it: 401',
  'expired-token': 'an expired token: 401',
  'empty-ids': 'an empty application or user id: 400',
  'malformed-ids': 'an application or user id that is no GUID: 400',
  'other-ids': 'another application or user: 400',
} as const;
export type Exchange = keyof typeof EXCHANGES;

const exchangeRows = Object.fromEntries(
  (Object.keys(PROOFS) as Proof[]).flatMap((proof) =>
    (Object.keys(EXCHANGES) as Exchange[]).map((exchange) => [
      `teams-user ${exchange} ${proof}`,
      `Exchange for a Teams user, service proven by ${PROOFS[proof]}: ${EXCHANGES[exchange]}`,
    ]),
  ),
) as Record<`teams-user ${Exchange} ${Proof}`, string>;

/** The combinations that the SDKs' own suites ask for (identity-protocol, section 5.3). */
const SCOPES = [
  'chat',
  'voip',
  'chat voip',
  'chat.join',
  'chat.join.limited',
  'voip.join',
  'chat chat.join chat.join.limited',
  'voip voip.join',
  'chat.join voip.join',
] as const;

const scopesKey = <S extends string>(scopes: S): `scopes ${S}` => `scopes ${scopes}`;

/**
 * The rows of the conformance page: what the published suites assert (identity-protocol, section 7), and what they could
 * not know of, such as a token being refused from the moment a revocation returned.
 */
export const OPERATIONS = {
  create: 'Create an identity',
  'create-with-token': 'Create an identity with a token in one request',
  issue: 'Issue a token, and the next one for the same identity',
  ...(Object.fromEntries(
    SCOPES.map((scopes) => [
      scopesKey(scopes),
      `\`acsScope\` is \`${scopes.replaceAll(' ', ',')}\`, on create and on issue`,
    ]),
  ) as Record<`scopes ${(typeof SCOPES)[number]}`, string>),
  'lifetime 60': 'Tokens for 60 minutes, within 5 %',
  'lifetime 1440': 'Tokens for 1440 minutes, within 5 %',
  'lifetime 59': 'Tokens for 59 minutes: 400',
  'lifetime 1441': 'Tokens for 1441 minutes: 400',
  'issue-empty-scopes': 'Issue for an empty list of scopes: 400, in the words of the original',
  'issue-null-scopes': 'Issue without scopes: 400',
  'create-empty-scopes': 'Create for an empty list of scopes, or none: an identity without a token',
  'foreign-identity': 'Issue, revoke and delete for identities of other resources: 401',
  revoke: 'Revoke: earlier tokens are refused from then on, later ones hold',
  delete: 'Delete: tokens are refused from then on; deleting again is no error',
  'custom-id': 'The same `customId` twice: the same identity',
  'older-versions': 'Every api-version that the caller can choose',
  'secondary-key': 'Connection string with the secondary key',
  'wrong-key': 'Wrong access key: 401',
  'endpoint-and-key': 'Endpoint, without a slash behind, and key instead of a connection string',
  'with-slash': 'Endpoint with a slash behind, as in a connection string, and key',
  'without-slash': 'Connection string without a slash behind the endpoint',
  'loopback-address': '127.0.0.1 instead of localhost',
  'plain-http': 'Plain HTTP, where the SDK can be asked to',
  'token-credential': 'The token credential of the SDK’s common library takes a token',
  parallel: 'Twenty identities at once',
  'entra managed-identity':
    'Entra in place of the key: the quickstart with `DefaultAzureCredential` on a machine with a managed identity',
  'entra client-secret': 'Entra in place of the key: the quickstart with `ClientSecretCredential`',
  'entra management':
    'The language’s management SDK with `DefaultAzureCredential`: create, list, keys, regenerate, delete',
  ...exchangeRows,
  'example quickstart': 'The quickstart of `examples/`',
  'example lifetime': 'The example of a token for an hour',
  'example endpoint-and-key': 'The example of an endpoint and a key',
  readme: 'The example’s README, every command from installing on, word by word',
} as const;

export type OperationKey = keyof typeof OPERATIONS;

/** The rows of the second table: what tools and libraries do that are no identity SDK. */
export const TOOL_CHECKS = {
  metadata: 'Finds the cloud by its metadata document, told nothing but its address',
  'sign-in': 'Signs in with the operator key as a client secret, and lists services',
  'wrong-secret': 'Another secret: refused as such',
  services: 'Creates and lists a communication service',
  keys: 'Regenerates one key, and is told that one only',
  identity: 'System-assigned identity: principal and tenant are there and stay',
  provider: 'Shows and registers the provider, and lists resources',
  email: 'E-mail: refused in words',
  delete: 'Deletes the service',
  'managed-identity': 'Signs the managed identity in, and lists with it',
  identities: 'Signed requests: create with a token, issue, revoke, delete',
} as const;

export type ToolCheck = keyof typeof TOOL_CHECKS;
