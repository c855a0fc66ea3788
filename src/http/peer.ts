import { isLoopback } from '../lib/loopback.ts';
import type { WireRequest } from './wire.ts';

const FORWARDING = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** Whether a request comes from this machine, and nothing says that it was passed on for somebody else. */
export const isLocal = (request: WireRequest): boolean =>
  isLoopback(request.peer) && FORWARDING.every((name) => request.header(name).length === 0);
