// A web service that signs in users of its own and gets each of them an access token. npm start
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { AccessTokens, identityClient } from './access-tokens.mjs';
import { Identities } from './identities.mjs';
import { ROLES } from './roles.mjs';
import { SESSION_SECONDS, Sessions } from './sessions.mjs';
import { readSettings, SettingsError } from './settings.mjs';
import { Throttle } from './throttle.mjs';
import { TokenCache } from './token-cache.mjs';
import { Users } from './users.mjs';

const BODY_BYTES_MOST = 16 * 1024;
/** Failed sign-ins in a quarter of an hour. */
const FAILURES_MOST = { ofName: 5, ofAddress: 50 };

/** An answer that is not the one that was wished for, in words for the user. */
class Refusal extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

function stop(message) {
  console.error(message);
  process.exit(2);
}

function settingsOrStop() {
  try {
    return readSettings(process.env);
  } catch (cause) {
    if (cause instanceof SettingsError) return stop(cause.message);
    throw cause;
  }
}

const settings = settingsOrStop();
const behindProxy = settings.publicUrl?.startsWith('https:') ?? false;
const users = new Users(settings.usersFile);
if (users.hasDemoUsers && settings.publicUrl && !/^https?:\/\/localhost(:|$)/.test(settings.publicUrl))
  stop(`Everybody can read the passwords of the users in ${settings.usersFile}. Set USERS_FILE to users of your own.`);

const sessions = new Sessions();
const throttle = new Throttle();
const client = identityClient(settings);
const tokens = new AccessTokens(
  client,
  new Identities(join(settings.dataFolder, 'identities.json'), async () => {
    const { communicationUserId } = await client.createUser();
    return communicationUserId;
  }),
  new TokenCache(join(settings.dataFolder, 'token-cache.json'), settings.tokenCacheKey),
);

// ── who is asking ──

/** `__Host-` lets no other host of the domain set it, and needs https. */
const COOKIE = behindProxy ? '__Host-trusted-service' : 'trusted-service';

const cookie = (id, seconds) => ({
  'Set-Cookie': `${COOKIE}=${id}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${behindProxy ? '; Secure' : ''}`,
});
const NO_COOKIE = cookie('', 0);

function sessionId({ headers }) {
  const pairs = (headers.cookie ?? '').split('; ').map((pair) => pair.split('='));
  return pairs.find(([name]) => name === COOKIE)?.[1];
}

const signedIn = (request) => users.get(sessions.nameOf(sessionId(request)));

function requireUser(request) {
  const user = signedIn(request);
  if (!user) throw new Refusal(401, 'You are not signed in any more.', NO_COOKIE);
  return user;
}

/**
 * Other people's pages may send requests too, and the browser adds the cookie to some of them. It also says which page it was,
 * and no page can change that. `SameSite=Strict` is the second lock on the same door.
 */
function requireOwnPage({ headers }) {
  if (headers.origin !== origin) throw new Refusal(403, `This service is used from its own page, ${origin}/`);
  if (headers['content-type'] !== 'application/json') throw new Refusal(415, 'Only JSON is understood here.');
}

/** Behind a proxy it is the proxy that knows, and it writes what it knows at the end. */
const addressOf = ({ headers, socket }) =>
  (behindProxy && headers['x-forwarded-for']?.split(',').at(-1).trim()) || socket.remoteAddress;

// ── what can be asked ──

const ROUTES = new Map([
  ['GET /api/me', me],
  ['POST /api/login', login],
  ['POST /api/token', token],
  ['POST /api/logout', logout],
  ['POST /api/sign-out-everywhere', signOutEverywhere],
]);

/** What the page shows. Nobody signed in is no error. */
function me(request) {
  const user = signedIn(request);
  const shown = user && { name: user.name, role: user.role, inboxes: user.inboxes ?? [] };
  return { body: { user: shown ?? null, endpoint: settings.browserEndpoint } };
}

async function login(request, { name, password }) {
  if (typeof name !== 'string' || typeof password !== 'string' || name.length > 32 || password.length > 1024)
    throw new Refusal(400, 'Give a name and a password.');
  const address = addressOf(request);
  const wait = Math.max(
    throttle.attempt(`address ${address}`, FAILURES_MOST.ofAddress),
    throttle.attempt(`name ${name}`, FAILURES_MOST.ofName),
  );
  if (wait > 0)
    throw new Refusal(429, `Too many attempts. Try again in ${Math.ceil(wait / 60)} minutes.`, { 'Retry-After': wait });
  const user = await users.signIn(name, password);
  if (!user) throw new Refusal(401, 'The name or the password is wrong.');
  throttle.forgive(`address ${address}`);
  throttle.forgive(`name ${name}`);
  sessions.end(sessionId(request));
  return { status: 204, headers: cookie(sessions.start(user.name), SESSION_SECONDS) };
}

/** The one thing that the page is here for. */
async function token(request, { inbox, refused }) {
  const user = requireUser(request);
  const found = await fromServer(
    tokens.tokenFor(user, { inbox, refused, isSignedIn: () => signedIn(request) !== undefined }),
  );
  requireUser(request);
  if (!found) throw new Refusal(403, 'That inbox is not yours.');
  return { body: { ...found, scopes: ROLES[user.role].scopes } };
}

/** On this device only: the user's other devices go on with theirs. */
function logout(request) {
  sessions.end(sessionId(request));
  return { status: 204, headers: NO_COOKIE };
}

/** The sessions first, so that nobody gets a token after the tokens were ended. */
async function signOutEverywhere(request) {
  const user = requireUser(request);
  sessions.endAllOf(user.name);
  await fromServer(tokens.endAllOf(user), NO_COOKIE);
  return { status: 204, headers: NO_COOKIE };
}

async function fromServer(work, headers) {
  try {
    return await work;
  } catch (cause) {
    console.error(`The token server: ${cause.message}`);
    throw new Refusal(502, 'The token server did not do it. The log of this service says why.', headers);
  }
}

// ── HTTP ──

const page = (file, type) => ({
  body: readFileSync(join(import.meta.dirname, 'page', file)),
  headers: { 'Content-Type': `${type}; charset=utf-8` },
});

const PAGES = new Map([
  ['/', page('index.html', 'text/html')],
  ['/app.js', page('dist/app.js', 'text/javascript')],
  ['/style.css', page('style.css', 'text/css')],
]);

/** Script and style from here only, requests to here and to the server only, no frame around it, no form sent elsewhere. */
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    'img-src data:',
    `connect-src 'self' ${settings.browserEndpoint}`,
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  ...(behindProxy && { 'Strict-Transport-Security': 'max-age=31536000' }),
};

async function answerTo(request) {
  const [path] = request.url.split('?');
  const file = request.method === 'GET' ? PAGES.get(path) : undefined;
  if (file) return file;
  const handle = ROUTES.get(`${request.method} ${path}`);
  if (!handle) throw new Refusal(404, 'There is nothing here.');
  if (request.method !== 'POST') return handle(request);
  requireOwnPage(request);
  return handle(request, await bodyOf(request));
}

async function bodyOf(request) {
  let text = '';
  for await (const part of request.setEncoding('utf8')) {
    text += part;
    if (text.length > BODY_BYTES_MOST) throw new Refusal(413, 'That is too much.', { Connection: 'close' });
  }
  try {
    const body = JSON.parse(text);
    if (typeof body === 'object' && body !== null) return body;
  } catch {
    // said below
  }
  throw new Refusal(400, 'That is not a JSON object.');
}

function refusal(cause) {
  if (cause instanceof Refusal) return { status: cause.status, body: { error: cause.message }, headers: cause.headers };
  console.error(cause);
  return { status: 500, body: { error: 'Something went wrong here. The log of this service says what.' } };
}

const server = createServer(async (request, response) => {
  const { status = 200, body, headers } = await answerTo(request).catch(refusal);
  const bytes = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  response.writeHead(status, { ...HEADERS, ...(bytes && { 'Content-Type': 'application/json' }), ...headers });
  response.end(bytes);
});

/** What the browser calls this service: known once the port is. */
let origin;

server.on('error', ({ message }) => stop(message));
server.listen(settings.port, settings.host, () => {
  origin = settings.publicUrl ?? `http://localhost:${server.address().port}`;
  console.log(`The trusted service is at ${origin}/`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(0));
