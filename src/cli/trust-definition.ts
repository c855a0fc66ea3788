import { type Command, Option } from 'commander';
import { ServiceError } from '../errors.ts';
import { isGuid } from '../lib/guid.ts';
import {
  ALGORITHMS,
  type ClaimNames,
  ENTRA_CLAIMS,
  PURPOSES,
  type TrustDefinition,
  type TrustWish,
  trustDefinition,
} from '../trusts/trust.ts';
import { wrongUse } from './exit.ts';
import { readAuthority } from './server-access.ts';

/** What a command line says of a trust. Empty text takes a member back to its default. */
export interface DefinitionOptions {
  entra?: string[];
  keycloak?: string;
  issuer?: string[];
  metadata?: string;
  keySet?: string;
  tenant?: string[];
  application?: string[];
  audience?: string[];
  algorithm?: string[];
  claim?: string[];
  privateAddresses?: boolean;
  caFile?: string;
}

const CLAIMS = Object.keys(ENTRA_CLAIMS);

/** Options for every member of a definition, and the presets that fill in several. */
export const withDefinition = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--entra <tenant...>',
        'GUIDs of Entra tenants: fills in issuers, metadata, tenants, claims',
      ).conflicts('keycloak'),
    )
    .option('--keycloak <url>', 'address of a Keycloak realm: fills in issuer, metadata, claims')
    .option('--issuer <url...>', 'exact values of iss; {tenantId} stands for each tenant, {endpoint} for the server')
    .option('--metadata <url>', 'address of the discovery document (default: below the first issuer)')
    .option('--key-set <url>', 'address of the key set, if it is on another host than the metadata')
    .option('--tenant <guid...>', 'GUIDs of the directories whose tokens are accepted')
    .option('--application <id...>', "client applications whose users' tokens may be exchanged, '*' for any")
    .option(
      '--audience <purpose=value...>',
      `audiences that tokens must be made for, by purpose: ${PURPOSES.join(', ')} (default: those of the original)`,
    )
    .addOption(
      new Option('--algorithm <name...>', 'signature algorithms that are accepted (default: RS256)').choices(
        ALGORITHMS,
      ),
    )
    .option(
      '--claim <member=claim...>',
      `names of claims, for example tenantId=tid, or tenantId= for none: ${CLAIMS.join(', ')} (default: Entra's)`,
    )
    .option('--private-addresses', 'the provider may be at a private or loopback address')
    .option('--no-private-addresses', 'the provider must be on the public internet')
    .option(
      '--ca-file <file>',
      "certificate authority to trust for the provider, instead of those of the server's system",
    );

/**
 * The definition that a command line asks for.
 * @param former what is kept where nothing is said
 * @throws CommandError when it could not hold
 */
export function definitionFrom(options: DefinitionOptions, former?: TrustDefinition): TrustDefinition {
  const preset = presetFrom(options);
  const wish: TrustWish = {
    issuers: [],
    ...former,
    ...preset,
    ...saidIn(options),
    audiences: { ...former?.audiences, ...audiencesFrom(options.audience ?? []) },
    claims: { ...former?.claims, ...preset.claims, ...claimsFrom(options.claim ?? []) },
  };
  try {
    // Whether plain HTTP will do is the server's to say.
    return trustDefinition(wish, { plainHttp: true });
  } catch (cause) {
    if (cause instanceof ServiceError) throw wrongUse(cause.message);
    throw cause;
  }
}

const ENTRA_ISSUER = 'https://login.microsoftonline.com/{tenantId}/v2.0';

/** Entra's tokens of version 2 and 1 are signed with the same keys (management-cli-connector, section 6.1). */
const ENTRA = {
  issuers: [ENTRA_ISSUER, 'https://sts.windows.net/{tenantId}/'],
  metadata: `${ENTRA_ISSUER}/.well-known/openid-configuration`,
  keySet: null,
  claims: ENTRA_CLAIMS,
} as const satisfies TrustWish;

const KEYCLOAK_CLAIMS: ClaimNames = {
  objectId: 'sub',
  tenantId: null,
  applicationId: 'azp',
  scopes: 'scope',
  roles: '/realm_access/roles',
  groups: 'groups',
};

function presetFrom({ entra, keycloak }: DefinitionOptions): Partial<TrustWish> {
  const bad = entra?.find((tenant) => !isGuid(tenant));
  if (bad !== undefined) throw wrongUse(`--entra takes the GUID of a tenant, not '${bad}'`);
  if (entra) return { ...ENTRA, tenants: entra };
  if (keycloak === undefined) return {};
  const realm = keycloak.replace(/\/$/, '');
  return {
    issuers: [realm],
    metadata: `${realm}/.well-known/openid-configuration`,
    keySet: null,
    claims: KEYCLOAK_CLAIMS,
  };
}

/** Members that have an option of their own. */
function saidIn(options: DefinitionOptions): Partial<TrustWish> {
  const { issuer, metadata, keySet, tenant, application, algorithm, privateAddresses, caFile } = options;
  const members: { [Member in keyof TrustWish]: TrustWish[Member] | undefined } = {
    issuers: listed(issuer),
    metadata: orDefault(metadata),
    keySet: orDefault(keySet),
    tenants: listed(tenant),
    applications: listed(application),
    algorithms: algorithm,
    privateAddresses,
    certificateAuthority: caFile ? readAuthority(caFile) : orDefault(caFile),
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

const listed = (values: readonly string[] | undefined): string[] | undefined => values?.filter((value) => value !== '');

/** Null is what says so to the server. */
const orDefault = <T extends string | undefined>(text: T): T | null => (text === '' ? null : text);

function claimsFrom(words: readonly string[]): NonNullable<TrustWish['claims']> {
  return Object.fromEntries(
    words.map((word) => pair(word, '--claim', CLAIMS)).map(([name, claim]) => [name, claim || null]),
  );
}

/** A purpose that is named several times has several audiences. */
function audiencesFrom(words: readonly string[]): NonNullable<TrustWish['audiences']> {
  const audiences = new Map<string, string[]>();
  for (const [purpose, audience] of words.map((word) => pair(word, '--audience', PURPOSES))) {
    audiences.set(purpose, [...(audiences.get(purpose) ?? []), ...(audience === '' ? [] : [audience])]);
  }
  return Object.fromEntries([...audiences].map(([purpose, list]) => [purpose, list.length > 0 ? list : null]));
}

/** Reads `name=value`. @throws CommandError when the name is none of those */
function pair(word: string, option: string, names: readonly string[]): [name: string, value: string] {
  const at = word.indexOf('=');
  const name = word.slice(0, at);
  if (at < 0 || !names.includes(name))
    throw wrongUse(`${option} takes <name>=<value>, with a name of ${names.join(', ')}`);
  return [name, word.slice(at + 1)];
}
