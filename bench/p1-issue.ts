import { Issuing } from './issuing.ts';
import { interleaved, ratios, scaled, stat } from './measure.ts';
import { nodeSignSeconds, opensslSignSeconds, opensslVersion, rsaKey } from './openssl.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { startLinarite } from './server-process.ts';

const MICRO = 1e6;

/** What a token costs the server beside the one RSA operation that nobody can save. */
export async function measureIssue({ quick, rounds }: Scale): Promise<Outcome> {
  const count = quick ? 2000 : 4000;
  const key = rsaKey();
  const openssl = await opensslVersion();
  const issuing = await Issuing.begin(await startLinarite());
  nodeSignSeconds(key, 500);
  const { token, reference, node } = await interleaved(rounds, {
    reference: () => (openssl === undefined ? nodeSignSeconds(key, 2000) : opensslSignSeconds()),
    token: () => issuing.cpuSecondsPerToken(count),
    node: () => nodeSignSeconds(key, 2000),
  });
  const { tokensPerSecond } = issuing;
  await issuing.end();

  const name = openssl === undefined ? 'crypto.sign' : 'openssl speed';
  return {
    title: `CPU of one RS256 token over HTTP ÷ one RSA-2048 signature`,
    checks: [check(`server CPU per token ÷ ${name}`, stat(ratios(token, reference)), { most: 1.15 })],
    raw: {
      'server CPU per token ÷ crypto.sign of this Node.js': stat(ratios(token, node)),
      'share of RSA in a token, by crypto.sign': stat(ratios(node, token)),
      'server CPU per token, µs': stat(scaled(token, MICRO)),
      [`${openssl ?? name}, one signature, µs`]: stat(scaled(reference, MICRO)),
      [`Node.js ${process.version}, OpenSSL ${process.versions.openssl}, one signature, µs`]: stat(scaled(node, MICRO)),
      'tokens/s on the wall, generator on the same cores': tokensPerSecond,
    },
    notes: [
      `${count} tokens a sample, two scopes, 32 keep-alive connections, plain HTTP, request log to a file at the usual level; CPU is user and system time of all threads.`,
      ...(openssl === undefined ? ['there is no openssl command here, so crypto.sign of this Node.js stands in.'] : []),
    ],
  };
}
