// npm run check: everything that a change must pass, each complaint followed by what corrects it.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';

interface Check {
  readonly name: string;
  readonly command: readonly string[];
  readonly advice: string;
}

// biome-ignore format: a table
const CHECKS: readonly Check[] = [
  { name: 'types',     command: ['node_modules/typescript/bin/tsc', '--noEmit'],      advice: 'correct the lines above; npm run types looks again' },
  { name: 'lint',      command: ['node_modules/@biomejs/biome/bin/biome', 'check', '.'], advice: 'npm run format corrects most of it' },
  { name: 'reference', command: ['scripts/docs.ts', '--check'],                        advice: 'npm run docs' },
  { name: 'tests',     command: ['scripts/test.ts'],                                   advice: 'npm test -- <part of the file name> runs one file again' },
];

const failed = CHECKS.filter(({ name, command, advice }) => {
  console.log(`\n── ${name}`);
  const { status } = spawnSync(process.execPath, command, { cwd: dirname(import.meta.dirname), stdio: 'inherit' });
  if (status !== 0) console.log(`── ${name} failed: ${advice}`);
  return status !== 0;
});

console.log(failed.length === 0 ? '\nAll checks passed.' : '\nFailed:');
for (const { name, advice } of failed) console.log(`  ${name}: ${advice}`);
process.exitCode = failed.length === 0 ? 0 : 1;
