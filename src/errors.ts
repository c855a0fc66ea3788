/**
 * Where the original raises an error, which decides one header: `api-supported-versions` is on everything raised
 * inside an action, and on nothing that the door (authentication, routing) or the reading of the body refuses.
 */
type RaisedBy = 'door' | 'reading' | 'action';

interface ErrorShape {
  /** HTTP status. */
  status: number;
  /** `error.code` on the wire. Several names may share one. */
  code: string;
  /** `error.message` on the wire; `{name}` takes the value given when it is thrown. */
  message: string;
  /** `error.target` on the wire, where it is always the same. */
  target?: string;
  raisedBy: RaisedBy;
  /** `error` at routes that speak OAuth, where it is not `invalid_request` (RFC 6749, section 5.2; RFC 8628, section 3.5). */
  oauth?: string;
  /** Seconds for `Retry-After`. */
  retryAfter?: number;
}

/**
 * Every error a client can receive, declared once. Only the edge turns a name into HTTP.
 * Statuses, codes, texts and targets follow the recorded service where a recording exists (identity-protocol, section 4).
 */
// biome-ignore format: a table
export const ERRORS = {
  // The door: framing, routing, version, authentication.
  RequestMalformed:      { status: 400, code: 'BadRequest', message: 'The request is not a well-formed HTTP/1.1 request.', raisedBy: 'door' },
  RequestTimeout:        { status: 408, code: 'RequestTimeout', message: 'The request did not arrive in time.', raisedBy: 'door' },
  HeadersTooLarge:       { status: 431, code: 'RequestHeaderFieldsTooLarge', message: 'The request has too many or too long header fields.', raisedBy: 'door' },
  ExpectationFailed:     { status: 417, code: 'ExpectationFailed', message: 'The Expect header may only be 100-continue.', raisedBy: 'door' },
  HostNotAllowed:        { status: 421, code: 'MisdirectedRequest', message: 'This service does not answer for that host name.', raisedBy: 'door' },
  HttpsRequired:         { status: 403, code: 'HttpsRequired', message: 'Plain HTTP is accepted from trusted proxies only. Use HTTPS.', raisedBy: 'door' },
  OriginNotAllowed:      { status: 403, code: 'Forbidden', message: 'Pages of that origin may not call this route.', raisedBy: 'door' },
  EmailNotOffered:       { status: 404, code: 'InvalidResourceType', message: "This server does not offer e-mail: the resource type 'emailServices' is not in its namespace 'Microsoft.Communication'.", raisedBy: 'door' },
  OperationUnknown:      { status: 404, code: 'NotFound', message: 'There is no operation at this path.', raisedBy: 'door' },
  MethodNotAllowed:      { status: 405, code: 'MethodNotAllowed', message: 'This path does not support that method.', raisedBy: 'door' },
  UpgradeRequired:       { status: 426, code: 'UpgradeRequired', message: 'This path is for WebSocket connections of version 13 (RFC 6455).', raisedBy: 'door' },
  RequestAbandoned:      { status: 400, code: 'RequestAbandoned', message: 'The client closed its connection before the answer was ready.', raisedBy: 'door' },
  ApiVersionMissing:     { status: 400, code: 'ApiVersionUnspecified', message: 'An API version is required, but was not specified.', raisedBy: 'door' },
  ApiVersionAmbiguous:   { status: 400, code: 'AmbiguousApiVersion', message: 'The following API versions were requested: {versions}. At most one may be specified.', raisedBy: 'door' },
  ApiVersionUnsupported: { status: 400, code: 'UnsupportedApiVersion', message: "The HTTP resource that matches the request URI '{uri}' does not support the API version '{version}'.", raisedBy: 'action' },
  Denied:                { status: 401, code: 'Denied', message: 'Denied by the resource provider.', raisedBy: 'door' },
  BodyHashDiffers:       { status: 401, code: 'Denied', message: "Request 'x-ms-content-sha256' differs from generated content hash.", raisedBy: 'door' },
  ClockSkewed:           { status: 401, code: 'Denied', message: "The time difference between the request's date and the server is greater than the allowed margin of {minutes} minutes.", raisedBy: 'door' },
  TokenRefused:          { status: 401, code: 'Unauthorized', message: 'The access token is not valid.', raisedBy: 'door' },
  CapabilityMissing:     { status: 403, code: 'Forbidden', message: 'The access token carries no scope that permits this operation.', raisedBy: 'action' },

  // Reading the body.
  BodyTooLarge:          { status: 413, code: 'PayloadTooLarge', message: 'The request body is larger than {limit} bytes.', raisedBy: 'door' },
  BodyNotJson:           { status: 415, code: 'UnsupportedMediaType', message: 'The request body must be sent as application/json without a content encoding.', raisedBy: 'door' },
  BodyNotForm:           { status: 415, code: 'UnsupportedMediaType', message: 'The request body must be sent as application/x-www-form-urlencoded without a content encoding.', raisedBy: 'door' },
  BodyUnreadable:        { status: 400, code: 'ValidationError', message: 'The request body is not valid JSON.', raisedBy: 'reading' },
  FormUnreadable:        { status: 400, code: 'ValidationError', message: 'The request body is not a valid form. A form has at most 100 fields and no field twice.', raisedBy: 'reading' },
  FieldMissing:          { status: 400, code: 'ValidationError', message: '{field}: The {field} field is required.', raisedBy: 'reading' },
  FieldMalformed:        { status: 400, code: 'ValidationError', message: '{field}: The value is not valid for this field.', raisedBy: 'reading' },

  // Identities and tokens.
  ScopesMissing:         { status: 400, code: 'ValidationError', message: 'Invalid scopes - Scopes field is required.', target: 'scopes', raisedBy: 'action' },
  ScopeUnknown:          { status: 400, code: 'ValidationError', message: "Invalid scopes - Scope '{scope}' is not supported.", target: 'scopes', raisedBy: 'action' },
  LifetimeOutOfRange:    { status: 400, code: 'ValidationError', message: 'ExpiresInMinutes value {minutes} is invalid. Value must be within the [{shortest}, {longest}] interval.', target: 'ExpiresInMinutes', raisedBy: 'action' },
  CustomIdOutOfRange:    { status: 400, code: 'ValidationError', message: 'CustomId must have between 1 and 256 characters and no control characters.', target: 'customId', raisedBy: 'action' },
  IdentityIdMalformed:   { status: 400, code: 'ValidationError', message: 'Provided identity id has invalid format.', target: 'id', raisedBy: 'action' },
  IdentityNotOwned:      { status: 401, code: 'IdentityNotOwned', message: "Provided identity doesn't belong to the resource.", raisedBy: 'action' },
  IdentityNotFound:      { status: 404, code: 'IdentityNotFound', message: 'Provided identity does not exist.', raisedBy: 'action' },
  TokensValidFromInvalid:{ status: 400, code: 'ValidationError', message: 'TokensValidFrom must be an RFC 3339 instant.', target: 'tokensValidFrom', raisedBy: 'action' },
  PageSizeOutOfRange:    { status: 400, code: 'ValidationError', message: 'PageSize must be a whole number from 1 to {most}.', target: 'pageSize', raisedBy: 'action' },
  ContinuationInvalid:   { status: 400, code: 'ValidationError', message: 'This continuation value did not come from this list.', target: 'continuation', raisedBy: 'action' },

  IdentityNotImportable: { status: 400, code: 'ValidationError', message: 'An id that names no resource is not imported. Teams users get their identity when they exchange their token.', target: 'id', raisedBy: 'action' },
  IdentityDiffers:       { status: 409, code: 'IdentityDiffers', message: 'The identity is there already, with another customId or none.', target: 'customId', raisedBy: 'action' },
  CustomIdTaken:         { status: 409, code: 'CustomIdTaken', message: 'Another identity has that customId.', target: 'customId', raisedBy: 'action' },
  CreatedAtInvalid:      { status: 400, code: 'ValidationError', message: 'CreatedAt must be an RFC 3339 instant from 1970 to now.', target: 'createdAt', raisedBy: 'action' },
  ImportTooLarge:        { status: 400, code: 'ValidationError', message: 'One request imports at most {most} identities.', target: 'identities', raisedBy: 'action' },

  // Resources.
  ResourceNameInvalid:   { status: 400, code: 'InvalidResourceName', message: 'A resource name has 1 to 63 letters, digits, hyphens or underscores.', target: 'name', raisedBy: 'action' },
  ResourceNameTaken:     { status: 409, code: 'ResourceNameTaken', message: 'Another resource has that name.', target: 'name', raisedBy: 'action' },
  ResourceIdInvalid:     { status: 400, code: 'InvalidResourceId', message: 'A resource id must be a GUID.', target: 'resourceId', raisedBy: 'action' },
  ResourceIdTaken:       { status: 409, code: 'ResourceIdTaken', message: 'A resource with that id is there already, with another {what}.', target: 'resourceId', raisedBy: 'action' },
  ResourceIdDeleted:     { status: 409, code: 'ResourceIdDeleted', message: 'A resource with that id was deleted here. The id of a deleted resource is never used again in this store, so that none of its tokens can come back. Import it into a new store.', target: 'resourceId', raisedBy: 'action' },
  AccessKeyInvalid:      { status: 400, code: 'InvalidAccessKey', message: '{field}: {why}.', raisedBy: 'action' },
  ResourceNotFound:      { status: 404, code: 'ResourceNotFound', message: 'The resource does not exist.', raisedBy: 'action' },

  // The management plane, in the words of ARM.
  ServiceNotFound:       { status: 404, code: 'ResourceNotFound', message: "The Resource 'Microsoft.Communication/communicationServices/{name}' under resource group '{group}' was not found.", raisedBy: 'action' },
  ResourceGroupNotFound: { status: 404, code: 'ResourceGroupNotFound', message: "Resource group '{group}' could not be found.", raisedBy: 'action' },
  ResourceGroupNameInvalid: { status: 400, code: 'InvalidParameter', message: 'A resource group name has 1 to 90 letters, digits, underscores, hyphens, periods and parentheses, and does not end with a period.', target: 'resourceGroupName', raisedBy: 'action' },
  SubscriptionIdInvalid: { status: 400, code: 'InvalidSubscriptionId', message: "The provided subscription identifier '{id}' is malformed or invalid.", raisedBy: 'action' },
  LocationRequired:      { status: 400, code: 'LocationRequired', message: 'The location property is required for this definition.', target: 'location', raisedBy: 'action' },
  DataLocationRequired:  { status: 400, code: 'RequiredProperty', message: 'The property dataLocation is required.', target: 'properties.dataLocation', raisedBy: 'action' },
  DataLocationFixed:     { status: 409, code: 'PropertyChangeNotAllowed', message: 'The property dataLocation cannot be changed.', target: 'properties.dataLocation', raisedBy: 'action' },
  PlaceTaken:            { status: 409, code: 'NameNotAvailable', message: "The name '{name}' is taken.", target: 'name', raisedBy: 'action' },
  ProviderNotFound:      { status: 404, code: 'InvalidResourceNamespace', message: "The resource namespace '{namespace}' is invalid: there is Microsoft.Communication only.", raisedBy: 'action' },
  ResourceFilterInvalid: { status: 400, code: 'InvalidFilterInQueryString', message: "Invalid $filter '{filter}': expected terms such as name eq 'x', joined by and, for {names}.", target: '$filter', raisedBy: 'action' },
  KeyTypeInvalid:        { status: 400, code: 'InvalidKeyType', message: 'The keyType must be Primary or Secondary.', target: 'keyType', raisedBy: 'action' },

  // Tokens of others.
  InvalidAccessToken:    { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.', raisedBy: 'door' },
  GrantMissing:          { status: 403, code: 'Forbidden', message: 'The caller is known, but no grant allows this operation on this resource.', raisedBy: 'door' },
  AssignmentMissing:     { status: 403, code: 'Forbidden', message: 'The user is not assigned to this resource.', raisedBy: 'action' },
  AssignmentInvalid:     { status: 400, code: 'ValidationError', message: '{field}: {why}.', raisedBy: 'action' },
  AssignmentNotFound:    { status: 404, code: 'AssignmentNotFound', message: 'There is no such assignment.', raisedBy: 'action' },
  ExchangeFieldMissing:  { status: 400, code: 'ValidationError', message: '{field}: The {field} field is required.', raisedBy: 'action' },
  ExchangeFieldMalformed:{ status: 400, code: 'ValidationError', message: 'Provided {field} has invalid format.', raisedBy: 'action' },
  UnexpectedApplication: { status: 400, code: 'ValidationError', message: 'AAD application is not the expected one.', target: 'appId', raisedBy: 'action' },
  UnexpectedUser:        { status: 400, code: 'ValidationError', message: 'Provided AAD token issued for unexpected user.', target: 'userId', raisedBy: 'action' },
  ProviderUnavailable:   { status: 503, code: 'ServiceUnavailable', message: 'The keys of the token issuer could not be read. Try again.', raisedBy: 'door', retryAfter: 5 },
  TrustInvalid:          { status: 400, code: 'ValidationError', message: 'The trust is not valid: {why}.', raisedBy: 'action' },
  TrustNotFound:         { status: 404, code: 'TrustNotFound', message: "There is no trust '{name}'.", raisedBy: 'action' },

  // Signing in, in the words of OAuth: the operator, and the development issuer.
  TenantUnknown:         { status: 400, code: 'InvalidTenant', message: "Unknown directory '{tenant}'. Use {known} or adfs, which means the same. Under any other GUID only the operator key signs in.", raisedBy: 'action' },
  ParameterNotOnce:      { status: 400, code: 'InvalidRequest', message: 'The parameter {name} must be sent exactly once.', raisedBy: 'action' },
  GrantUnsupported:      { status: 400, code: 'UnsupportedGrantType', message: 'The grant type is not supported. Use one of {grants}.', oauth: 'unsupported_grant_type', raisedBy: 'action' },
  ClientRefused:         { status: 401, code: 'InvalidClient', message: 'The client id or the client secret is wrong.', oauth: 'invalid_client', raisedBy: 'action' },
  ClientUnauthorized:    { status: 400, code: 'UnauthorizedClient', message: 'A client without a secret can act for users only.', oauth: 'unauthorized_client', raisedBy: 'action' },
  GrantRefused:          { status: 400, code: 'InvalidGrant', message: 'The {grant} is wrong, was used before or has expired.', oauth: 'invalid_grant', raisedBy: 'action' },
  GrantScopeRefused:     { status: 400, code: 'InvalidScope', message: "The scope '{scope}' is not available: {why}.", oauth: 'invalid_scope', raisedBy: 'action' },
  AudienceUnknown:       { status: 400, code: 'InvalidResource', message: "Unknown resource '{resource}'. This directory knows {known}.", oauth: 'invalid_resource', raisedBy: 'action' },
  DeviceSignInPending:   { status: 400, code: 'AuthorizationPending', message: 'The user has not answered yet.', oauth: 'authorization_pending', raisedBy: 'action' },
  DeviceSignInDeclined:  { status: 400, code: 'AccessDenied', message: 'The sign-in was declined.', oauth: 'access_denied', raisedBy: 'action' },
  DeviceCodeExpired:     { status: 400, code: 'ExpiredToken', message: 'The device code is unknown, was used before or has expired.', oauth: 'expired_token', raisedBy: 'action' },
  IdentityHeaderWrong:   { status: 401, code: 'Unauthorized', message: 'X-IDENTITY-HEADER is not the secret of this server.', oauth: 'invalid_client', raisedBy: 'action' },
  MetadataHeaderMissing: { status: 400, code: 'InvalidRequest', message: 'The header Metadata: true is required.', raisedBy: 'action' },
  ManagedIdentityUnknown:{ status: 400, code: 'IdentityNotFound', message: 'No managed identity has that id.', raisedBy: 'action' },
  MetadataVersionInvalid:{ status: 400, code: 'InvalidRequest', message: 'The api-version must be {versions}.', raisedBy: 'action' },

  // Care for the store.
  BackupUnsupported:     { status: 400, code: 'BackupUnsupported', message: 'This server cannot back up this store: {why}.', raisedBy: 'action' },
  BackupRunning:         { status: 409, code: 'BackupRunning', message: 'A backup is already running. Try again when it is done.', raisedBy: 'action' },
  BackupFailed:          { status: 500, code: 'BackupFailed', message: 'The backup could not be written ({why}). The store itself is not affected.', raisedBy: 'action' },
  RollbackNotAccepted:   { status: 400, code: 'RollbackNotAccepted', message: 'Recovery ends every token issued so far. Set acceptRollback to true to confirm.', target: 'acceptRollback', raisedBy: 'action' },

  KekUnusable:           { status: 409, code: 'KeyEncryptionKeyUnusable', message: 'The key-encryption key was not changed: {why}.', raisedBy: 'action' },

  // Ours.
  Overloaded:            { status: 503, code: 'ServiceUnavailable', message: 'The server is overloaded. Try again.', raisedBy: 'door', retryAfter: 1 },
  TooManyRequests:       { status: 429, code: 'TooManyRequests', message: 'Too many requests. Try again later.', raisedBy: 'door', retryAfter: 1 },
  NotFresh:              { status: 503, code: 'ServiceUnavailable', message: 'This node cannot prove that its revocation state is current. Try again.', raisedBy: 'door', retryAfter: 1 },
  StoreUnavailable:      { status: 503, code: 'ServiceUnavailable', message: 'The change was not confirmed by the store. Try again.', raisedBy: 'door', retryAfter: 1 },
  Stopping:              { status: 503, code: 'ServiceUnavailable', message: 'The server stopped before this was done. Try again.', raisedBy: 'door', retryAfter: 1 },
  NotReady:              { status: 503, code: 'NotReady', message: 'The server is not ready: {why}', raisedBy: 'door', retryAfter: 1 },
  Internal:              { status: 500, code: 'InternalError', message: 'The server met an unexpected condition.', raisedBy: 'door' },
} as const satisfies Record<string, ErrorShape>;

export type ErrorName = keyof typeof ERRORS;

/**
 * Why something was refused, in one word for logs, metrics and (in dev mode) the `x-linarite-reason` header.
 * An error without a finer reason is its own. Rows, not free text: people search and alert on these.
 */
// biome-ignore format: a table
export const REASONS = {
  'authorization.missing':      'There is no Authorization header.',
  'authorization.scheme':       'This route does not accept that Authorization scheme.',
  'authorization.malformed':    'The Authorization header must have the form HMAC-SHA256 SignedHeaders=…&Signature=….',
  'header.repeated':            'A security header was sent more than once.',
  'signedHeaders.unexpected':   'SignedHeaders must name a date header, host and x-ms-content-sha256, each of them once.',
  'date.missing':               'The date header that SignedHeaders names is missing.',
  'date.malformed':             'The date is not an IMF-fixdate such as Wed, 13 Apr 2022 18:09:12 GMT.',
  'date.skewed':                'The date differs from the server clock by more than the signature window.',
  'contentHash.missing':        'The x-ms-content-sha256 header is missing.',
  'contentHash.differs':        'The hash of the received body is not the hash that was signed.',
  'signature.method':           'The signature was made for another HTTP method.',
  'signature.path':             'The signature was made for another path or query: something between client and server rewrote the target.',
  'signature.host':             'The signature was made for another host: something between client and server rewrote the Host header.',
  'signature.date':             'The signature was made for another date header of this request.',
  'signature.contentHash':      'The signature was made for another content hash.',
  'signature.key':              'The signature matches no key of this server: the key is wrong, was regenerated, or its resource was deleted.',
  'signature.tooManyWrong':     'The host names no resource, and too many wrong signatures have come to try the keys of all resources again.',
  'accessKey.replaced':         'The access key was regenerated while the request was being handled.',
  'accessKey.loopbackOnly':     'The well-known development key works only on loopback connections without forwarding headers.',
  'issuer.loopbackOnly':        'The development issuer, and the page at /, give tokens to everybody who asks, so they work only on loopback connections without forwarding headers.',
  'operatorKey.wrong':          'The operator key is wrong.',
  'foreign.malformed':          'The presented token is not a compact JWS in canonical base64url with a JSON payload.',
  'foreign.issuer':             'No enabled trust has the issuer that the presented token names.',
  'foreign.algorithm':          'The trust, or the key, does not allow the signature algorithm of the presented token.',
  'foreign.keyUnknown':         'The issuer’s key set has no key with the id that the presented token names.',
  'foreign.signature':          'The signature of the presented token is not valid.',
  'foreign.audience':           'The presented token was made for another audience.',
  'foreign.tenant':             'The presented token is from a directory that the trust does not name.',
  'foreign.expired':            'The presented token has expired.',
  'foreign.notYetValid':        'The presented token is not valid yet.',
  'foreign.claims':             'A claim of the presented token is missing, has the wrong type or contradicts another.',
  'foreign.application':        'The trust does not name the application through which the presented token was obtained.',
  'foreign.scope':              'The presented token has none of the permissions that this exchange needs.',
  'foreign.kind':               'The presented token is of the wrong kind: an ID token, or a token of an application where a token of a user is needed.',
  'trust.changed':              'The trust was changed while the request was being handled.',
  'grant.missing':              'No grant of the trust allows this principal this operation on this resource.',
  'resource.unnamed':           'The host names no resource, and more than one is possible.',
  'assignment.missing':         'No assignment on this resource names this user with this application.',
  'provider.unavailable':       'The issuer’s keys could not be read, and the needed key is not known yet.',
  'token.malformed':            'The token is not a compact JWS in canonical base64url with the header and claims this server writes.',
  'token.algorithm':            'The algorithm of the token is not the algorithm of its key.',
  'token.keyUnknown':           'No signing key has the id that the token names.',
  'token.signature':            'The signature of the token is not valid.',
  'token.claims':               'A claim is missing, has the wrong type or contradicts another.',
  'token.issuer':               'The token was issued by another server.',
  'token.expired':              'The token has expired.',
  'token.notYetValid':          'The token was issued in the future.',
  'token.resource':             'This server has no resource with the id that the token names.',
  'token.otherResource':        'The host names one resource, and the token belongs to another.',
  'token.otherUser':            'The session was opened with the token of another user.',
  'token.ahead':                'The token is newer than the store: the store has lost committed data, see `linarite recover`.',
  'revoked.identity':           'All tokens of the identity were revoked after this one was issued.',
  'revoked.identityDeleted':    'The identity was deleted.',
  'revoked.key':                'The access key that requested the token was regenerated.',
  'revoked.resource':           'The resource was deleted.',
  'revoked.trust':              'The trust that the token was issued through was disabled, narrowed or deleted.',
  'revoked.assignment':         'The assignment that allowed the token was removed or narrowed.',
  'revoked.signingKey':         'The key that signed the token was withdrawn.',
  'revoked.all':                'All tokens of this server were revoked after this one was issued.',
  'revoked.validFrom':          'The token was issued before the time from which tokens of the identity are valid.',
  'session.closed':             'The session was closed while a newer token was being verified for it.',
  'scope.missing':              'No scope of the token allows the operation.',
  'overload.usual':             'Too many requests are under way, or this caller has used its share.',
  'overload.urgent':            'Too many requests that end access or ask for health are under way, or this caller has used its share. They have a limit of their own.',
  'overload.bodies':            'Request bodies fill the memory set aside for them, or this caller has used its share.',
  'held.user':                  'This user already has as many open sockets, or waiting requests, as one user may have.',
  'held.resource':              'The users of this resource already have as many open sockets, or waiting requests, as one resource may have.',
  'held.all':                   'This server already has as many open sockets, or waiting requests, as it may have.',
  'ticket.malformed':           'The ticket was not made by this server, or not for this purpose.',
  'ticket.expired':             'The ticket has expired.',
  'ticket.used':                'The ticket was used before.',
  'quota.exceeded':             'The resource has sent more requests than the quota of the original allows.',
  'lease.expired':              'This node’s last confirmed heartbeat with the store is older than the lease.',
  'store.failed':               'The store did not confirm the change.',
} as const;

export type Reason = keyof typeof REASONS;

interface Facts {
  /** `error.target` on the wire, where it varies. */
  target?: string;
  /** What the `{names}` in the message stand for. Never a secret: it is sent to the caller. */
  values?: Record<string, string | number>;
  /** For logs and the dev-mode header. Never a secret, but not for production callers either. */
  reason?: Reason;
  /** A few words more on the reason: which header, which event and when. */
  detail?: string;
  /** Seconds for `Retry-After`, where they vary. */
  retryAfter?: number;
  cause?: unknown;
}

/** The one thing thrown on purpose: a row of {@link ERRORS}, with what is particular to this case. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly error: ErrorName;
  readonly target: string | undefined;
  readonly reason: Reason | ErrorName;
  readonly detail: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(error: ErrorName, { target, values = {}, reason, detail, retryAfter, cause }: Facts = {}) {
    const shape: ErrorShape = ERRORS[error];
    super(
      shape.message.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? '')),
      { cause },
    );
    this.error = error;
    this.target = target ?? shape.target;
    this.reason = reason ?? error;
    this.detail = detail;
    this.retryAfter = retryAfter ?? shape.retryAfter;
  }

  get shape(): ErrorShape {
    return ERRORS[this.error];
  }
}
