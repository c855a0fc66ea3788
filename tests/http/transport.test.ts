import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestGuard } from '../../src/http/request-guard.ts';
import type { WireRequest } from '../../src/http/wire.ts';

const PROXY = '10.0.0.9';

/** Whether a request over that transport, from there, is let in. */
function isLetIn(mode: 'dev' | 'production', peer: string, secure: boolean, headers: readonly string[] = []): boolean {
  const guard = new RequestGuard({
    local: mode === 'dev',
    allowedHosts: mode === 'dev' ? [] : undefined,
    allowedOrigins: [],
    trustedProxies: [PROXY],
  });
  const header = (name: string) => (headers.includes(name) ? ['https'] : []);
  try {
    guard.requireTransport({ peer, secure, header } as unknown as WireRequest);
    return true;
  } catch (cause) {
    assert.equal((cause as { error?: string }).error, 'HttpsRequired');
    return false;
  }
}

test('in production mode plain HTTP is taken from this machine and from configured proxies only', () => {
  for (const peer of ['127.0.0.1', '::1', '::ffff:127.0.0.1', PROXY, `::ffff:${PROXY}`])
    assert.ok(isLetIn('production', peer, false), peer);
  for (const peer of ['10.0.0.90', '10.0.0.8', '192.0.2.1', '2001:db8::1', `::ffff:${PROXY}0`, '']) {
    assert.ok(!isLetIn('production', peer, false), peer);
    assert.ok(
      !isLetIn('production', peer, false, ['x-forwarded-proto', 'forwarded']),
      `${peer}, which says it was TLS`,
    );
    assert.ok(isLetIn('production', peer, true), `${peer} by TLS`);
  }
});

test('in dev mode it is taken from everywhere', () => {
  assert.ok(isLetIn('dev', '192.0.2.1', false));
});
