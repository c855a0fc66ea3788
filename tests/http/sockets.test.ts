import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from '../../src/errors.ts';
import { RequestGuard } from '../../src/http/request-guard.ts';
import type { Route } from '../../src/http/route.ts';
import { UNWATCHED } from '../../src/http/session.ts';
import { Tickets } from '../../src/http/tickets.ts';
import { noBrowser, startBrowser } from '../harness/browser.ts';
import { eventually, openBoard, SessionsByHand, startPlane, TICKET } from '../harness/http/made-up-plane.ts';
import { send } from '../harness/http.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { wireRequest } from '../harness/wire-request.ts';

let server: TestServer;
let token: string;
let voice: string;
shareServer(async (started) => {
  server = started;
  const id = await server.givenIdentity();
  token = await server.givenToken(id);
  voice = await server.givenToken(id, ['voip']);
});

const bearing = (jwt = token) => ({ Authorization: `Bearer ${jwt}` });
const put = (port: number, note: string) =>
  send(port, { method: 'POST', target: `/board/${note}`, headers: bearing() });
const code = (text: string): string => JSON.parse(text).error.code;

for (const secure of [false, true]) {
  describe(`a socket over ${secure ? 'HTTPS' : 'HTTP'}`, () => {
    test('gets what others send, and sends what others get', async (t) => {
      const plane = await startPlane(t, server);
      const client = openBoard(plane, { token, secure });
      await client.opened;
      await put(plane.port, 'hello');
      assert.equal(await client.next(), 'hello');
      client.socket.send('text');
      client.socket.send(Buffer.from('bytes'));
      assert.deepEqual([await client.next(), await client.next()], ['text', 'bytes']);
      assert.deepEqual(plane.seen.messages, ['text', Buffer.from('bytes')]);
      client.socket.close(4001);
      assert.equal((await client.closed).code, 4001);
      await eventually(() => plane.seen.closed.length > 0, 'the handler to hear of it');
      assert.deepEqual(plane.seen.closed, [4001]);
      assert.equal(plane.board.sockets.size, 0);
    });

    test('begins with a line in the log and ends with one, and neither has a token in it', async (t) => {
      const plane = await startPlane(t, server);
      const client = openBoard(plane, { token, secure });
      await client.opened;
      await sleep(50);
      client.socket.send('one');
      await client.next();
      client.socket.close(1000);
      await client.closed;
      await eventually(() => plane.log.lines.some(({ message }) => message === 'socket closed'), 'the second line');
      const [first, last] = plane.log.lines.filter(({ facts }) => facts.operation === 'openBoard');
      assert.deepEqual([first?.message, first?.facts.status], ['request', 101]);
      assert.ok(Number(last?.facts.openMs) >= 45);
      assert.ok(Number(first?.facts.durationMs) >= 0);
      const { code: closeCode, received, sent, why, resourceId } = last?.facts ?? {};
      assert.deepEqual([closeCode, received, sent, why], [1000, 1, 1, undefined]);
      assert.equal(resourceId, first?.facts.resourceId);
      assert.ok(!JSON.stringify(plane.log.lines).includes(token));
    });

    test('is refused in the usual envelope to a caller who may not, and the connection is closed', async (t) => {
      const plane = await startPlane(t, server);
      for (const [given, status, errorCode] of [
        [{}, 401, 'Unauthorized'],
        [{ token: `${token}x` }, 401, 'Unauthorized'],
        [{ token: voice }, 403, 'Forbidden'],
        [{ token, headers: { Origin: 'https://elsewhere.example' } }, 403, 'Forbidden'],
        [{ token, headers: { Origin: 'null' } }, 403, 'Forbidden'],
        [{ token, headers: { Host: 'elsewhere.example' } }, 421, 'MisdirectedRequest'],
      ] as const) {
        const refused = await openBoard(plane, { secure, ...given }).closed;
        assert.deepEqual([refused.code, code(refused.reason)], [status, errorCode], JSON.stringify(given));
      }
      await eventually(() => plane.listener.connections.open === 0, 'the connections to be closed');
      assert.equal(plane.board.sockets.size, 0);
    });

    test('is ended with 1001 when the server stops', async (t) => {
      const plane = await startPlane(t, server);
      const client = openBoard(plane, { token, secure });
      await client.opened;
      const stopped = plane.listener.close(5000);
      assert.equal((await client.closed).code, 1001);
      await stopped;
      assert.deepEqual(plane.seen.closed, [1001]);
    });
  });
}

describe('a socket', () => {
  test('is for WebSockets only', async (t) => {
    const { port } = await startPlane(t, server);
    const answer = await send(port, { target: '/board/socket', headers: bearing() });
    assert.deepEqual([answer.status, code(answer.text)], [426, 'UpgradeRequired']);
    assert.deepEqual([answer.headers.upgrade, answer.headers['sec-websocket-version']], ['websocket', '13']);
    const head = await send(port, { method: 'HEAD', target: '/board/socket', headers: bearing() });
    assert.deepEqual([head.status, head.text], [426, '']);
    const post = await send(port, { method: 'DELETE', target: '/board/socket', headers: bearing() });
    assert.equal(post.status, 405);
    assert.equal((await send(port, { target: '/board/socket' })).status, 401);
  });

  test('opens to pages of this machine and of this server', async (t) => {
    const plane = await startPlane(t, server);
    for (const origin of ['http://localhost:3000', `http://localhost:${plane.port}`]) {
      const client = openBoard(plane, { token, headers: { Origin: origin } });
      await client.opened;
      client.socket.terminate();
    }
  });

  test('opens in production to pages that the settings name, where a token is needed', () => {
    const guard = new RequestGuard({
      local: false,
      allowedHosts: [],
      allowedOrigins: ['https://app.example'],
      trustedProxies: [],
    });
    const forUsers = { access: { caller: 'user', requires: 'anyScope' } } as Route;
    const forAll = { access: { caller: 'nobody' } } as Route;
    const forOwnPage = { access: { caller: 'nobody', pages: 'own' } } as Route;
    for (const [route, origin, opens] of [
      [forUsers, undefined, true],
      [forUsers, 'https://app.example', true],
      [forUsers, 'https://acs.example', true],
      [forUsers, 'http://acs.example', false],
      [forUsers, 'https://app.example.evil', false],
      [forUsers, 'http://localhost:3000', false],
      [forUsers, 'null', false],
      [forUsers, ['https://app.example', 'https://app.example'], false],
      [forUsers, ['https://acs.example', 'https://evil.example'], false],
      [forAll, 'https://app.example', false],
      [forAll, 'https://acs.example', true],
      [forOwnPage, 'https://app.example', false],
      [forOwnPage, 'https://acs.example', true],
    ] as const) {
      const request = wireRequest({ secure: true, headers: { host: 'acs.example', origin } });
      const ask = () => guard.requireSocketPage(request, route);
      if (opens) ask();
      else assert.throws(ask, { error: 'OriginNotAllowed' }, String(origin));
    }
  });

  test('speaks the first of its subprotocols that is offered', async (t) => {
    const plane = await startPlane(t, server);
    for (const [offered, taken] of [
      [['notes.v1', 'notes.v2'], 'notes.v2'],
      [['other', 'notes.v1'], 'notes.v1'],
      [[], ''],
    ] as const) {
      const client = openBoard(plane, { token, protocols: [...offered] });
      await client.opened;
      assert.equal(client.socket.protocol, taken);
      client.socket.terminate();
    }
  });

  test('is ended with the reason when access ends, and gets nothing more', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions, socket: { endedCode: 4403 } });
    const client = openBoard(plane, { token });
    await client.opened;
    const [user] = sessions.begun.values();
    assert.equal(user?.caller.kind, 'user');
    assert.equal(user?.token.identityId, user?.caller.identityId);
    assert.ok(user?.token.kid);
    sessions.endAll({ reason: 'revoked.identity' });
    assert.equal(plane.board.sockets.size, 0);
    await put(plane.port, 'afterwards');
    assert.deepEqual(await client.closed, { code: 4403, reason: 'revoked.identity' });
    assert.deepEqual(client.messages, []);
    assert.equal(sessions.begun.size, 0);
    await eventually(() => plane.log.lines.at(-1)?.message === 'socket closed', 'the line in the log');
    const last = plane.log.lines.at(-1);
    assert.deepEqual([last?.facts.code, last?.facts.why], [4403, 'revoked.identity']);
  });

  test('is not opened when access ends before it is', async (t) => {
    const plane = await startPlane(t, server, {
      sessions: {
        open(user, end) {
          const refusal = new ServiceError('TokenRefused', { reason: 'revoked.key' });
          end(refusal);
          return { ...UNWATCHED.open(user, end, 'socket'), open: false, requireOpen: () => Promise.reject(refusal) };
        },
      },
    });
    const refused = await openBoard(plane, { token }).closed;
    assert.deepEqual([refused.code, code(refused.reason)], [401, 'Unauthorized']);
    assert.equal(plane.board.sockets.size, 0);
  });

  test('ends the session of one that its client closes, or tears', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    for (const leave of ['close', 'terminate'] as const) {
      const client = openBoard(plane, { token });
      await client.opened;
      assert.equal(sessions.begun.size, 1);
      client.socket[leave]();
      await eventually(() => sessions.begun.size === 0, leave);
    }
    assert.equal(plane.board.sockets.size, 0);
  });

  test('whose message is too large is closed with 1009, and no other', async (t) => {
    const plane = await startPlane(t, server);
    const [large, other] = [openBoard(plane, { token }), openBoard(plane, { token })];
    await Promise.all([large.opened, other.opened]);
    large.socket.send('x'.repeat(1001));
    assert.equal((await large.closed).code, 1009);
    other.socket.send('x'.repeat(1000));
    assert.equal((await other.next()).length, 1000);
    await eventually(() => plane.seen.closed.length === 1, 'the handler to hear of it');
  });

  test('whose handler fails is closed with 1011, and the log says why', async (t) => {
    const plane = await startPlane(t, server);
    const client = openBoard(plane, { token });
    await client.opened;
    client.socket.send('fail');
    assert.deepEqual(await client.closed, { code: 1011, reason: 'unexpected condition' });
    assert.ok(plane.log.lines.some(({ level, message }) => level === 'error' && message === 'a socket failed'));
  });

  test('is given its messages one at a time, in order', async (t) => {
    const plane = await startPlane(t, server);
    const client = openBoard(plane, { token });
    await client.opened;
    for (const message of ['slow', '1', '2', 'slow', '3']) client.socket.send(message);
    const echoes: string[] = [];
    while (echoes.length < 5) echoes.push(await client.next());
    assert.deepEqual(echoes, ['slow', '1', '2', 'slow', '3']);
  });

  test('that its route closes sends nothing more', async (t) => {
    const plane = await startPlane(t, server);
    const client = openBoard(plane, { token });
    await client.opened;
    client.socket.send('leave');
    client.socket.send('late');
    assert.deepEqual(await client.closed, { code: 4000, reason: 'asked to' });
    assert.deepEqual([client.messages, plane.seen.messages], [[], ['leave']]);
  });

  test('that does not read is closed, and keeps no more than its bound in memory', async (t) => {
    const plane = await startPlane(t, server, {
      socket: { bufferedBytes: 50_000 },
      times: { pingMs: 60_000, closeMs: 200 },
    });
    const client = openBoard(plane, { token });
    await client.opened;
    client.socket.pause();
    const [socket] = plane.board.sockets;
    for (let sent = 0; plane.board.sockets.size > 0 && sent < 10_000; sent += 1) {
      plane.board.put('x'.repeat(10_000));
      assert.ok((socket?.bufferedBytes ?? 0) <= 50_000);
      if (sent % 50 === 0) await sleep(1);
    }
    assert.deepEqual(plane.seen.closed, [1013]);
    await eventually(() => plane.listener.connections.open === 0, 'the connection to be cut');
  });

  test('that answers no ping is cut, and one that does stays', async (t) => {
    const plane = await startPlane(t, server, { times: { pingMs: 100, closeMs: 100 } });
    const [silent, alive] = [openBoard(plane, { token }), openBoard(plane, { token })];
    await Promise.all([silent.opened, alive.opened]);
    silent.socket.pause();
    await eventually(() => plane.board.sockets.size === 1, 'the silent one to be cut');
    await sleep(300);
    alive.socket.send('still here');
    assert.equal(await alive.next(), 'still here');
    silent.socket.terminate();
  });

  test('is one of so many of its user, its resource and the server', async (t) => {
    for (const [held, status, reason] of [
      [{ user: 2, resource: 9, all: 9 }, 429, 'held.user'],
      [{ user: 9, resource: 2, all: 9 }, 429, 'held.resource'],
      [{ user: 9, resource: 9, all: 2 }, 503, 'held.all'],
    ] as const) {
      const plane = await startPlane(t, server, { held });
      const two = [openBoard(plane, { token }), openBoard(plane, { token })];
      await Promise.all(two.map(({ opened }) => opened));
      const refused = await openBoard(plane, { token }).closed;
      assert.equal(refused.code, status);
      assert.equal(plane.log.lines.at(-1)?.facts.reason, reason);
      two[0]?.socket.close();
      await eventually(() => plane.board.sockets.size === 1, 'one to be closed');
      await eventually(() => plane.log.lines.at(-1)?.message === 'socket closed', 'room for another');
      const next = openBoard(plane, { token });
      await next.opened;
    }
  });

  test('takes no place while it is open', async (t) => {
    const plane = await startPlane(t, server, { places: 2 });
    const clients = Array.from({ length: 10 }, () => openBoard(plane, { token }));
    for (const client of clients) await client.opened.catch(() => undefined);
    assert.ok(plane.board.sockets.size >= 1);
    assert.equal((await put(plane.port, 'note')).status, 204);
  });
});

describe('a ticket', () => {
  const SECRET = Buffer.alloc(32, 7);
  let now = 1_000_000;
  const make = (more: object = {}) => new Tickets({ keys: () => [SECRET], now: () => now }, more);
  const ask = async (port: number): Promise<string> =>
    (await send(port, { method: 'POST', target: '/board/socket/ticket', headers: bearing() })).body.ticket;

  test('opens the socket of the user who asked for it, once', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { tickets: make(), sessions });
    const ticket = await ask(plane.port);
    const client = openBoard(plane, { query: `?ticket=${ticket}` });
    await client.opened;
    const [user] = sessions.begun.values();
    assert.equal(user?.caller.resourceId, server.server.resources.list()[0]?.id);
    const again = await openBoard(plane, { query: `?ticket=${ticket}` }).closed;
    assert.deepEqual([again.code, plane.log.lines.at(-1)?.facts.reason], [401, 'ticket.used']);
    assert.ok(!JSON.stringify(plane.log.lines).includes(ticket.slice(0, 20)));
  });

  test('opens nothing later, elsewhere, altered, twice in one address, or beside a wrong token', async (t) => {
    const plane = await startPlane(t, server, { tickets: make() });
    const ticket = await ask(plane.port);
    const other = make().issue('another purpose', { caller: { expiresOnMs: now + 1e9 }, token: {} } as never);
    for (const [given, reason] of [
      [{ query: `?ticket=${other}` }, 'ticket.malformed'],
      [{ query: `?ticket=${ticket.slice(0, -1)}` }, 'ticket.malformed'],
      [{ query: `?ticket=${ticket}.x` }, 'ticket.malformed'],
      [{ query: `?ticket=e30.${ticket.split('.')[1]}` }, 'ticket.malformed'],
      [{ query: '?ticket=' }, 'ticket.malformed'],
      [{ query: `?ticket=${'a'.repeat(5000)}` }, 'ticket.malformed'],
      [{ query: `?ticket=${ticket}&ticket=${ticket}` }, 'authorization.missing'],
      [{ query: `?ticket=${ticket}`, token: 'x.y.z' }, 'token.malformed'],
    ] as const) {
      const refused = await openBoard(plane, given).closed;
      assert.deepEqual([refused.code, plane.log.lines.at(-1)?.facts.reason], [401, reason], JSON.stringify(given));
    }
    now += 60_000;
    assert.equal((await openBoard(plane, { query: `?ticket=${ticket}` }).closed).code, 401);
    assert.equal(plane.log.lines.at(-1)?.facts.reason, 'ticket.expired');
  });

  test('does not outlive the token, is taken by an older key, and does not open other routes', async (t) => {
    const user = { caller: { expiresOnMs: now + 10 }, token: { kid: 'k', position: 7 } } as never;
    const old = new Tickets({ keys: () => [Buffer.alloc(32, 1)], now: () => now });
    const both = new Tickets({ keys: () => [SECRET, Buffer.alloc(32, 1)], now: () => now });
    assert.deepEqual(both.redeem('p', old.issue('p', user)), user);
    const late = old.issue('p', user);
    now += 10;
    assert.throws(() => both.redeem('p', late), { reason: 'ticket.expired' });
    const plane = await startPlane(t, server, { tickets: make() });
    const answer = await send(plane.port, { target: `/board?${TICKET.parameter}=${await ask(plane.port)}` });
    assert.equal(answer.status, 401);
  });
});

describe('a page in a real browser', { skip: noBrowser }, () => {
  test('that the server shows opens a socket with a ticket, and talks', async (t) => {
    const tickets = new Tickets({ keys: () => [Buffer.alloc(32)], now: Date.now });
    const plane = await startPlane(t, server, { tickets });
    const running = await startBrowser(server.server.caPath ?? '');
    t.after(() => running.close());
    const page = await running.browser.newPage();
    const talk = (ticket: string) =>
      page.evaluate(
        (address) =>
          new Promise<string>((resolve) => {
            const socket = new WebSocket(address, ['notes.v1']);
            socket.onopen = () => socket.send('from a page');
            socket.onmessage = ({ data }) => resolve(`${socket.protocol}: ${data}`);
            socket.onclose = ({ code }) => resolve(`closed with ${code}`);
          }),
        `wss://localhost:${plane.port}/board/socket?ticket=${ticket}`,
      );
    const ticket = async (): Promise<string> =>
      (await send(plane.port, { method: 'POST', target: '/board/socket/ticket', headers: bearing() })).body.ticket;

    await page.goto(`https://localhost:${plane.port}/app/index.html`);
    assert.equal(await page.title(), 'board');
    assert.equal(await talk(await ticket()), 'notes.v1: from a page');
  });
});

test('the library for sockets is loaded with the first socket', () => {
  const script = `
    import { createRequire } from 'node:module';
    await import('./src/server.ts');
    const { Sockets } = await import('./src/http/sockets.ts');
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('/ws/')).length;
    const before = loaded();
    await new Sockets({}).prepare({ messageBytes: 1 });
    console.log(before, loaded() > 0);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: `${import.meta.dirname}/../..`,
    encoding: 'utf8',
  });
  assert.equal(output.trim(), '0 true');
});
