import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { fetchJsonObject, isPrivate, type ProviderAccess } from '../../src/trusts/provider-fetch.ts';
import { Provider } from '../harness/provider.ts';

const ACCESS: ProviderAccess = {
  plainHttp: false,
  privateAddresses: true,
  certificateAuthority: undefined,
  timeoutMs: 2000,
};

let secure: Provider;
let plain: Provider;
before(async () => {
  secure = await Provider.start({ secure: true });
  plain = await Provider.start();
});
after(() => Promise.all([secure.stop(), plain.stop()]));

const failure = (message: string | RegExp) => ({ name: 'ProviderFailure', message });

describe('a provider', () => {
  test('is trusted by the authority that the trust names, and by no other', async () => {
    const certificateAuthority = secure.certificates?.caPem;
    const document = await fetchJsonObject(secure.metadata, { ...ACCESS, certificateAuthority });
    assert.equal(document.issuer, secure.issuer('{tenantid}'));
    const other = await Provider.start({ secure: true });
    const authorities = [undefined, other.certificates?.caPem];
    await other.stop();
    for (const certificateAuthority of authorities) {
      await assert.rejects(
        fetchJsonObject(secure.metadata, { ...ACCESS, certificateAuthority }),
        failure(/^the connection failed \((?:UNABLE_TO|SELF_SIGNED)/),
      );
    }
  });

  test('with a certificate for another name is not trusted', async () => {
    const { port } = new URL(secure.origin);
    const access = { ...ACCESS, certificateAuthority: secure.certificates?.caPem };
    await assert.rejects(
      fetchJsonObject(`https://127.0.0.2:${port}/`, access),
      failure(/^the connection failed \((?:ERR_TLS_CERT_ALTNAME_INVALID|ECONNREFUSED)\)$/),
    );
    await fetchJsonObject(secure.metadata.replace('localhost', '127.0.0.1'), access);
  });

  test('is not trusted for an authority that cannot be read', async () => {
    const certificateAuthority = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
    await assert.rejects(
      fetchJsonObject(secure.metadata, { ...ACCESS, certificateAuthority }),
      failure(/^the connection failed/),
    );
  });

  test('is asked over TLS only, unless plain HTTP is allowed', async () => {
    const before = plain.fetches.length;
    await assert.rejects(fetchJsonObject(plain.metadata, ACCESS), failure('the address is not an https address'));
    for (const address of ['file:///etc/passwd', 'ftp://localhost/', 'data:,{}', 'x', '']) {
      await assert.rejects(fetchJsonObject(address, { ...ACCESS, plainHttp: true }), failure(/not an https address/));
    }
    assert.equal(plain.fetches.length, before);
    await fetchJsonObject(plain.metadata, { ...ACCESS, plainHttp: true });
  });

  test('at a private address is not connected to, by name or by number, unless that is allowed', async () => {
    const { port } = new URL(plain.origin);
    const before = plain.fetches.length;
    const hosts = ['localhost', '127.0.0.1', '2130706433', '0x7f.1', '0', '[::1]', '[::ffff:127.0.0.1]', '[::]'];
    for (const host of hosts) {
      await assert.rejects(
        fetchJsonObject(`http://${host}:${port}/`, { ...ACCESS, plainHttp: true, privateAddresses: false }),
        failure('its address is not on the public internet, and the trust does not have privateAddresses'),
        host,
      );
    }
    assert.equal(plain.fetches.length, before);
  });

  test('is asked past the proxies and the leniency that the environment names', async (t) => {
    let proxied = 0;
    const proxy = http.createServer((_request, response) => {
      proxied += 1;
      response.end('{}');
    });
    proxy.on('connect', (_request, socket) => {
      proxied += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    t.after(() => proxy.close());
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const module = new URL('../../src/trusts/provider-fetch.ts', import.meta.url).href;
    const script = `
      const { fetchJsonObject } = await import(${JSON.stringify(module)});
      const access = { plainHttp: true, privateAddresses: true, certificateAuthority: undefined, timeoutMs: 5000 };
      for (const url of ${JSON.stringify([plain.metadata, secure.metadata])})
        console.log(await fetchJsonObject(url, access).then((d) => 'issuer' in d ? 'read' : 'proxied', (e) => e.message));`;
    const env = {
      ...process.env,
      NODE_USE_ENV_PROXY: '1',
      HTTP_PROXY: address,
      HTTPS_PROXY: address,
      http_proxy: address,
      https_proxy: address,
      NO_PROXY: '',
      no_proxy: '',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_NO_WARNINGS: '1',
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
    assert.match(stdout, /^read\nthe connection failed \((?:UNABLE_TO|SELF_SIGNED)\w+\)\n$/);
    assert.equal(proxied, 0);
  });

  test('that is slow in all its parts together has one limit for all', async () => {
    plain.behaviour = 'trickling';
    const start = performance.now();
    const access = { ...ACCESS, plainHttp: true, timeoutMs: 100 };
    await assert.rejects(fetchJsonObject(plain.metadata, access), failure('no complete answer within 0.1 s'));
    plain.behaviour = 'well';
    assert.ok(performance.now() - start >= 99);
  });
});

test('private are all addresses that are not of the public internet', () => {
  const privates = `0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::ffff:8.8.8.8 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:db8::1
    2002:7f00:1::1 3fff::1 4000::1 5f00::1 fc00::1 fd00::1 fe80::1 fec0::1 ff02::1`;
  for (const address of privates.split(/\s+/)) assert.equal(isPrivate(address), true, address);
  const publics = `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 128.0.0.1 169.253.1.1 172.15.0.1 172.32.0.1
    192.0.1.1 192.167.1.1 192.169.1.1 198.17.1.1 198.20.0.1 223.255.255.255 20.190.160.1
    2606:4700::1111 2001:4860:4860::8888 2603:1006:2000::1 2a00:1450::1 3ffe::1`;
  for (const address of publics.split(/\s+/)) assert.equal(isPrivate(address), false, address);
});
