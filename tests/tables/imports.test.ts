import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { describe, test } from 'node:test';
import { SOURCES } from '../harness/sources.ts';

// Which part may use which (code-style, section 8): arrows point one way. About direction only, never about sizes.

/** A file of ours and what it imports, types included: who knows a type knows its part. */
interface Arrow {
  from: string;
  to: string;
}

const arrowsIn = (sources: ReadonlyMap<string, string>): Arrow[] =>
  [...sources].flatMap(([from, text]) =>
    [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) => ({
      from,
      to: posix.join(posix.dirname(from), path),
    })),
  );

/** The part a file belongs to: its folder, or the file itself where it stands alone. */
const partOf = (path: string): string => path.split('/')[0] ?? '';

const LEAVES = ['errors.ts', 'callers.ts', 'capabilities', 'lib', 'version.ts'];
/** For errors and types; the values are read by server.ts and cli/ only. */
const SETTINGS = 'settings.ts';

/** What a part uses besides itself and the leaves. A part that is not here is new: give it a row. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  // Leaves.
  lib: [],
  'errors.ts': [],
  'version.ts': [],
  'callers.ts': [],
  capabilities: [],
  'settings.ts': [],
  // Rows.
  storage: [],
  // Core, from the bottom up.
  monitoring: [SETTINGS],
  certificates: [SETTINGS, 'monitoring'],
  secrets: [SETTINGS, 'storage', 'monitoring'],
  operators: [SETTINGS, 'secrets'],
  revocation: ['storage', 'monitoring'],
  resources: ['revocation', 'secrets', 'storage'],
  identities: ['resources', 'revocation', 'storage', 'monitoring'],
  tokens: ['identities', 'resources', 'revocation', 'secrets', 'storage', 'monitoring'],
  trusts: ['resources', 'revocation', 'storage', 'monitoring'],
  exchanges: ['tokens', 'identities', 'revocation', 'storage'],
  status: ['revocation', 'storage', 'tokens'],
  management: ['resources', 'storage'],
  issuer: [SETTINGS, 'secrets', 'tokens', 'operators'],
  backup: [
    SETTINGS,
    'data-folder.ts',
    'start-checks.ts',
    'secrets',
    'storage',
    'revocation',
    'resources',
    'tokens',
    'monitoring',
  ],
  console: ['certificates', 'identities', 'monitoring', 'resources', 'tokens'],
  // Edge: given what it needs.
  http: ['monitoring'],
  // What puts everything together.
  'data-folder.ts': [SETTINGS, 'storage'],
  'start-checks.ts': ['http', 'resources', SETTINGS, 'storage'],
  'routes.ts': [
    'http',
    'exchanges',
    'trusts',
    'identities',
    'tokens',
    'management',
    'operators',
    'issuer',
    'console',
    'status',
    'backup',
    'secrets',
  ],
  'server.ts': ['*'],
  cli: [SETTINGS, 'server.ts', 'backup', 'certificates', 'monitoring', 'storage'],
  'main.ts': ['cli'],
};

/** Routes stand at the edge: beside their own area they know what a route is, and hand on to other areas' operations. */
const isRoutes = (path: string): boolean => /-routes\.ts$/.test(path);
const ROUTES_MAY_USE = ['http/route.ts', 'http/schema.ts', 'http/versions.ts'];
/** Creating an identity can give a token too: the one route that tells two areas to act. */
const ROUTES_THAT_REACH_UP = [
  'identities/identity-routes.ts > tokens/access-tokens.ts',
  'identities/identity-routes.ts > tokens/token.ts',
  'identities/identity-routes.ts > tokens/token-routes.ts',
];

/** The command line speaks HTTP to the server; from the inside it takes rules and tables only, so that they are the same. */
const CLI_MAY_USE = [
  'exchanges/assignment.ts',
  'http/versions.ts',
  'issuer/directory.ts',
  'management/communication-service.ts',
  'resources/resource.ts',
  'secrets/kek.ts', // reading a file that only its owner may read
  'trusts/trust.ts',
];

/** No server runs while it does, so it puts together what it needs by itself. */
const STANDS_ALONE = 'backup/restore.ts';

/** Stores are their own area's, with the one of the store itself aside. */
const isStore = (path: string): boolean => /-store\.ts$/.test(path);

/** What a table of arrows has against an arrow; undefined for nothing. */
function complaintAbout({ from, to }: Arrow): string | undefined {
  const [part, target] = [partOf(from), partOf(to)];
  const arrow = `${from} > ${to}`;
  if (part === 'server.ts' || part === target) return undefined;
  if (!Object.hasOwn(MAY_USE, part)) return `${part} has no row in this table (${arrow})`;
  if (isRoutes(from) && (ROUTES_MAY_USE.includes(to) || ROUTES_THAT_REACH_UP.includes(arrow))) return undefined;
  if (part === 'cli' && CLI_MAY_USE.includes(to)) return undefined;
  const isLeaf = LEAVES.includes(target) && part !== 'lib' && part !== 'errors.ts';
  if (!isLeaf && !MAY_USE[part]?.includes(target)) return arrow;
  if (isStore(to) && target !== 'storage' && from !== STANDS_ALONE) return `${arrow}: another area's store`;
  return undefined;
}

const complaints = (arrows: Arrow[]): string[] => arrows.map(complaintAbout).filter((text) => text !== undefined);

describe('imports', () => {
  const arrows = arrowsIn(SOURCES);

  test('go the way the table says', () => {
    assert.ok(arrows.length > 100, 'they are found');
    assert.deepEqual(complaints(arrows), []);
  });

  test('of stores reach the rows and their own noun', () => {
    const allowed = ['storage', ...LEAVES];
    const wrong = arrows.filter(
      ({ from, to }) => isStore(from) && !allowed.includes(partOf(to)) && partOf(to) !== partOf(from),
    );
    assert.deepEqual(wrong, []);
  });

  test('of routes reach no store', () => {
    assert.deepEqual(
      arrows.filter(({ from, to }) => isRoutes(from) && (isStore(to) || partOf(to) === 'storage')),
      [],
    );
  });

  test('of drivers and libraries stand in few files each', () => {
    const HOLDERS: Record<string, RegExp> = {
      'node:sqlite': /^storage\/sqlite\.ts$/,
      pg: /^storage\/postgres\.ts$/,
      'find-my-way': /^http\/routes\.ts$/,
      'node:http': /^(?:http|cli)\/|^trusts\/provider-fetch\.ts$/,
      'node:net': /^(?:http|certificates|cli)\/|^trusts\/provider-fetch\.ts$/,
      'node:tls': /^(?:http|certificates|cli)\//,
      '@peculiar/x509': /^certificates\//,
      jose: /^trusts\/foreign-tokens\.ts$/,
    };
    for (const [path, text] of SOURCES) {
      for (const [, name = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'([^.'][^']*)'/g)) {
        const holder = HOLDERS[name];
        assert.ok(!holder || holder.test(path), `${path} imports ${name}`);
      }
    }
  });

  test('that would point the wrong way are seen', () => {
    const planted = new Map([
      ['lib/x.ts', "import { ServiceError } from '../errors.ts';"],
      ['errors.ts', "import { x } from './lib/x.ts';"],
      ['storage/x.ts', "import type { Identity } from '../identities/identity.ts';"],
      ['http/x.ts', "const x = await import('../tokens/access-tokens.ts');"],
      ['tokens/x.ts', "import { Pipeline } from '../http/pipeline.ts';"],
      ['tokens/x-routes.ts', "import { Pipeline } from '../http/pipeline.ts';"],
      ['tokens/y.ts', "import { IdentityStore } from '../identities/identity-store.ts';"],
      ['identities/x.ts', "import { AccessTokens } from '../tokens/access-tokens.ts';"],
      ['chat/x.ts', "import { Identities } from '../identities/identities.ts';"],
    ]);
    assert.equal(complaints(arrowsIn(planted)).length, planted.size);
  });
});
