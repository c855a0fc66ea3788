/** What a client program finds out about one operation. */
export interface Finding {
  operation: OperationKey;
  /** `absent`: this release has no such thing, or refuses it without asking the server. */
  outcome: 'passed' | 'differs' | 'absent';
  /** What differs, or why it is absent. */
  how?: string;
}

/** What a client program is told, as the JSON of its only argument. */
export interface Task {
  /** In JavaScript the package, in Python `sync` or `async`. */
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
}

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
  'example quickstart': 'The quickstart of `examples/`',
  'example lifetime': 'The example of a token for an hour',
  'example endpoint-and-key': 'The example of an endpoint and a key',
  readme: 'The example’s README, every command from installing on, word by word',
} as const;

export type OperationKey = keyof typeof OPERATIONS;
