import { SCOPES, type Scope } from '../../capabilities/tables.ts';
import { trustLines } from '../../certificates/trust-lines.ts';
import { ERRORS, type ErrorName, REASONS, type Reason } from '../../errors.ts';
import { escaped, htmlPage, pageHeaders } from '../../lib/html.ts';
import { SHELLS, usualShell } from '../../lib/shells.ts';
import type { RecentRequest } from '../../monitoring/recent-requests.ts';
import { VERSION } from '../../version.ts';
import type { StartFacts, StartToken } from './start.ts';

/** What a person filled in, and what came of it. */
export interface Attempt {
  readonly scopes: readonly string[];
  readonly user: string;
  readonly outcome: { readonly token: StartToken } | { readonly complaint: string };
}

const STYLE = `
:root{color-scheme:light dark;--ink:#22261f;--quiet:#565d52;--paper:#fbfaf7;--panel:#f2f0e9;--line:#d6d2c5;--accent:#2b5a46;--on-accent:#fff;--bad:#96310f}
@media(prefers-color-scheme:dark){:root{--ink:#e7e5dd;--quiet:#a9aea3;--paper:#171a17;--panel:#20241f;--line:#3c413a;--accent:#8fc9ab;--on-accent:#10201a;--bad:#f2a283}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 3rem;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.1rem;margin:2.25rem 0 .5rem}
p{margin:.25rem 0 .75rem}
.quiet{color:var(--quiet)}
a{color:var(--accent)}
code,textarea,input[type=text]{font:.875rem/1.5 ui-monospace,monospace}
code.line,textarea{display:block;width:100%;margin:.25rem 0 .75rem;padding:.5rem .75rem;border:1px solid var(--line);border-radius:.375rem;background:var(--panel);color:inherit;white-space:pre-wrap;overflow-wrap:anywhere;user-select:all}
dl{margin:0}
dt{font-weight:600;font-size:.875rem}
dd{margin:0}
fieldset{border:0;margin:0;padding:0}
legend,label.field{font-weight:600;padding:0}
.scopes{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.25rem 0 .75rem}
input[type=checkbox]{accent-color:var(--accent);width:1.1rem;height:1.1rem;vertical-align:-.15rem}
input[type=text]{display:block;width:100%;margin:.25rem 0 .75rem;padding:.5rem .75rem;border:1px solid var(--quiet);border-radius:.375rem;background:var(--paper);color:inherit}
button{font:inherit;font-weight:600;padding:.5rem 1rem;border:0;border-radius:.375rem;background:var(--accent);color:var(--on-accent);cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
[role=alert]{border-left:.25rem solid var(--bad);padding-left:.75rem}
ol{list-style:none;margin:0;padding:0;border-top:1px solid var(--line)}
ol li{padding:.4rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
ol code{margin:0 .35rem}
.refused{color:var(--bad);font-weight:600}
ul{margin:0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
footer{margin-top:2.5rem;padding-top:.75rem;border-top:1px solid var(--line);font-size:.875rem}
`;

export const START_HEADERS = { ...pageHeaders(STYLE), Vary: 'Accept' };

const LINKS: readonly (readonly [address: string, words: string])[] = [
  ['/-/openapi.json', 'What the server can do (OpenAPI)'],
  ['/-/metrics', 'Metrics'],
  ['/-/health/ready', 'Health'],
  ['/.well-known/openid-configuration', 'Discovery'],
  ['/.well-known/jwks.json', 'Signing keys'],
  ['/-/ca.pem', 'Certificate authority'],
  ['/-/devicelogin', 'Sign in a device'],
];

/** The page that dev mode shows a browser. All that varies is text and goes through {@link escaped}. */
export const startPage = (facts: StartFacts, attempt?: Attempt): string =>
  htmlPage({
    title: 'Linarite',
    style: STYLE,
    content: `<header><h1>Linarite</h1>
<p class="quiet">Development server ${escaped(VERSION)}. It shows this page to browsers on this machine only.</p></header>
<main>
${connectionPart(facts)}
${tokenPart(facts, attempt)}
${requestsPart(facts.requests)}
${trustPart(facts)}
<h2 id="links">Links</h2>
<nav aria-labelledby="links"><ul>${LINKS.map(([address, words]) => `<li><a href="${address}">${words}</a></li>`).join('')}</ul></nav>
</main>
<footer class="quiet">Linarite is compatible with the Azure Communication Services API. It is an independent project and is not affiliated with Microsoft.</footer>`,
  });

const line = (text: string): string => `<code class="line">${escaped(text)}</code>`;

const connectionPart = ({ connectionString }: StartFacts): string => `<h2>Connection string</h2>
${
  connectionString === undefined
    ? `<p>The access key of this server is not the published one, so this page does not show it. At the command line:</p>${line('linarite connection-string')}`
    : line(connectionString)
}`;

function tokenPart({ connectionString, endpoint, caPath }: StartFacts, attempt: Attempt | undefined): string {
  if (connectionString === undefined) return '';
  const { scopes = ['chat', 'voip'], user = '', outcome } = attempt ?? {};
  const box = (scope: Scope): string =>
    `<label><input type="checkbox" name="${scope}"${scopes.includes(scope) ? ' checked' : ''}> ${scope}</label>`;
  return `<h2 id="issue">Issue a token</h2>
${outcome && 'complaint' in outcome ? `<p role="alert"><strong>${escaped(outcome.complaint)}</strong></p>\n` : ''}<form method="post" action="/" aria-labelledby="issue">
<fieldset><legend>Scopes</legend><div class="scopes">${SCOPES.map(box).join('')}</div></fieldset>
<label class="field" for="user">User id <span class="quiet">(empty: a new user)</span></label>
<input type="text" id="user" name="user" value="${escaped(user)}" autocomplete="off" spellcheck="false" maxlength="256">
<button>Issue token</button>
</form>
${outcome && 'token' in outcome ? issued(outcome.token, { endpoint, caPath }) : ''}`;
}

function issued(
  { jwt, identityId, expiresOnMs }: StartToken,
  { endpoint, caPath }: Pick<StartFacts, 'endpoint' | 'caPath'>,
): string {
  const { quote, curl } = SHELLS[usualShell()];
  const trust = caPath === undefined ? '' : ` --cacert ${quote(caPath)}`;
  const whoami = `${curl}${trust} -H ${quote(`Authorization: Bearer ${jwt}`)} ${quote(`${endpoint}-/whoami`)}`;
  return `<h2>The token</h2>
<p>For <code>${escaped(identityId)}</code>, until <time datetime="${new Date(expiresOnMs).toISOString()}">${escaped(localTime(expiresOnMs, true))}</time>.</p>
<label class="field" for="token">Access token</label>
<textarea id="token" rows="5" readonly autofocus spellcheck="false">${escaped(jwt)}</textarea>
<p>Ask the server whether the token is valid:</p>
${line(whoami)}`;
}

function trustPart({ caPath, endpoint }: StartFacts): string {
  if (caPath === undefined) return '';
  const rows = trustLines(caPath, endpoint).map((row) => `<dt>${escaped(row.client)}</dt><dd>${line(row.line)}</dd>`);
  return `<h2>Trust the certificate authority</h2>
<p>Do this in one shell, never in the whole system. <code>eval "$(linarite env)"</code> does it for JavaScript, and sets the connection string.</p>
<dl>${rows.join('\n')}</dl>`;
}

const requestsPart = (requests: readonly RecentRequest[]): string => `<h2>Last requests</h2>
<p class="quiet">The newest first. <a href="/">Reload</a></p>
${requests.length === 0 ? '<p>None yet.</p>' : `<ol>\n${requests.map(item).join('\n')}\n</ol>`}`;

function item({ atMs, method, path, status, reason, detail }: RecentRequest): string {
  const shown = `<time class="quiet" datetime="${new Date(atMs).toISOString()}">${escaped(localTime(atMs))}</time><code>${escaped(`${method} ${path}`)}</code>`;
  const answer = `<span${status >= 400 ? ' class="refused"' : ''}>${status}</span>`;
  if (reason === undefined) return `<li>${shown}${answer}</li>`;
  const words = detail === undefined ? reason : `${reason}; ${detail}`;
  return `<li>${shown}${answer} ${escaped(words)}<br><span class="quiet">${escaped(meaningOf(reason))}</span></li>`;
}

const meaningOf = (reason: Reason | ErrorName): string =>
  reason in REASONS ? REASONS[reason as Reason] : (ERRORS[reason as ErrorName]?.message ?? '');

/** The time where the server is, which is where the person is. */
function localTime(ms: number, withDate = false): string {
  const [, month, day, year, time = ''] = new Date(ms).toString().split(' ');
  return withDate ? `${day} ${month} ${year}, ${time.slice(0, 5)}` : time;
}
