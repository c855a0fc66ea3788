// Loaded into a server before it starts: a made-up plane, whose requests wait and whose sockets stay open.
import { HELD_MOST } from '../../../src/http/holds.ts';
import { WIRE_LIMITS } from '../../../src/http/listen.ts';
import { noContent, type OpenSocket, ok, opened, type Route, route } from '../../../src/http/route.ts';
import { RouteTable } from '../../../src/http/routes.ts';
import { serviceDialect } from '../../../src/http/service-dialect.ts';

let release = Promise.withResolvers<void>();
const sockets = new Set<OpenSocket>();
const FOR_USERS = { caller: 'user', requires: 'anyScope' } as const;

const ROUTES: readonly Route[] = [
  route({
    operation: 'wait',
    summary: 'Waits until everything is released.',
    at: 'GET /held/wait',
    access: FOR_USERS,
    answers: { 204: 'nothing' },
    async handle({ park }) {
      await park(release.promise);
      return noContent();
    },
  }),
  route({
    operation: 'listen',
    summary: 'Opens a socket that gets a message when everything is released.',
    at: 'GET /held/socket',
    access: FOR_USERS,
    socket: { messageBytes: 1024 },
    answers: { 101: 'nothing' },
    handle() {
      let socket: OpenSocket | undefined;
      return opened({
        opened(one) {
          socket = one;
          sockets.add(one);
        },
        closed: () => void (socket && sockets.delete(socket)),
      });
    },
  }),
  route({
    operation: 'release',
    summary: 'Answers what waits, and sends a message to each socket.',
    at: 'POST /held/release',
    access: { caller: 'nobody', from: 'loopback' },
    answers: { 200: 'nothing' },
    handle() {
      release.resolve();
      release = Promise.withResolvers();
      for (const socket of sockets) socket.send('released');
      return ok({ sockets: sockets.size });
    },
  }),
];

// One resource has all the users here.
Object.assign(HELD_MOST, { resource: HELD_MOST.all });
Object.assign(WIRE_LIMITS, { keepAliveTimeoutMs: 600_000 });

let own: RouteTable | undefined;
const { match } = RouteTable.prototype;
RouteTable.prototype.match = function (method, target) {
  own ??= new RouteTable([{ name: 'held', dialect: serviceDialect, routes: ROUTES }]);
  return match.call(this, method, target) ?? match.call(own, method, target);
};
