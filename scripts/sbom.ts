// npm run sbom [-- file]: writes a CycloneDX 1.6 document of what the published package brings with it, from the lock file.
// `npm sbom` writes 1.5, with the name of the folder it runs in and a random number; this one is the same for the same lock.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = dirname(import.meta.dirname);

/** What is used of an entry of a lock file. */
export interface LockedPackage {
  readonly name?: string;
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** A lock file: path in the repository → package; the repository itself is at ''. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export const readLock = (): Lock => JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));

/** Paths of the packages that a path needs, found as Node.js looks for them. */
function needs({ packages }: Lock, path: string): string[] {
  const { dependencies = {}, optionalDependencies = {} } = packages[path] ?? {};
  return Object.keys({ ...dependencies, ...optionalDependencies }).flatMap((name) => {
    for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
      const candidate = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
      if (packages[candidate]) return [candidate];
      if (folder === '') return []; // an optional one that the lock does not have
    }
  });
}

/** Paths of everything that the published package brings with it, in order. */
export function runtimePaths(lock: Lock): string[] {
  const found = new Set<string>();
  const waiting = needs(lock, '');
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (found.has(path)) continue;
    found.add(path);
    waiting.push(...needs(lock, path));
  }
  return [...found].sort();
}

const nameAt = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

const purl = (name: string, version = ''): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;

/** An identifier of SPDX, or an expression made of several. */
const licenses = (license: string | undefined): object[] => {
  if (license === undefined) return [];
  return /[ (]/.test(license) ? [{ expression: license }] : [{ license: { id: license } }];
};

function component(path: string, { name = nameAt(path), version, integrity = '', license, optional }: LockedPackage) {
  const [algorithm = '', hash = ''] = integrity.split('-', 2);
  return {
    type: 'library',
    'bom-ref': purl(name, version),
    name,
    version,
    scope: optional ? 'optional' : 'required',
    hashes: [{ alg: algorithm.replace(/^sha(\d+)$/, 'SHA-$1'), content: Buffer.from(hash, 'base64').toString('hex') }],
    licenses: licenses(license),
    purl: purl(name, version),
  };
}

/** The document. The same package at two paths is one component. */
export function sbomOf(lock: Lock) {
  const { packages } = lock;
  const paths = runtimePaths(lock);
  const components = new Map(
    paths.map((path) => {
      const one = component(path, packages[path] ?? {});
      return [one.purl, one] as const;
    }),
  );
  const { name = '', version, license } = packages[''] ?? {};
  const refOf = (path: string): string =>
    path === '' ? purl(name, version) : component(path, packages[path] ?? {}).purl;
  const edges = new Map<string, Set<string>>();
  for (const path of ['', ...paths]) {
    const known = edges.get(refOf(path)) ?? new Set();
    edges.set(refOf(path), new Set([...known, ...needs(lock, path).map(refOf)]));
  }
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': refOf(''),
        name,
        version,
        licenses: licenses(license),
        purl: refOf(''),
      },
    },
    components: [...components.values()],
    dependencies: [...edges].map(([ref, on]) => ({ ref, dependsOn: [...on].sort() })),
  };
}

if (import.meta.main) {
  const [file = join(ROOT, 'sbom.cdx.json')] = process.argv.slice(2);
  writeFileSync(file, `${JSON.stringify(sbomOf(readLock()), null, 2)}\n`);
  console.log(`wrote ${file}`);
}
