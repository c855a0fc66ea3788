import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { metricsPage } from '../../scripts/docs.ts';
import type { Base } from '../../src/base.ts';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { REASONS } from '../../src/errors.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { merged } from '../../src/lib/merged.ts';
import type { Log } from '../../src/monitoring/log.ts';
import { MetricSet, type MetricTable } from '../../src/monitoring/metric-set.ts';
import { Counter, OPEN_METRICS, openMetrics } from '../../src/monitoring/metrics.ts';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { METRIC_GROUPS, METRICS, type Readings, ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { watchMetrics } from '../../src/start/watch-metrics.ts';
import { FACTS } from '../harness/monitoring/facts.ts';
import { SOURCES } from '../harness/sources.ts';

const silent: Log = { write() {}, keeps: () => false, flushSync() {}, drain: async () => {}, dropped: 0 };

function monitored(): { metrics: ServerMetrics; monitor: Monitor; sample(line: string): number | undefined } {
  const metrics = new ServerMetrics('1.2.3');
  return {
    metrics,
    monitor: new Monitor(silent, metrics),
    sample(name) {
      const line = metrics
        .render()
        .split('\n')
        .find((candidate) => candidate.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    },
  };
}

test('requests are counted by operation, status and caller, and timed by operation', () => {
  const { monitor, sample } = monitored();
  monitor.requestAnswered(FACTS);
  monitor.requestAnswered({ ...FACTS, durationMs: 30 });
  monitor.requestAnswered({ ...FACTS, status: 401, caller: 'nobody', reason: 'signature.key', durationMs: 60_000 });
  assert.equal(sample('linarite_requests_total{operation="issueAccessToken",status="200",caller="service"}'), 2);
  assert.equal(sample('linarite_requests_total{operation="issueAccessToken",status="401",caller="nobody"}'), 1);
  assert.equal(sample('linarite_refusals_total{reason="signature.key"}'), 1);
  const bucket = (le: string) =>
    sample(`linarite_request_duration_seconds_bucket{operation="issueAccessToken",le="${le}"}`);
  assert.deepEqual(['0.001', '0.0025', '0.05', '10.0', '+Inf'].map(bucket), [0, 1, 2, 2, 3]);
  assert.equal(sample('linarite_request_duration_seconds_count{operation="issueAccessToken"}'), 3);
});

test('what happens to identities, tokens and keys is counted', () => {
  const { monitor, sample } = monitored();
  const [resource, identity] = ['r' as ResourceId, 'i' as IdentityId];
  monitor.identityCreated(resource, identity);
  monitor.tokenIssued(resource, identity, ['chat', 'voip']);
  monitor.tokenIssued(resource, identity, ['chat']);
  monitor.tokensEnded('identity', 7, resource, identity);
  monitor.signingKeyUnknown('k');
  monitor.newerVersionServed('2030-01-01', '2026-09-23', 'createIdentity');
  assert.equal(sample('linarite_identities_created_total'), 1);
  assert.equal(sample('linarite_tokens_issued_total{scope="chat"}'), 2);
  assert.equal(sample('linarite_tokens_issued_total{scope="voip"}'), 1);
  assert.equal(sample('linarite_tokens_issued_total{scope="chat.join"}'), 0);
  assert.equal(sample('linarite_revocation_events_total{kind="identity"}'), 1);
  assert.equal(sample('linarite_unknown_signing_keys_total'), 1);
  assert.equal(sample('linarite_newer_api_versions_total'), 1);
});

test('every reason for a refusal is there at 0, so that an alarm sees the first one', () => {
  const { sample } = monitored();
  for (const reason of Object.keys(REASONS)) assert.equal(sample(`linarite_refusals_total{reason="${reason}"}`), 0);
});

test('figures that others keep are read when the scrape comes', () => {
  const { metrics, sample } = monitored();
  assert.equal(sample('linarite_revocation_log_position'), undefined);
  let position = 1;
  metrics.watch({
    logPosition: () => position,
    leaseAge: () => undefined,
    signingKeys: () => ({ active: 1, retired: 2 }),
    storeJobs: () => {
      throw new Error('closed');
    },
  });
  position = 9;
  assert.equal(sample('linarite_revocation_log_position'), 9);
  assert.equal(sample('linarite_revocation_lease_age_seconds'), undefined);
  assert.equal(sample('linarite_signing_keys{state="retired"}'), 2);
  assert.equal(sample('linarite_store_jobs_total'), undefined);
  assert.ok(metrics.render().endsWith('# EOF\n'));
});

test('the process and the build are described', async () => {
  await setTimeout(5); // the loop counts from its second turn on
  const { sample } = monitored();
  assert.equal(sample(`linarite_build_info{version="1.2.3",node="${process.version}"}`), 1);
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'linarite_event_loop_busy_seconds_total',
  ]) {
    assert.ok(Number(sample(name)) > 0, name);
  }
});

test('names nobody planned cannot fill the memory', () => {
  const { monitor, metrics } = monitored();
  for (let index = 0; index < 5000; index++) monitor.requestAnswered({ ...FACTS, operation: `made-up-${index}` });
  const lines = metrics
    .render()
    .split('\n')
    .filter((line) => line.startsWith('linarite_requests_total'));
  assert.equal(lines.length, 1001);
  assert.ok(lines.includes('linarite_requests_total{operation="other",status="other",caller="other"} 4000'));
});

/** What a plane would add: rows in a table of its own. */
const PIGEONS = {
  sent: { name: 'linarite_pigeons_sent_total', kind: 'counter', labels: ['loft'], help: 'Pigeons sent.' },
  perched: { name: 'linarite_pigeons_perched', kind: 'gauge', labels: ['loft'], help: 'Pigeons at home.' },
  grain: { name: 'linarite_pigeon_grain_bytes', kind: 'gauge', help: 'Grain left.', alarm: 'below 10' },
} as const satisfies MetricTable;
const WITH_PIGEONS = { ...METRIC_GROUPS, Pigeons: PIGEONS };

test('the table of another plane is scraped from its own counters and readings, and has its part of the page', () => {
  const all = new MetricSet(merged(WITH_PIGEONS));
  const sent = new Counter(PIGEONS.sent);
  all.add(sent);
  sent.add('north');
  all.watch({ perched: () => ({ north: 3, south: 4 }), grain: () => 5, leaseAge: () => 0.5 });
  const text = all.render();
  assertOpenMetrics(text);
  assert.deepEqual(text.match(/^linarite_.*/gm), [
    'linarite_revocation_lease_age_seconds 0.5',
    'linarite_pigeons_sent_total{loft="north"} 1',
    'linarite_pigeons_perched{loft="north"} 3',
    'linarite_pigeons_perched{loft="south"} 4',
    'linarite_pigeon_grain_bytes 5',
  ]);
  assert.match(
    metricsPage(WITH_PIGEONS),
    /\n## Pigeons\n\n.*\n.*\n\| `linarite_pigeons_sent_total` \| counter \| `loft` /,
  );
});

test('a metric that is in no table, or has one feeder already, is refused', () => {
  const metrics = new ServerMetrics('1.2.3');
  assert.throws(() => metrics.add(new Counter(PIGEONS.sent)), /linarite_pigeons_sent_total is in no table/);
  assert.throws(() => metrics.add(new Counter(METRICS.requests)), /linarite_requests_total is fed already/);
  assert.throws(() => metrics.watch({ requests: () => 1 }), /linarite_requests_total is fed already/);
  metrics.watch({ leaseAge: () => 1 });
  assert.throws(() => metrics.add(new Counter(METRICS.leaseAge)), /linarite_revocation_lease_age_seconds is fed/);
  // @ts-expect-error a reading gives plain numbers, and a histogram is more
  const wrong: Readings = { durations: () => 1 };
  assert.ok(wrong);
});

test('a later reading of a figure takes the place of the first', () => {
  const { metrics, sample } = monitored();
  metrics.watch({ leaseAge: () => 1 });
  metrics.watch({ leaseAge: () => 2 });
  assert.equal(sample('linarite_revocation_lease_age_seconds'), 2);
});

test('what a plane counts, and what it keeps anyway, is shown', () => {
  const { metrics, sample } = monitored();
  const counter = new Counter(METRICS.clockOffset);
  const plane = { name: 'identity', dialect: serviceDialect, routes: [] } as const;
  const unread = {} as never;
  watchMetrics({ metrics, db: unread, cluster: unread } as unknown as Base, unread, {
    admission: unread,
    parked: unread,
    sockets: unread,
    listener: unread,
    planes: [plane, { ...plane, metrics: [counter], readings: { leaseAge: () => 7 } }],
  });
  counter.add();
  assert.equal(sample('linarite_clock_offset_seconds'), 1);
  assert.equal(sample('linarite_revocation_lease_age_seconds'), 7);
});

test('every metric has a name of its own, and every table in src/monitoring/tables is merged', () => {
  const names = Object.values(METRICS).map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const tables = [...SOURCES].filter(([path]) => path.startsWith('monitoring/tables/'));
  assert.equal(tables.length, Object.keys(METRIC_GROUPS).length);
});

test('labels have few values: no metric names a resource, an identity or a key', () => {
  const identifying = /id$|identity|resource|key|token|path|version/i;
  for (const [name, row] of Object.entries(METRICS)) {
    const labels: readonly string[] = 'labels' in row ? row.labels : [];
    assert.ok(labels.length <= 3, name);
    if (name !== 'build') for (const label of labels) assert.doesNotMatch(label, identifying, name);
  }
});

test('a label cannot break the text', () => {
  const counter = new Counter({
    name: 'odd_total',
    kind: 'counter',
    help: 'A "help"\nwith \\ in it.',
    labels: ['what'],
  });
  counter.add('a"b\\c\nd\u001b\u2028\ud800');
  counter.add('a"b\\c\nd\u001b\u2028\ud800');
  assert.equal(
    openMetrics([counter]),
    '# TYPE odd counter\n# HELP odd A \\"help\\"\\nwith \\\\ in it.\nodd_total{what="a\\"b\\\\c?d??\ufffd"} 2\n# EOF\n',
  );
});

test('the text is OpenMetrics', () => {
  const { monitor, metrics } = monitored();
  monitor.requestAnswered(FACTS);
  monitor.tokensEnded('all', 1, undefined, undefined);
  metrics.watch({
    logPosition: () => 1e21,
    leaseAge: () => Number.NaN,
    clockOffset: () => -1.5e-7,
    signingKeys: () => ({}),
  });
  assertOpenMetrics(metrics.render());
  assert.match(OPEN_METRICS, /^application\/openmetrics-text; version=1\.0\.0/);
});

/** The grammar of the format, as far as this server uses it, and its rules on order, names and repetition. */
function assertOpenMetrics(text: string): void {
  const suffixes = { counter: /^_total$/, gauge: /^$/, info: /^_info$/, histogram: /^_(bucket|count|sum)$/ };
  const lines = text.split('\n');
  assert.deepEqual(lines.splice(-2), ['# EOF', '']);
  const families = new Set<string>();
  const series = new Set<string>();
  let family = { name: '', kind: 'gauge' as keyof typeof suffixes };
  for (const line of lines) {
    const [, name, kind] = /^# TYPE ([a-z_]+) (counter|gauge|histogram|info)$/.exec(line) ?? [];
    if (name && kind) {
      assert.ok(!families.has(name), `${name} twice`);
      families.add(name);
      family = { name, kind: kind as keyof typeof suffixes };
    } else if (line.startsWith('# ')) {
      assert.match(line, new RegExp(`^# (UNIT ${family.name} (seconds|bytes)|HELP ${family.name} [^\\n]+)$`));
    } else {
      const sample =
        /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?|NaN|[+-]Inf)$/.exec(line);
      assert.ok(sample, line);
      assert.ok(sample[1]?.startsWith(family.name), line);
      assert.match(String(sample[1]?.slice(family.name.length)), suffixes[family.kind], line);
      const identity = `${sample[1]}{${sample[2]}}`;
      assert.ok(!series.has(identity), `${identity} twice`);
      series.add(identity);
    }
  }
}
