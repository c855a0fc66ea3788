// Planted fault, loaded into a server by --import: a monitoring agent that logs requests as they came.
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';

subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage };
  process.stderr.write(`${JSON.stringify({ level: 'info', msg: 'agent', headers: request.headers })}\n`);
});
