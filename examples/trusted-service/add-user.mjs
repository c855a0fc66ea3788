// node add-user.mjs NAME ROLE [--inboxes=a,b] [--site=a]: adds a user, or replaces one. The password is read from standard
// input, where no list of processes shows it.
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { readPrivate, writePrivate } from './private-file.mjs';
import { hashPassword } from './users.mjs';

const { values, positionals } = parseArgs({
  options: { inboxes: { type: 'string' }, site: { type: 'string' } },
  allowPositionals: true,
});
const [name, role] = positionals;
const needed = { customer: undefined, agent: 'inboxes', kiosk: 'site' };
if (
  !/^[a-z0-9-]{1,32}$/.test(name ?? '') ||
  !Object.hasOwn(needed, role ?? '') ||
  (needed[role] && !values[needed[role]])
) {
  console.error('node add-user.mjs NAME customer | agent --inboxes=a,b | kiosk --site=a');
  process.exit(2);
}
const password = (await text(process.stdin)).replace(/\r?\n$/, '');
if (password.length < 12) {
  console.error('The password on standard input needs 12 characters at least.');
  process.exit(2);
}

const file = process.env.USERS_FILE ?? `${import.meta.dirname}/users.json`;
const user = {
  name,
  role,
  ...(role === 'agent' && { inboxes: values.inboxes.split(',') }),
  ...(role === 'kiosk' && { site: values.site }),
  password: await hashPassword(password),
};
const others = (readPrivate(file) ?? []).filter((other) => other.name !== name);
writePrivate(file, [...others, user]);
console.log(`${name} is in ${file}`);
