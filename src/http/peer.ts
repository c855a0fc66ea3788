import { isIP } from 'node:net';
import { isLoopback } from '../lib/loopback.ts';
import type { WireRequest } from './wire.ts';

const FORWARDING = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** Whether a request comes from this machine, and nothing says that it was passed on for somebody else. */
export const isLocal = (request: WireRequest): boolean =>
  isLoopback(request.peer) && FORWARDING.every((name) => request.header(name).length === 0);

/** An address as it is written in settings: an IPv4 address without the prefix that a listener for IPv6 gives it. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d)/i, '');

/**
 * Whose request it is, for accounting and never for access: the address at the other end, or the one that a proxy of ours says.
 * @param trustedProxies addresses of proxies beside those on this machine
 */
export function clientAddress(request: WireRequest, trustedProxies: readonly string[]): string {
  const peer = plainAddress(request.peer);
  if (!isLoopback(peer) && !trustedProxies.includes(peer)) return peer;
  // A proxy adds what it sees behind what it was told.
  const said = request.header('x-forwarded-for').at(-1)?.split(',').at(-1)?.trim() ?? '';
  return isIP(said) ? said : peer;
}
