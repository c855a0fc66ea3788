import { type Chore, chore } from '../chores/chore.ts';
import type { SteadyTime } from '../lib/steady-time.ts';
import type { SigningKeys } from './signing-keys.ts';

interface Uses {
  keys: Pick<SigningKeys, 'rotate'>;
  time: Pick<SteadyTime, 'isSettled'>;
}

/** Keys that a wrong clock throws away are gone for good; after a jump there is no hurry. */
export const rotateSigningKeys = ({ keys, time }: Uses): Chore =>
  chore('signingKeys', async () => {
    if (time.isSettled()) await keys.rotate();
  });
