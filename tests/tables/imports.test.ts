import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { describe, test } from 'node:test';
import { SOURCES } from '../harness/sources.ts';

// Which part may use which (code-style, section 8): arrows point one way. About direction only, never about sizes.

/** A file of ours and what it imports, types included: code that knows a type knows its part. */
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

/** The part a file belongs to: its folder, or the file itself where it stands alone. Each plane is a part. */
const partOf = (path: string): string => {
  const [first = '', second = ''] = path.split('/');
  return first === 'planes' ? `planes/${second}` : first;
};

const isPlane = (part: string): boolean => part.startsWith('planes/');

const LEAVES = ['errors.ts', 'callers.ts', 'capabilities', 'lib', 'version.ts'];
/** What leaves are made of, so they use no leaf that their row does not name. */
const NOTHING_BUT_THEIR_ROW = ['lib', 'errors', 'errors.ts', 'settings', 'settings.ts'];
/** For errors and types; the values are read by server.ts and cli/ only. */
const SETTINGS = 'settings.ts';

/** What a part uses besides itself and the leaves. A part that is not here is new: give it a row. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  // Leaves.
  lib: [],
  errors: [],
  'errors.ts': ['errors', 'lib'],
  'version.ts': [],
  'callers.ts': [],
  capabilities: [],
  settings: [],
  'settings.ts': ['settings', 'lib'],
  // How: rows, figures, keys, the wire.
  storage: [SETTINGS],
  monitoring: [SETTINGS],
  chores: ['storage', 'monitoring'],
  certificates: [SETTINGS, 'monitoring'],
  secrets: [SETTINGS, 'chores', 'storage', 'monitoring'],
  http: ['monitoring'],
  // Allowed, from the bottom up.
  operators: [SETTINGS, 'secrets'],
  revocation: ['storage', 'monitoring'],
  cluster: [SETTINGS, 'storage', 'monitoring'],
  resources: ['revocation', 'secrets', 'storage', 'chores'],
  identities: ['resources', 'revocation', 'storage', 'monitoring'],
  tokens: ['identities', 'resources', 'revocation', 'secrets', 'storage', 'monitoring', 'chores'],
  sessions: ['tokens', 'revocation', 'monitoring'],
  trusts: ['resources', 'revocation', 'storage', 'monitoring'],
  exchanges: ['tokens', 'identities', 'resources', 'revocation', 'storage'],
  backup: [SETTINGS, 'secrets', 'storage', 'revocation', 'resources', 'tokens', 'monitoring'],
  // For builders alone: what every part stands on, and those who say who may.
  'base.ts': [SETTINGS, 'storage', 'secrets', 'monitoring', 'cluster'],
  'access.ts': [
    'base.ts',
    'operators',
    'revocation',
    'resources',
    'identities',
    'tokens',
    'sessions',
    'trusts',
    'exchanges',
    'secrets',
  ],
  // One folder for each API. No plane knows another one.
  'planes/plane.ts': ['http', 'chores', 'cluster', 'monitoring', 'resources'],
  'planes/identity': ['exchanges', 'identities', 'tokens'],
  'planes/management': ['resources', 'storage'],
  'planes/operator': [
    'backup',
    'identities',
    'monitoring',
    'resources',
    'revocation',
    'secrets',
    'storage',
    'tokens',
    'trusts',
  ],
  'planes/sign-in': [SETTINGS, 'operators', 'secrets', 'tokens'],
  'planes/console': ['certificates', 'identities', 'monitoring', 'resources', 'tokens'],
  // What puts everything together.
  start: [],
  'server.ts': ['*'],
  cli: [SETTINGS, 'server.ts', 'backup', 'certificates', 'monitoring', 'storage'],
  'main.ts': ['cli'],
};

/** What every plane may use: what a plane is, what a route is, and how an API speaks. */
const PLANES_MAY_USE = [
  'planes/plane.ts',
  'http/credentials.ts',
  'http/dialect.ts',
  'http/route.ts',
  'http/schema.ts',
  'http/service-dialect.ts',
  'http/versions.ts',
  'http/wire.ts',
];

/** Builders: they may take a base and an access apart, and make another area's store. Everything else names its parts. */
const isBuilder = (path: string): boolean => path === 'access.ts' || /-planes?\.ts$|^start\//.test(path);
const FOR_BUILDERS = ['base.ts', 'access.ts'];

/** The command line speaks HTTP to the server; from the inside it takes rules and tables only, so that they are the same. */
const CLI_MAY_USE = [
  'exchanges/assignment.ts',
  'http/versions.ts',
  'planes/sign-in/directory.ts',
  'planes/management/communication-service.ts',
  'resources/resource.ts',
  'secrets/kek.ts', // reading a file that only its owner may read
  'trusts/trust.ts',
];

/** The list of steps and what takes them: the one circle of files, by a type. */
const MIGRATION_LIST = ['storage/migrate.ts', 'storage/migrations/index.ts'];

/** No server runs while it does, so it puts together what it needs by itself. */
const STANDS_ALONE = 'backup/restore.ts';

const isRoutes = (path: string): boolean => /-routes\.ts$/.test(path);

/** Stores are their own area's, with the one of the store itself aside. */
const isStore = (path: string): boolean => /-store\.ts$/.test(path);

/** What a table of arrows has against an arrow; undefined for nothing. */
function complaintAbout({ from, to }: Arrow): string | undefined {
  const [part, target] = [partOf(from), partOf(to)];
  const arrow = `${from} > ${to}`;
  if (part === 'server.ts' || part === target) return undefined;
  if (FOR_BUILDERS.includes(to)) return isBuilder(from) ? undefined : `${arrow}: only builders take it`;
  if (!Object.hasOwn(MAY_USE, part)) return `${part} has no row in this table (${arrow})`;
  if (isPlane(part) && PLANES_MAY_USE.includes(to)) return undefined;
  if (part === 'cli' && CLI_MAY_USE.includes(to)) return undefined;
  if (part === 'start' && target !== 'server.ts' && target !== 'cli') return undefined;
  const isLeaf = LEAVES.includes(target) && !NOTHING_BUT_THEIR_ROW.includes(part);
  if (!isLeaf && !MAY_USE[part]?.includes(target)) return arrow;
  if (isStore(to) && target !== 'storage' && from !== STANDS_ALONE && !isBuilder(from))
    return `${arrow}: another area's store`;
  return undefined;
}

const complaints = (arrows: Arrow[]): string[] => arrows.map(complaintAbout).filter((text) => text !== undefined);

/** Names of the places that a circle of arrows goes through, and of those that lie between two circles. */
function circleIn(arrows: readonly Arrow[]): string[] {
  let left = [...arrows];
  for (;;) {
    const starts = new Set(left.map(({ from }) => from));
    const ends = new Set(left.map(({ to }) => to));
    const next = left.filter(({ from, to }) => ends.has(from) && starts.has(to));
    if (next.length === left.length) return [...new Set(left.flatMap(({ from, to }) => [from, to]))].sort();
    left = next;
  }
}

describe('imports', () => {
  const arrows = arrowsIn(SOURCES);

  test('go the way the table says', () => {
    assert.ok(arrows.length > 100, 'they are found');
    assert.deepEqual(complaints(arrows), []);
  });

  test('make no circle, between parts and between files', () => {
    const between = arrows.map(({ from, to }) => ({ from: partOf(from), to: partOf(to) }));
    assert.deepEqual(circleIn(between.filter(({ from, to }) => from !== to)), []);
    assert.deepEqual(
      circleIn(arrows.filter(({ from, to }) => !MIGRATION_LIST.every((file) => [from, to].includes(file)))),
      [],
    );
    assert.deepEqual(
      circleIn([
        { from: 'a', to: 'b' },
        { from: 'b', to: 'c' },
        { from: 'c', to: 'b' },
      ]),
      ['b', 'c'],
    ); // planted
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
      pg: /^(?:storage\/postgres|cluster\/postgres-carrier)\.ts$/,
      '@nats-io/transport-node': /^cluster\/nats-carrier\.ts$/,
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
      ['errors.ts', "import { x } from './callers.ts';"],
      ['errors/x.ts', "import { x } from '../lib/x.ts';"],
      ['settings/x.ts', "import { x } from '../lib/x.ts';"],
      ['tokens/z.ts', "import { IDENTITY_ERRORS } from '../errors/identity.ts';"],
      ['storage/x.ts', "import type { Identity } from '../identities/identity.ts';"],
      ['http/x.ts', "const x = await import('../tokens/access-tokens.ts');"],
      ['tokens/x.ts', "import { Pipeline } from '../http/pipeline.ts';"],
      ['planes/identity/x-routes.ts', "import { Pipeline } from '../../http/pipeline.ts';"],
      ['planes/identity/y.ts', "import { Health } from '../operator/health.ts';"],
      ['identities/y.ts', "import { knownScopes } from '../planes/identity/token-routes.ts';"],
      ['tokens/y.ts', "import { IdentityStore } from '../identities/identity-store.ts';"],
      ['identities/x.ts', "import { AccessTokens } from '../tokens/access-tokens.ts';"],
      ['tokens/z.ts', "import type { Base } from '../base.ts';"],
      ['planes/operator/z.ts', "import type { Access } from '../../access.ts';"],
      ['start/z.ts', "import { startServer } from '../server.ts';"],
      ['chat/x.ts', "import { Identities } from '../identities/identities.ts';"],
    ]);
    assert.equal(complaints(arrowsIn(planted)).length, planted.size);
  });
});
