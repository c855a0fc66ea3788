import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Lock, type LockedPackage, readLock } from '../../scripts/sbom.ts';
import { writeResult } from '../harness/results.ts';

const ROOT = join(import.meta.dirname, '../..');
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const MOST_DIRECT = 15;
/** Packages whose install scripts may run, each with its reason. There is none: `npm ci --ignore-scripts` is enough. */
const INSTALL_SCRIPTS: readonly string[] = [];

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
}

interface Chain {
  readonly lock: Lock;
  /** Path in the lock → manifest. */
  readonly manifests: Readonly<Record<string, Manifest>>;
  /** docs/decisions/dependencies.md; undefined for what is never published. */
  readonly reasons: string | undefined;
}

const CHAIN: Chain = {
  lock: readLock(),
  manifests: { '': JSON.parse(textOf('package.json')), runtime: JSON.parse(textOf('runtime/package.json')) },
  reasons: textOf('docs/decisions/dependencies.md'),
};

/** What `npm run harness -- mutation` installs for itself. */
const MUTATION: Chain = {
  lock: JSON.parse(textOf('scripts/mutation/package-lock.json')),
  manifests: { '': JSON.parse(textOf('scripts/mutation/package.json')) },
  reasons: undefined,
};

const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies'] as const;
/** What npm runs by itself at an installation, ours or somebody else's of our package. */
const RUN_AT_INSTALL = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare'];
const EXACT = /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/;

/** Name → reason, from the first table of the page. */
const explained = (page: string): Map<string, string> =>
  new Map(
    [...(page.split('\nNot used')[0] ?? '').matchAll(/^\| `([^`]+)` \| ([^|]+) \|/gm)].map(
      ([, name = '', reason = '']) => [name, reason.trim()],
    ),
  );

/** Everything that is against the rules (security-and-reliability, U1 and U2). */
function complaintsAbout({ lock, manifests, reasons }: Chain): string[] {
  const found: string[] = [];
  for (const [path, manifest] of Object.entries(manifests)) {
    for (const kind of KINDS) {
      const wanted = manifest[kind] ?? {};
      for (const [name, version] of Object.entries(wanted))
        if (!EXACT.test(version)) found.push(`${name} ${version} is not exact`);
      if (JSON.stringify(lock.packages[path]?.[kind] ?? {}) !== JSON.stringify(wanted))
        found.push(`the lock has other ${kind} of '${path}'`);
    }
  }
  for (const { scripts = {} } of Object.values(manifests))
    for (const name of RUN_AT_INSTALL) if (scripts[name]) found.push(`the script ${name} runs at an installation`);
  for (const [path, entry] of Object.entries(lock.packages)) found.push(...aboutPackage(path, entry));

  if (reasons === undefined) return found;
  const direct = Object.keys(manifests['']?.dependencies ?? {});
  const reasonOf = explained(reasons);
  if (direct.length > MOST_DIRECT) found.push(`${direct.length} direct dependencies`);
  for (const name of direct) if (!reasonOf.get(name)) found.push(`${name} has no reason`);
  for (const name of reasonOf.keys()) if (!direct.includes(name)) found.push(`${name} is explained and not used`);
  return found;
}

function aboutPackage(
  path: string,
  { version = '', integrity = '', resolved, link, hasInstallScript, bin = {} }: LockedPackage,
): string[] {
  const found: string[] = [];
  if (!path.includes('node_modules/')) return found; // the repository itself, and its workspace
  if (link) return resolved === 'runtime' ? found : [`${path} is a link to ${resolved}`];
  if (!EXACT.test(version)) found.push(`${path} has no exact version`);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity)) found.push(`${path} has no integrity`);
  if (resolved !== undefined) found.push(`${path} has an address`);
  if ('node' in bin) found.push(`${path} would be the node of every npm script: take its bin out of the lock`);
  if (hasInstallScript && !INSTALL_SCRIPTS.includes(path)) found.push(`${path} has an install script`);
  return found;
}

describe('the supply chain', () => {
  test('is exact, whole, without addresses and install scripts, and every direct dependency has its reason', () => {
    assert.deepEqual(complaintsAbout(CHAIN), []);
  });

  test('of mutation testing is a chain of its own, held to the same', () => {
    assert.deepEqual(complaintsAbout(MUTATION), []);
    assert.ok(!Object.keys(CHAIN.lock.packages).some((path) => path.includes('stryker')));
    const address = { ...MUTATION.lock.packages['node_modules/semver'], resolved: 'https://example.org/semver.tgz' };
    const packages = { ...MUTATION.lock.packages, 'node_modules/semver': address };
    assert.deepEqual(complaintsAbout({ ...MUTATION, lock: { packages } }), ['node_modules/semver has an address']);
  });

  test('keeps addresses out of the lock files by a setting', () => {
    for (const folder of ['.', 'scripts/mutation']) {
      assert.match(textOf(`${folder}/.npmrc`), /^omit-lockfile-registry-resolved=true$/m);
      assert.match(textOf(`${folder}/.npmrc`), /^save-exact=true$/m);
    }
  });

  const path = 'node_modules/pg';
  const pg = CHAIN.lock.packages[path] ?? {};
  const withPackage = (at: string, entry: LockedPackage): Chain => ({
    ...CHAIN,
    lock: { packages: { ...CHAIN.lock.packages, [at]: entry } },
  });
  const withDependencies = (dependencies: Record<string, string>): Chain => ({
    ...CHAIN,
    manifests: { ...CHAIN.manifests, '': { ...CHAIN.manifests[''], dependencies } },
  });
  const own = CHAIN.manifests['']?.dependencies ?? {};
  const PLANTED: [what: string, chain: Chain, complaint: RegExp][] = [
    ['a range', withDependencies({ ...own, pg: '^8.23.1' }), /pg \^8\.23\.1 is not exact/],
    [
      'an install script of our own',
      { ...CHAIN, manifests: { ...CHAIN.manifests, runtime: { scripts: { postinstall: 'node x.js' } } } },
      /postinstall runs at an installation/,
    ],
    ['a lock that was not written anew', withDependencies({ ...own, pg: '8.0.0' }), /the lock has other dependencies/],
    ['a dependency without a reason', withDependencies({ ...own, 'left-pad': '1.3.0' }), /left-pad has no reason/],
    ['a reason that is left over', withDependencies({}), /pg is explained and not used/],
    [
      'too many',
      withDependencies(Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`p${index}`, '1.0.0']))),
      /16 direct dependencies/,
    ],
    ['no integrity', withPackage(path, { version: '8.23.1' }), /has no integrity/],
    ['a weak hash', withPackage(path, { ...pg, integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }), /has no integrity/],
    ['an address', withPackage(path, { ...pg, resolved: 'https://example.org/pg.tgz' }), /has an address/],
    [
      'a package from a repository',
      withPackage(path, { ...pg, version: 'git+https://example.org/pg.git' }),
      /no exact version/,
    ],
    [
      'an install script',
      withPackage('node_modules/evil', { ...pg, hasInstallScript: true }),
      /evil has an install script/,
    ],
    [
      'a package that hides the launcher',
      withPackage('node_modules/evil', { ...pg, bin: { node: 'bin/node' } }),
      /evil would be the node of every npm script/,
    ],
    [
      'a link out of the repository',
      withPackage('node_modules/evil', { link: true, resolved: '../evil' }),
      /is a link to/,
    ],
  ];
  for (const [what, chain, complaint] of PLANTED) {
    test(`would be seen with ${what}`, () => {
      assert.match(complaintsAbout(chain).join('\n'), complaint);
    });
  }

  test('is counted', (t) => {
    const figures = {
      packages: Object.keys(CHAIN.lock.packages).length,
      direct: Object.keys(own).length,
      unexplained: 0,
      installScripts: 0,
    };
    t.diagnostic(JSON.stringify(figures));
    writeResult({ id: 'U1-U2', seed: 'none', figures, passed: complaintsAbout(CHAIN).length === 0, planted: true });
  });
});
