import type { ErrorShape } from './shape.ts';

/** What the HTTP layer refuses on any route: framing, routing, api-version, body, limits and the state of the node. */
// biome-ignore format: a table
export const HTTP_ERRORS = {
  // Framing and addresses.
  RequestMalformed:      { status: 400, code: 'BadRequest', message: 'The request is not a well-formed HTTP/1.1 request.', raisedBy: 'pipeline' },
  RequestTimeout:        { status: 408, code: 'RequestTimeout', message: 'The request did not arrive in time.', raisedBy: 'pipeline' },
  HeadersTooLarge:       { status: 431, code: 'RequestHeaderFieldsTooLarge', message: 'The request has too many or too long header fields.', raisedBy: 'pipeline' },
  ExpectationFailed:     { status: 417, code: 'ExpectationFailed', message: 'The Expect header may only be 100-continue.', raisedBy: 'pipeline' },
  HostNotAllowed:        { status: 421, code: 'MisdirectedRequest', message: 'This service does not answer for that host name.', raisedBy: 'pipeline' },
  HttpsRequired:         { status: 403, code: 'HttpsRequired', message: 'Plain HTTP is accepted from trusted proxies only. Use HTTPS.', raisedBy: 'pipeline' },
  OriginNotAllowed:      { status: 403, code: 'Forbidden', message: 'Pages of that origin may not call this route.', raisedBy: 'pipeline' },

  // Routing and api-version.
  EmailNotOffered:       { status: 404, code: 'InvalidResourceType', message: "This server does not offer e-mail: the resource type 'emailServices' is not in its namespace 'Microsoft.Communication'.", raisedBy: 'pipeline' },
  OperationUnknown:      { status: 404, code: 'NotFound', message: 'There is no operation at this path.', raisedBy: 'pipeline' },
  MethodNotAllowed:      { status: 405, code: 'MethodNotAllowed', message: 'This path does not support that method.', raisedBy: 'pipeline' },
  UpgradeRequired:       { status: 426, code: 'UpgradeRequired', message: 'This path is for WebSocket connections of version 13 (RFC 6455).', raisedBy: 'pipeline' },
  RequestAbandoned:      { status: 400, code: 'RequestAbandoned', message: 'The client closed its connection before the answer was ready.', raisedBy: 'pipeline' },
  ApiVersionMissing:     { status: 400, code: 'ApiVersionUnspecified', message: 'An API version is required, but was not specified.', raisedBy: 'pipeline' },
  ApiVersionAmbiguous:   { status: 400, code: 'AmbiguousApiVersion', message: 'The following API versions were requested: {versions}. At most one may be specified.', raisedBy: 'pipeline' },
  ApiVersionUnsupported: { status: 400, code: 'UnsupportedApiVersion', message: "The HTTP resource that matches the request URI '{uri}' does not support the API version '{version}'.", raisedBy: 'action' },

  // The body.
  BodyTooLarge:          { status: 413, code: 'PayloadTooLarge', message: 'The request body is larger than {limit} bytes.', raisedBy: 'pipeline' },
  BodyNotJson:           { status: 415, code: 'UnsupportedMediaType', message: 'The request body must be sent as application/json without a content encoding.', raisedBy: 'pipeline' },
  BodyNotForm:           { status: 415, code: 'UnsupportedMediaType', message: 'The request body must be sent as application/x-www-form-urlencoded without a content encoding.', raisedBy: 'pipeline' },
  BodyUnreadable:        { status: 400, code: 'ValidationError', message: 'The request body is not valid JSON.', raisedBy: 'reading' },
  FormUnreadable:        { status: 400, code: 'ValidationError', message: 'The request body is not a valid form. A form has at most 100 fields and no field twice.', raisedBy: 'reading' },
  FieldMissing:          { status: 400, code: 'ValidationError', message: '{field}: The {field} field is required.', raisedBy: 'reading' },
  FieldMalformed:        { status: 400, code: 'ValidationError', message: '{field}: The value is not valid for this field.', raisedBy: 'reading' },

  // Limits and the state of the node.
  Overloaded:            { status: 503, code: 'ServiceUnavailable', message: 'The server is overloaded. Try again.', raisedBy: 'pipeline', retryAfter: 1 },
  TooManyRequests:       { status: 429, code: 'TooManyRequests', message: 'Too many requests. Try again later.', raisedBy: 'pipeline', retryAfter: 1 },
  NotFresh:              { status: 503, code: 'ServiceUnavailable', message: 'This node cannot prove that its revocation state is current. Try again.', raisedBy: 'pipeline', retryAfter: 1 },
  StoreUnavailable:      { status: 503, code: 'ServiceUnavailable', message: 'The change was not confirmed by the store. Try again.', raisedBy: 'pipeline', retryAfter: 1 },
  Stopping:              { status: 503, code: 'ServiceUnavailable', message: 'The server stopped before this was done. Try again.', raisedBy: 'pipeline', retryAfter: 1 },
  NotReady:              { status: 503, code: 'NotReady', message: 'The server is not ready: {why}', raisedBy: 'pipeline', retryAfter: 1 },
  Internal:              { status: 500, code: 'InternalError', message: 'The server met an unexpected condition.', raisedBy: 'pipeline' },
} as const satisfies Record<string, ErrorShape>;

// biome-ignore format: a table
export const HTTP_REASONS = {
  'overload.usual':  'Too many requests are under way, or this caller has used its share.',
  'overload.urgent': 'Too many requests that end access or ask for health are under way, or this caller has used its share. They have a separate limit.',
  'overload.bodies': 'The memory for request bodies is full, or this caller has used its share.',
  'held.user':       'This user already has as many open sockets, or waiting requests, as one user may have.',
  'held.resource':   'The users of this resource already have as many open sockets, or waiting requests, as one resource may have.',
  'held.all':        'This server already has as many open sockets, or waiting requests, as it may have.',
  'ticket.malformed': 'The ticket was not made by this server, or not for this purpose.',
  'ticket.expired':  'The ticket has expired.',
  'ticket.used':     'The ticket was used before.',
  'quota.exceeded':  'The resource has sent more requests than the quota of the original allows.',
  'lease.expired':   'This node’s last confirmed heartbeat with the store is older than the lease.',
  'store.failed':    'The store did not confirm the change.',
} as const satisfies Record<string, string>;
