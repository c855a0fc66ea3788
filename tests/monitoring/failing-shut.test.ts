import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { METRICS } from '../../src/monitoring/server-metrics.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer } from '../harness/server.ts';

// O7: a server that fails shut must be seen to. Every figure is there before anything has gone wrong.

const report = { id: 'O7', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

const FIGURES = [
  'linarite_refusals_total{reason="lease.expired"}',
  'linarite_refusals_total{reason="token.ahead"}',
  'linarite_refusals_total{reason="store.failed"}',
  'linarite_refusals_total{reason="overload.usual"}',
  'linarite_refusals_total{reason="overload.urgent"}',
  'linarite_refusals_total{reason="overload.bodies"}',
  'linarite_refusals_total{reason="quota.exceeded"}',
  'linarite_revocation_lease_age_seconds',
  'linarite_revocation_log_position',
  'linarite_unknown_signing_keys_total',
  'linarite_clock_offset_seconds',
  'linarite_requests_under_way{lane="usual"}',
  'linarite_requests_under_way{lane="urgent"}',
  'linarite_request_body_bytes',
  'linarite_signatures_under_way',
  'linarite_store_jobs_waiting',
  'linarite_connections',
  'linarite_connections_refused_total',
];

/** Those that are missing from the text of a scrape. */
const missingFrom = (text: string): string[] =>
  FIGURES.filter((name) => !text.split('\n').some((line) => line.startsWith(`${name} `)));

test('a running server shows every figure that tells of failing shut, and each has an alarm on its page', async (t) => {
  const server = await startTestServer(t);
  let missing = FIGURES;
  for (let tries = 0; tries < 200 && missing.length > 0; tries += 1) {
    await sleep(50); // the clock is compared a second after the start
    missing = missingFrom((await server.send({ target: '/-/metrics' })).text);
  }
  assert.deepEqual(missing, []);
  for (const name of [
    'refusals',
    'leaseAge',
    'logPosition',
    'unknownKeys',
    'clockOffset',
    'connectionsRefused',
  ] as const)
    assert.ok('alarm' in METRICS[name], name);
  report.figures = { figures: FIGURES.length };
  report.passed = true;
});

test('the check reports a figure that is not there', () => {
  assert.deepEqual(missingFrom(''), FIGURES);
  report.planted = true;
});
