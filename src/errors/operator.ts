import type { ErrorShape } from './shape.ts';

/** What the operator does: imports, trusts, backups and keys. */
// biome-ignore format: a table
export const OPERATOR_ERRORS = {
  // Imports of identities.
  IdentityNotImportable: { status: 400, code: 'ValidationError', message: 'An id that names no resource is not imported. Teams users get their identity when they exchange their token.', target: 'id', raisedBy: 'action' },
  IdentityDiffers:       { status: 409, code: 'IdentityDiffers', message: 'The identity exists already, with another customId or without one.', target: 'customId', raisedBy: 'action' },
  CustomIdTaken:         { status: 409, code: 'CustomIdTaken', message: 'Another identity has that customId.', target: 'customId', raisedBy: 'action' },
  CreatedAtInvalid:      { status: 400, code: 'ValidationError', message: 'CreatedAt must be an RFC 3339 instant from 1970 to now.', target: 'createdAt', raisedBy: 'action' },
  ImportTooLarge:        { status: 400, code: 'ValidationError', message: 'One request imports at most {most} identities.', target: 'identities', raisedBy: 'action' },

  // Trusts.
  TrustInvalid:          { status: 400, code: 'ValidationError', message: 'The trust is not valid: {why}.', raisedBy: 'action' },
  TrustNotFound:         { status: 404, code: 'TrustNotFound', message: "There is no trust '{name}'.", raisedBy: 'action' },

  // Backups, recovery and keys.
  BackupUnsupported:     { status: 400, code: 'BackupUnsupported', message: 'This server cannot back up this store: {why}.', raisedBy: 'action' },
  BackupRunning:         { status: 409, code: 'BackupRunning', message: 'A backup is already running. Try again when it is done.', raisedBy: 'action' },
  BackupFailed:          { status: 500, code: 'BackupFailed', message: 'The backup could not be written ({why}). The store itself is not affected.', raisedBy: 'action' },
  RollbackNotAccepted:   { status: 400, code: 'RollbackNotAccepted', message: 'Recovery ends every token issued so far. Set acceptRollback to true to confirm.', target: 'acceptRollback', raisedBy: 'action' },
  KekUnusable:           { status: 409, code: 'KeyEncryptionKeyUnusable', message: 'The key-encryption key was not changed: {why}.', raisedBy: 'action' },
} as const satisfies Record<string, ErrorShape>;
