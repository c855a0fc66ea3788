// Planted: the wall clock alone says whether a token has expired.
import { SteadyTime } from '../../../../src/lib/steady-time.ts';

SteadyTime.prototype.latest = () => Date.now();
