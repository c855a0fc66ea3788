// Not a fault: the deadlines of connections, at a size that a short test can wait for.
import { WIRE_LIMITS } from '../../../../src/http/listen.ts';

Object.assign(WIRE_LIMITS, {
  headersTimeoutMs: 1000,
  requestTimeoutMs: 3000,
  keepAliveTimeoutMs: 6500,
  checkIntervalMs: 100,
  lingerMs: 100,
});
