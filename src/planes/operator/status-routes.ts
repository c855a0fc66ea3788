import { ServiceError } from '../../errors.ts';
import { ok, type Route, route } from '../../http/route.ts';
import { object, text } from '../../http/schema.ts';
import type { Health } from './health.ts';

export interface StatusParts {
  health: Health;
  /** The metrics as text, and their content type. */
  metrics: () => { text: string; contentType: string };
  /** The certificate authority of our own making, in PEM. */
  caPem: () => string | undefined;
  /** The server described by its own routes (OpenAPI 3.1). */
  apiDocument: () => object;
  /** Whether metrics and the description are for everybody, or for the operator: they tell what others need not know. */
  isPublic: boolean;
}

const State = object({ status: text() });

/** What operators and their tools ask. */
export const statusRoutes = ({ health, metrics, caPem, apiDocument, isPublic }: StatusParts): Route[] => [
  route({
    operation: 'isLive',
    summary: 'Tells whether the process answers.',
    at: 'GET /-/health/live',
    access: { caller: 'nobody' },
    urgent: true,
    answers: { 200: State },
    handle: () => ok({ status: 'live' }),
  }),
  route({
    operation: 'isReady',
    summary: 'Tells whether the server can do its work. A 503 says why it cannot.',
    at: 'GET /-/health/ready',
    access: { caller: 'nobody' },
    urgent: true,
    answers: { 200: State },
    async handle() {
      await health.requireReady();
      return ok({ status: 'ready' });
    },
  }),
  route({
    operation: 'getMetrics',
    summary: 'Counters and gauges as OpenMetrics text.',
    at: 'GET /-/metrics',
    access: { caller: isPublic ? 'nobody' : 'operator' },
    urgent: true,
    answers: { 200: 'text' },
    handle() {
      const { text, contentType } = metrics();
      return { status: 200, body: text, contentType };
    },
  }),
  route({
    operation: 'getApiDocument',
    summary: 'Describes the operations of this server as an OpenAPI 3.1 document.',
    at: 'GET /-/openapi.json',
    access: { caller: isPublic ? 'nobody' : 'operator' },
    answers: { 200: object({ openapi: text(), info: object({}), paths: object({}) }) },
    handle: () => ok(apiDocument()),
  }),
  route({
    operation: 'getCertificateAuthority',
    summary: 'The certificate authority that dev mode made for itself.',
    at: 'GET /-/ca.pem',
    access: { caller: 'nobody' },
    answers: { 200: 'text' },
    handle() {
      const pem = caPem();
      if (pem === undefined)
        throw new ServiceError('OperationUnknown', { detail: 'this server did not make its certificate' });
      return { status: 200, body: pem, contentType: 'application/x-pem-file' };
    },
  }),
];
