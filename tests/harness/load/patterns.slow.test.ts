import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ResourceId } from '../../../src/callers.ts';
import { connectionFrom } from '../../../src/cli/connection-string.ts';
import { onOneLine } from '../../../src/cli/exit.ts';
import { bodyReader } from '../../../src/http/body.ts';
import { SignatureVerifier } from '../../../src/http/hmac.ts';
import { RequestGuard } from '../../../src/http/request-guard.ts';
import { listOf, object, text } from '../../../src/http/schema.ts';
import { settleVersion } from '../../../src/http/versions.ts';
import type { WireRequest } from '../../../src/http/wire.ts';
import { customId, identityId, pageStart } from '../../../src/identities/identity.ts';
import { fromBase64, fromBase64url } from '../../../src/lib/bytes.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { parseInstant } from '../../../src/lib/instants.ts';
import { escapeUnprintable, safeText, withoutUnprintable } from '../../../src/monitoring/safe-text.ts';
import { versions } from '../../../src/planes/identity/versions.ts';
import { readCompact } from '../../../src/tokens/jws.ts';
import { writeResult } from '../results.ts';
import { SOURCES } from '../sources.ts';
import {
  type Attack,
  attacksOn,
  consumerOf,
  fastest,
  isEndless,
  LONGEST,
  patternsIn,
  prefixesOf,
  superLinear,
  type TextConsumer,
} from './patterns.ts';

// L5. Judged by growth within the run; times are reported.

const THOROUGH = process.env.TEST_PATTERNS === 'thorough';
const report = { id: 'L5', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

const PATTERNS = [...SOURCES].flatMap(([path, source]) => patternsIn(path, source));

const request = (headers: Record<string, string>, target = '/'): WireRequest => ({
  method: 'POST',
  target,
  header: (name) => (headers[name] === undefined ? [] : [headers[name]]),
  secure: false,
  peer: '127.0.0.1',
  hasBody: false,
  complete: true,
  upgrades: false,
  onEnd: () => undefined,
  readBody: async () => Buffer.alloc(0),
});
const guard = new RequestGuard({ local: true, allowedHosts: [], allowedOrigins: [], trustedProxies: [] });
const signatures = new SignatureVerifier(
  { candidatesFor: () => [], clock: systemClock },
  { windowMinutes: 5, wellKnownKey: 'loopback' },
);
const json = bodyReader({ schema: object({ scopes: listOf(text()) }), kind: 'json' });
const form = bodyReader({ schema: object({ token: text() }), kind: 'form' });
const OWNER = '5e1f0057-ed00-4acc-8000-000000007417' as ResourceId;

/** What reads what unauthenticated callers send: name → reader, and pieces that are particular to it. */
const READERS: Readonly<Record<string, { consume: TextConsumer; pieces: readonly string[] }>> = {
  'Host header': { consume: (host) => guard.requireHost(request({ host })), pieces: [':0', 'a.', '1.', '[::1]'] },
  'Origin header': {
    consume: (origin) => guard.originHeaders(request({ origin }), { access: { caller: 'service' } } as never, []),
    pieces: ['a.', 'http://'],
  },
  'Authorization header': {
    consume: (value) => signatures.verify(request({ authorization: `HMAC-SHA256 SignedHeaders=${value}` })),
    pieces: ['x-ms-date;', '&Signature=', 'host;'],
  },
  'path of a signed request': {
    consume: (target) =>
      signatures.verify(
        request(
          {
            host: 'localhost',
            authorization: `HMAC-SHA256 SignedHeaders=date;host;x-ms-content-sha256&Signature=${'A'.repeat(43)}=`,
            date: new Date().toUTCString(),
            'x-ms-content-sha256': `${'A'.repeat(43)}=`,
          },
          target,
        ),
      ),
    pieces: ['/', '%2F', '//?'],
  },
  'Content-Type header': {
    consume: (type) => json(request({ 'content-type': type }), Buffer.from('{}')),
    pieces: [';charset=', '; ', 'application/'],
  },
  'JSON body': {
    consume: (body) => json(request({ 'content-type': 'application/json' }), Buffer.from(body)),
    pieces: ['[', '{"a":', '"\\u0000', '{"scopes":['],
  },
  'list in a JSON body': {
    consume: (body) => json(request({ 'content-type': 'application/json' }), Buffer.from(`{"scopes":[${body}1]}`)),
    pieces: ['"a",', '1,', '[],'],
  },
  'form body': {
    consume: (body) => form(request({ 'content-type': 'application/x-www-form-urlencoded' }), Buffer.from(body)),
    pieces: ['a=&', '%', '&'],
  },
  'identity id': { consume: (id) => identityId(id, OWNER), pieces: ['8:acs:', '_a', 'a-', `8:acs:${OWNER}_`] },
  'custom id': { consume: customId, pieces: ['\u0000'] },
  continuation: { consume: pageStart, pieces: ['8:acs:'] },
  'api-version': {
    consume: (version) => settleVersion([version], { supported: versions('2021-03-07'), newest: undefined }, '/'),
    pieces: ['2021-', '-preview'],
  },
  token: { consume: readCompact, pieces: ['eyJ', '.', 'eyJhbGciOiJSUzI1NiJ9.'] },
  instant: { consume: parseInstant, pieces: ['2020-01-01T', '00:', '.0'] },
  base64: { consume: (value) => [fromBase64(value), fromBase64url(value)], pieces: ['A', '=', 'AA=='] },
  'text for the log': {
    consume: (value) => [safeText(value), escapeUnprintable(value), withoutUnprintable(value)],
    pieces: ['://a:', 'eyJ', '-----BEGIN', '\u202e'],
  },
  'text for the terminal': { consume: onOneLine, pieces: [' \n', ' '] },
  'connection string': { consume: (value) => connectionFrom(value, 'x'), pieces: ['endpoint=', ';', 'accesskey='] },
};

const attacksOnReader = (pieces: readonly string[]): Attack[] => pieces.flatMap((piece) => attacksOn(piece, THOROUGH));

describe('hostile text', () => {
  test(`costs none of the ${PATTERNS.length} patterns of the sources more than in proportion`, () => {
    assert.ok(PATTERNS.length > 90, 'the scan still finds them');
    const slow = PATTERNS.filter(isEndless).flatMap((pattern) => {
      const prefixes = prefixesOf(pattern.source, pattern.flags);
      const attack = superLinear(consumerOf(pattern), attacksOn(pattern.source, THOROUGH, prefixes));
      return attack ? [`${pattern.path}:${pattern.line} /${pattern.source}/ ${attack}`] : [];
    });
    assert.deepEqual(slow, []);
  });

  test('costs no reader of what unauthenticated callers send more than in proportion', () => {
    const slow = Object.entries(READERS).flatMap(([name, { consume, pieces }]) => {
      const attack = superLinear(consume, attacksOnReader(pieces));
      return attack ? [`${name} ${attack}`] : [];
    });
    assert.deepEqual(slow, []);
    const longest = Object.entries(READERS).map(([name, { consume, pieces }]) => {
      const texts = pieces.map((piece) => piece.repeat(Math.ceil(LONGEST / piece.length)));
      return [name, Math.max(...texts.map((hostile) => fastest(consume, hostile, 3)))] as const;
    });
    const slowest = longest.toSorted(([, one], [, other]) => other - one)[0];
    report.figures = {
      patterns: PATTERNS.length,
      patternsThatRepeat: PATTERNS.filter(isEndless).length,
      readers: Object.keys(READERS).length,
      slowestReader: slowest?.[0] ?? '',
      slowestReaderMs: Math.round((slowest?.[1] ?? 0) * 10) / 10,
    };
    report.passed = true;
  });

  for (const source of [
    '(a+)+$',
    '^(\\w+\\s?)*$',
    '\\s+$',
    '(x|x)*y',
    '.*=.*;',
    '(?::\\d+)+$',
    '\\/+(\\?|$)',
    '^\\d{4}-[a-f]{2}T(?:\\.(?:\\d+)+)?Z$',
  ]) {
    test(`the harness reports /${source}/`, () => {
      assert.ok(
        superLinear(consumerOf({ source, flags: '' }), attacksOn(source, false, prefixesOf(source)), 16 * 1024),
      );
      report.planted = true;
    });
  }

  test('what a pattern takes before it repeats is found', () => {
    const cases: [source: string, prefixes: string[]][] = [
      ['^a+b*$', ['', 'a']],
      ['^\\d{4}-[^x]{2,}(?:x|y+)?$', ['0000-', '0000-aa']],
      ['^(?:ab|c\\.d)(?=q)[\\]e]+', ['ab']],
      ['\\(z{1,3}\\w{2}(?:\\s)*', ['(zaa']],
    ];
    for (const [source, prefixes] of cases) assert.deepEqual(prefixesOf(source), prefixes, source);
  });

  test('patterns are found wherever they stand, and divisions are not', () => {
    const source = [
      'const a = /one/g.test(b) ? 4 / 2 / 1 : x;',
      '// not /a comment/',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a source
      "const s = 'not /a string/' + `not /a template/ ${/two/u.exec(`${/three[/]/}`)} /nor/ this`;",
      'return /four\\//;',
      'f((y) => /five/.test(y), [a.length / 2, b / 3]);',
    ].join('\n');
    assert.deepEqual(
      patternsIn('x.ts', source).map((pattern) => `${pattern.line} ${pattern.source} ${pattern.flags}`),
      ['1 one g', '3 two u', '3 three[/] ', '4 four\\/ ', '5 five '],
    );
  });
});
