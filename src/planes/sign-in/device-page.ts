import { escaped, htmlPage, pageHeaders } from '../../lib/html.ts';
import { USERS } from './directory.ts';

const STYLE =
  'body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}fieldset{margin:1rem 0}label{display:block}input[name=user_code]{font:1.25rem monospace;text-transform:uppercase}';

export const PAGE_HEADERS = pageHeaders(STYLE);

const page = (title: string, content: string): string =>
  htmlPage({ title, style: STYLE, content: `<main><h1>${title}</h1>\n${content}\n</main>` });

/** Where a person types the code that a device shows, and picks a test user. */
export function deviceForm(userCode: string, complaint?: string): string {
  const users = USERS.map(
    ({ objectId, name, userName }, index) =>
      `<label><input type="radio" name="user" value="${objectId}"${index === 0 ? ' checked' : ''}> ${name} (${userName})</label>`,
  );
  return page(
    'Sign in a device',
    `<p>This is the development issuer. Its users are for tests only, and need no password here.</p>
${complaint === undefined ? '' : `<p role="alert"><strong>${complaint}</strong></p>\n`}<form method="post">
<label>Code that the device shows <input name="user_code" value="${escaped(userCode.slice(0, 32))}" required autocomplete="off"></label>
<fieldset><legend>User</legend>
${users.join('\n')}
</fieldset>
<button name="answer" value="allow">Sign in</button>
<button name="answer" value="decline">Decline</button>
</form>`,
  );
}

export const deviceDone = (signedIn: boolean): string =>
  page(
    signedIn ? 'The device is signed in' : 'The sign-in was declined',
    '<p>You can close this page and go back to the device.</p>',
  );
