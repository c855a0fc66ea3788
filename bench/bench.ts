import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureIssue } from './p1-issue.ts';
import { measurePeer } from './p2-peer.ts';
import { measureCheck } from './p3-check.ts';
import { measureCreate } from './p4-create.ts';
import { measureProcess } from './p5-process.ts';
import { measureScale } from './p6-scale.ts';
import { asJson, type Outcome, type Scale, summary, table } from './report.ts';
import { tidyUpAtExit } from './workplace.ts';

const ROWS: Record<string, (scale: Scale) => Promise<Outcome>> = {
  P1: measureIssue,
  P2: measurePeer,
  P3: measureCheck,
  P4: measureCreate,
  P5: measureProcess,
  P6: measureScale,
};

const HELP = `Usage: npm run bench [-- [--only P1,P3] [--quick] [--json]]

  --only   rows to measure, separated by commas; without it all of ${Object.keys(ROWS).join(', ')}
  --quick  fewer and smaller samples, and a smaller store for P6
  --json   one JSON object on standard output, its keys the names of the rows
`;

/** Measures and prints. @returns the exit code: 0 when everything could be measured, whatever the figures say */
async function bench(): Promise<number> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const names = values.only?.split(',').map((name) => name.trim().toUpperCase()) ?? Object.keys(ROWS);
  const unknown = names.find((name) => !(name in ROWS));
  if (values.help || unknown !== undefined) {
    console.error(unknown === undefined ? HELP : `There is no row ${unknown}.\n\n${HELP}`);
    return unknown === undefined ? 0 : 2;
  }

  tidyUpAtExit();
  const scale: Scale = { quick: values.quick, rounds: values.quick ? 5 : 9 };
  const outcomes = new Map<string, Outcome>();
  const failures = new Map<string, string>();
  console.error(`${cpus()[0]?.model ?? 'processor'}, ${availableParallelism()} cores, Node.js ${process.version}`);
  for (const name of names) {
    const started = performance.now();
    try {
      const outcome = await ROWS[name]?.(scale);
      if (outcome) outcomes.set(name, outcome);
      for (const line of outcome?.checks.map(summary) ?? []) console.error(`${name}: ${line}`);
    } catch (cause) {
      console.error(`${name} could not be measured:`, cause);
      failures.set(name, String(cause));
    }
    console.error(`${name} took ${((performance.now() - started) / 1000).toFixed(0)} s`);
  }

  if (values.json) {
    const rows = names.map((name): [string, object] => {
      const outcome = outcomes.get(name);
      return [name, outcome ? asJson(outcome) : { met: false, error: failures.get(name) }];
    });
    console.log(JSON.stringify(Object.fromEntries(rows))); // one line: npm puts a banner of its own before it
  } else {
    console.log(`\n${table(outcomes)}`);
    for (const [name, cause] of failures) console.log(`${name} could not be measured: ${cause}`);
  }
  return failures.size === 0 ? 0 : 1;
}

process.exitCode = await bench();
