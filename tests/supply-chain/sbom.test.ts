import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Lock, readLock, runtimePaths, sbomOf } from '../../scripts/sbom.ts';
import { writeResult } from '../harness/results.ts';
import { SOURCES } from '../harness/sources.ts';

const ROOT = join(import.meta.dirname, '../..');
const LOCK = readLock();
const SBOM = sbomOf(LOCK);
const jsonOf = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

/** Licences that ask for no more than to be named. Another one is a decision. */
const LICENCES = ['0BSD', 'Apache-2.0', 'BSD-3-Clause', 'ISC', 'MIT', 'Unlicense'];

/** What npm itself calls neither for development only nor part of the workspace that brings Node.js. */
function expected({ packages }: Lock): string[] {
  const { optionalDependencies } = jsonOf('runtime/package.json');
  const ofRuntime = new Set(Object.keys(optionalDependencies).map((name) => `node_modules/${name}`));
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => path.includes('node_modules/') && !dev && !link && !ofRuntime.has(path))
    .map(([path, { name, version }]) => `${name ?? path.replace(/^.*node_modules\//, '')}@${version}`)
    .sort();
}

const listed = (sbom: typeof SBOM): string[] => sbom.components.map(({ name, version }) => `${name}@${version}`).sort();

describe('the bill of materials', () => {
  test('lists what npm would install for the published package, all of it and nothing else', () => {
    assert.deepEqual(listed(SBOM), [...new Set(expected(LOCK))]);
    assert.ok(SBOM.components.length > 20);
  });

  test('reports a package that was left out, and one too many', () => {
    const { 'node_modules/split2': _, ...others } = LOCK.packages;
    assert.notDeepEqual(listed(sbomOf({ packages: others })), [...new Set(expected(LOCK))]);
    const more = {
      ...LOCK.packages,
      'node_modules/typescript': { ...LOCK.packages['node_modules/typescript'], dev: false },
    };
    assert.notDeepEqual(listed(SBOM), [...new Set(expected({ packages: more }))]);
  });

  test('has version, hash, licence and purl of each, as installed', () => {
    for (const { name, version, hashes, licenses, purl } of SBOM.components) {
      assert.equal(purl, `pkg:npm/${name.replace('@', '%40')}@${version}`);
      assert.equal(hashes.length, 1);
      assert.equal(hashes[0]?.alg, 'SHA-512');
      assert.match(hashes[0]?.content ?? '', /^[0-9a-f]{128}$/);
      assert.equal(licenses.length, 1, name);
      assert.ok(
        LICENCES.some((id) => isDeepStrictEqual(licenses, [{ license: { id } }])),
        `${name}: ${JSON.stringify(licenses)}`,
      );
    }
    for (const path of runtimePaths(LOCK).filter((path) => existsSync(join(ROOT, path)))) {
      const { name, version } = jsonOf(`${path}/package.json`);
      assert.ok(
        SBOM.components.some((one) => one.name === name && one.version === version),
        path,
      );
    }
  });

  test('has every package that the sources import, and a way from the root to every component', () => {
    const names = new Set(SBOM.components.map(({ name }) => name));
    for (const [path, text] of SOURCES) {
      for (const [, name = ''] of text.matchAll(/(?:from|import)\s*\(?\s*'((?:@[\w.-]+\/)?[\w-]+)[^']*'/g)) {
        if (!builtinModules.includes(name) && !/^node$/.test(name))
          assert.ok(names.has(name), `${path} imports ${name}`);
      }
    }
    const on = new Map(SBOM.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    const reached = new Set<string>();
    const waiting = [SBOM.metadata.component['bom-ref']];
    for (let ref = waiting.pop(); ref !== undefined; ref = waiting.pop()) {
      if (reached.has(ref)) continue;
      reached.add(ref);
      assert.ok(on.has(ref), ref);
      waiting.push(...(on.get(ref) ?? []));
    }
    assert.equal(reached.size, SBOM.components.length + 1);
  });

  test('is CycloneDX 1.6, the same each time, and says nothing of the machine', (t) => {
    assert.deepEqual(
      [SBOM.bomFormat, SBOM.specVersion, SBOM.metadata.component.name],
      ['CycloneDX', '1.6', 'linarite'],
    );
    const text = JSON.stringify(SBOM);
    assert.equal(text, JSON.stringify(sbomOf(readLock())));
    assert.doesNotMatch(text.replace(SBOM.$schema, ''), /https?:|file:|node_modules|\/home|\/work|\\\\/);
    t.diagnostic(`${SBOM.components.length} components`);
    writeResult({
      id: 'SBOM',
      seed: 'none',
      figures: { components: SBOM.components.length },
      passed: true,
      planted: true,
    });
  });
});
