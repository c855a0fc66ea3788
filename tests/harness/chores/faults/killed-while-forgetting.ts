// Adds an area to the server that writes down what it is asked to forget: MADE_UP_FILE. It kills the process at a step of
// its work: MADE_UP_KILLED_AT, from 1; none without it.
import { appendFileSync } from 'node:fs';
import { type Forgetter, Forgetting } from '../../../../src/resources/forgetting.ts';

const { MADE_UP_FILE = '', MADE_UP_KILLED_AT } = process.env;
const STEPS = 10;
const write = (line: string): void => appendFileSync(MADE_UP_FILE, `${line}\n`);

const madeUp: Forgetter = {
  name: 'made up',
  async resource(id) {
    write(`begun ${id}`);
    for (let step = 1; step <= STEPS; step += 1) {
      if (step === Number(MADE_UP_KILLED_AT)) process.kill(process.pid, 'SIGKILL');
      await new Promise((resolve) => setImmediate(resolve));
    }
    write(`done ${id}`);
  },
};

const { register } = Forgetting.prototype;
Forgetting.prototype.register = function (...forgetters) {
  Forgetting.prototype.register = register;
  this.register(...forgetters, madeUp);
};
