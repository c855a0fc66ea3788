import type { ErrorShape } from './shape.ts';

/** Identities, their tokens, exchanges and assignments. */
// biome-ignore format: a table
export const IDENTITY_ERRORS = {
  ScopesMissing:          { status: 400, code: 'ValidationError', message: 'Invalid scopes - Scopes field is required.', target: 'scopes', raisedBy: 'action' },
  ScopeUnknown:           { status: 400, code: 'ValidationError', message: "Invalid scopes - Scope '{scope}' is not supported.", target: 'scopes', raisedBy: 'action' },
  LifetimeOutOfRange:     { status: 400, code: 'ValidationError', message: 'ExpiresInMinutes value {minutes} is invalid. Value must be within the [{shortest}, {longest}] interval.', target: 'ExpiresInMinutes', raisedBy: 'action' },
  CustomIdOutOfRange:     { status: 400, code: 'ValidationError', message: 'CustomId must have between 1 and 256 characters and no control characters.', target: 'customId', raisedBy: 'action' },
  IdentityIdMalformed:    { status: 400, code: 'ValidationError', message: 'Provided identity id has invalid format.', target: 'id', raisedBy: 'action' },
  IdentityNotOwned:       { status: 401, code: 'IdentityNotOwned', message: "Provided identity doesn't belong to the resource.", raisedBy: 'action' },
  IdentityNotFound:       { status: 404, code: 'IdentityNotFound', message: 'Provided identity does not exist.', raisedBy: 'action' },
  TokensValidFromInvalid: { status: 400, code: 'ValidationError', message: 'TokensValidFrom must be an RFC 3339 instant.', target: 'tokensValidFrom', raisedBy: 'action' },
  PageSizeOutOfRange:     { status: 400, code: 'ValidationError', message: 'PageSize must be a whole number from 1 to {most}.', target: 'pageSize', raisedBy: 'action' },
  ContinuationInvalid:    { status: 400, code: 'ValidationError', message: 'This continuation value did not come from this list.', target: 'continuation', raisedBy: 'action' },

  // Exchanges and assignments.
  ExchangeFieldMissing:   { status: 400, code: 'ValidationError', message: '{field}: The {field} field is required.', raisedBy: 'action' },
  ExchangeFieldMalformed: { status: 400, code: 'ValidationError', message: 'Provided {field} has invalid format.', raisedBy: 'action' },
  UnexpectedApplication:  { status: 400, code: 'ValidationError', message: 'AAD application is not the expected one.', target: 'appId', raisedBy: 'action' },
  UnexpectedUser:         { status: 400, code: 'ValidationError', message: 'Provided AAD token issued for unexpected user.', target: 'userId', raisedBy: 'action' },
  AssignmentMissing:      { status: 403, code: 'Forbidden', message: 'The user is not assigned to this resource.', raisedBy: 'action' },
  AssignmentInvalid:      { status: 400, code: 'ValidationError', message: '{field}: {why}.', raisedBy: 'action' },
  AssignmentNotFound:     { status: 404, code: 'AssignmentNotFound', message: 'There is no such assignment.', raisedBy: 'action' },
} as const satisfies Record<string, ErrorShape>;

// biome-ignore format: a table
export const IDENTITY_REASONS = {
  'assignment.missing': 'No assignment on this resource names this user with this application.',
} as const satisfies Record<string, string>;
