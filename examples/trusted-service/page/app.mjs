// The page. It never sees a key: it asks the service for a token, and goes to the server with that.
import { AzureCommunicationTokenCredential } from '@azure/communication-common';

const $ = (id) => document.getElementById(id);

/** Address of the server. */
let endpoint;
/** Gives the token at hand, and gets the next one by itself before that ends. Chat and calling clients take it as it is. */
let credential;

/** An answer of the service that says why not. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// ── the service ──

async function ask(path, body) {
  const wish = body && {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, wish).catch(() => {
    throw new Refused(0, 'The service does not answer. Is it running?');
  });
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}

/** @param refused a token that the server no longer takes */
async function fetchToken(refused) {
  const inbox = $('inbox').value || undefined;
  const { token } = await ask('/api/token', { inbox, refused });
  $('fetched').textContent = `at ${new Date().toLocaleTimeString()}, and again by itself ten minutes before the end`;
  return token;
}

async function renewCredential(refused) {
  const token = await fetchToken(refused);
  credential?.dispose();
  credential = new AzureCommunicationTokenCredential({
    token,
    tokenRefresher: () => fetchToken(),
    refreshProactively: true,
  });
}

// ── the server ──

/** @returns who the bearer of the token is, or undefined with the reason when the server takes it no longer */
async function whoami(token) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(`${endpoint}-/whoami`, { headers }).catch(() => {
    throw new Refused(0, `The server at ${endpoint} does not answer this browser. Is its certificate trusted here?`);
  });
  if (response.ok) return { user: await response.json() };
  if (response.status !== 401) throw new Refused(response.status, `The server answered ${response.status}.`);
  return { reason: response.headers.get('x-linarite-reason')?.split(';')[0] ?? 'it does not say why' };
}

/** Shows what the server says of the token. One that it takes no longer is given back once. */
async function showToken() {
  let { token } = await credential.getToken();
  let { user } = await whoami(token);
  if (!user) {
    await renewCredential(token);
    ({ token } = await credential.getToken());
    ({ user } = await whoami(token));
  }
  if (!user) throw new Refused(401, 'The server refuses a token that was issued just now.');
  $('identity').textContent = user.identity.id;
  $('scopes').textContent = user.scopes.join(', ');
  $('capabilities').replaceChildren(...user.capabilities.map((text) => element('li', text)));
}

/** Counts down. The credential has the next token by then, unless this machine slept or the service did not answer. */
async function tick() {
  const asked = credential;
  if (!asked) return;
  try {
    const { expiresOnTimestamp } = await asked.getToken();
    const seconds = Math.round((expiresOnTimestamp - Date.now()) / 1000);
    $('left').textContent = `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  } catch (cause) {
    if (asked === credential) complain(cause);
  }
}

// ── the page ──

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function say(id, text = '') {
  $(id).textContent = text;
  $(id).hidden = text === '';
}

function complain(cause) {
  if (cause instanceof Refused && cause.status === 401) showLogin();
  say('error', cause.message);
}

function showLogin() {
  credential?.dispose();
  credential = undefined;
  $('account').hidden = true;
  if (!$('login').hidden) return;
  $('login').hidden = false;
  $('name').focus();
}

async function showAccount({ name, role, inboxes }) {
  $('who').textContent = `Signed in as ${name}, ${role}`;
  $('inbox').replaceChildren(...inboxes.map((inbox) => element('option', inbox)));
  $('inbox-choice').hidden = inboxes.length === 0;
  await renewCredential();
  await showToken();
  await tick();
  $('login').hidden = true;
  $('account').hidden = false;
  $('who').focus();
}

/** Does what a control is for, one thing at a time, and says what went wrong. */
function on(id, event, work) {
  $(id).addEventListener(event, async (happened) => {
    happened.preventDefault();
    if (document.body.ariaBusy === 'true') return;
    document.body.ariaBusy = 'true';
    say('notice');
    say('error');
    try {
      await work();
    } catch (cause) {
      complain(cause);
    } finally {
      document.body.ariaBusy = 'false';
    }
  });
}

on('login', 'submit', async () => {
  await ask('/api/login', { name: $('name').value, password: $('password').value });
  $('login').reset();
  await start();
});

on('inbox', 'change', async () => {
  await renewCredential();
  await showToken();
});

on('ask', 'click', showToken);

on('logout', 'click', async () => {
  await ask('/api/logout', {});
  showLogin();
});

on('everywhere', 'click', async () => {
  const { token } = await credential.getToken();
  await ask('/api/sign-out-everywhere', {});
  showLogin();
  const { user, reason } = await whoami(token);
  if (user) throw new Error('The server still takes the old token.');
  say('notice', `Signed out everywhere. The old token was tried once more, and the server refused it (${reason}).`);
});

async function start() {
  const { user, endpoint: address } = await ask('/api/me');
  endpoint = address;
  if (user) await showAccount(user);
  else showLogin();
}

setInterval(tick, 1000);
start().catch(complain);
