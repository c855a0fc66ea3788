// Planted: nobody looks at the clock.
import { WIRE_LIMITS } from '../../../../src/http/listen.ts';

const never = 3_600_000;
Object.assign(WIRE_LIMITS, { headersTimeoutMs: never, requestTimeoutMs: never, keepAliveTimeoutMs: never });
