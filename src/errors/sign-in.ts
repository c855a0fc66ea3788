import type { ErrorShape } from './shape.ts';

/** Signing in, in the words of OAuth: the operator, and the development issuer. */
// biome-ignore format: a table
export const SIGN_IN_ERRORS = {
  TenantUnknown:          { status: 400, code: 'InvalidTenant', message: "Unknown directory '{tenant}'. Use {known} or adfs, which means the same. With any other GUID as the directory, only the operator can sign in, with the operator key.", raisedBy: 'action' },
  ParameterNotOnce:       { status: 400, code: 'InvalidRequest', message: 'The parameter {name} must be sent exactly once.', raisedBy: 'action' },
  GrantUnsupported:       { status: 400, code: 'UnsupportedGrantType', message: 'The grant type is not supported. Use one of {grants}.', oauth: 'unsupported_grant_type', raisedBy: 'action' },
  ClientRefused:          { status: 401, code: 'InvalidClient', message: 'The client id or the client secret is wrong.', oauth: 'invalid_client', raisedBy: 'action' },
  ClientUnauthorized:     { status: 400, code: 'UnauthorizedClient', message: 'A client without a secret can act for users only.', oauth: 'unauthorized_client', raisedBy: 'action' },
  GrantRefused:           { status: 400, code: 'InvalidGrant', message: 'The {grant} is wrong, was used before or has expired.', oauth: 'invalid_grant', raisedBy: 'action' },
  GrantScopeRefused:      { status: 400, code: 'InvalidScope', message: "The scope '{scope}' is not available: {why}.", oauth: 'invalid_scope', raisedBy: 'action' },
  AudienceUnknown:        { status: 400, code: 'InvalidResource', message: "Unknown resource '{resource}'. This directory knows {known}.", oauth: 'invalid_resource', raisedBy: 'action' },
  DeviceSignInPending:    { status: 400, code: 'AuthorizationPending', message: 'The user has not answered yet.', oauth: 'authorization_pending', raisedBy: 'action' },
  DeviceSignInDeclined:   { status: 400, code: 'AccessDenied', message: 'The sign-in was declined.', oauth: 'access_denied', raisedBy: 'action' },
  DeviceCodeExpired:      { status: 400, code: 'ExpiredToken', message: 'The device code is unknown, was used before or has expired.', oauth: 'expired_token', raisedBy: 'action' },
  IdentityHeaderWrong:    { status: 401, code: 'Unauthorized', message: 'X-IDENTITY-HEADER is not the secret of this server.', oauth: 'invalid_client', raisedBy: 'action' },
  MetadataHeaderMissing:  { status: 400, code: 'InvalidRequest', message: 'The header Metadata: true is required.', raisedBy: 'action' },
  ManagedIdentityUnknown: { status: 400, code: 'IdentityNotFound', message: 'No managed identity has that id.', raisedBy: 'action' },
  MetadataVersionInvalid: { status: 400, code: 'InvalidRequest', message: 'The api-version must be {versions}.', raisedBy: 'action' },
} as const satisfies Record<string, ErrorShape>;

// biome-ignore format: a table
export const SIGN_IN_REASONS = {
  'issuer.loopbackOnly': 'The development issuer, and the page at /, give tokens to everybody who asks. So they work only on loopback connections without forwarding headers.',
} as const satisfies Record<string, string>;
