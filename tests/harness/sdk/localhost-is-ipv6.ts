// Loaded before a client program: a machine whose `localhost` is ::1 and nothing else, as on many. The SDKs take no IPv6 address in
// an endpoint, so this is how they come to speak IPv6.
import dns from 'node:dns';

const usual = dns.lookup;
const lookup = (name: string, ...rest: unknown[]): unknown =>
  Reflect.apply(usual, dns, [name === 'localhost' ? '::1' : name, ...rest]);
Object.assign(dns, { lookup });
