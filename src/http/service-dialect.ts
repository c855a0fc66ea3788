import type { ServiceError } from '../errors.ts';
import { bearerToken } from './credentials.ts';
import type { AnswerFacts, Dialect } from './dialect.ts';
import { envelope } from './envelope.ts';
import type { Reply, Route } from './route.ts';
import { text } from './schema.ts';

const ERROR_OBJECT = { $ref: '#/components/schemas/ErrorObject' };

/** How the APIs of the original answer (identity-protocol, sections 3 and 4). */
export const serviceDialect: Dialect = {
  refusal: (error: ServiceError): Reply => ({
    status: error.shape.status,
    body: envelope(error),
    contentType: 'application/json',
  }),
  errors: {
    name: 'Error',
    description: 'Every error; docs/reference/errors.md lists them.',
    schemas: {
      Error: { type: 'object', properties: { error: ERROR_OBJECT }, required: ['error'] },
      ErrorObject: {
        type: 'object',
        properties: {
          code: text().json,
          message: text().json,
          target: text().json,
          details: { type: 'array', items: ERROR_OBJECT },
          innererror: ERROR_OBJECT,
        },
        required: ['code', 'message'],
      },
    },
  },
  headers: standardHeaders,
  exposedHeaders: ['MS-CV', 'x-ms-client-request-id', 'api-supported-versions', 'Retry-After', 'x-linarite-reason'],
  userToken: (request) => bearerToken(request, 'TokenRefused'),
  repeatedParameters: 'first',
};

function standardHeaders({ route, error, clientRequestId, correlationVector, durationMs }: AnswerFacts) {
  const isOfRoute = error === undefined || error.shape.raisedBy === 'action';
  return {
    ...(route?.versions && isOfRoute && { 'api-supported-versions': supported(route.versions) }),
    ...(clientRequestId !== undefined && { 'x-ms-client-request-id': clientRequestId }),
    'MS-CV': correlationVector,
    'Request-Context': 'appId=',
    'X-Processing-Time': `${Math.round(durationMs)}ms`,
  };
}

const supportedTexts = new WeakMap<readonly string[], string>();

/** The text is made once for each list of versions. */
function supported(versions: NonNullable<Route['versions']>): string {
  const known = supportedTexts.get(versions);
  if (known !== undefined) return known;
  const text = versions.join(', ');
  supportedTexts.set(versions, text);
  return text;
}
