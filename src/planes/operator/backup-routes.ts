import type { Backups } from '../../backup/backups.ts';
import type { Recovery } from '../../backup/recovery.ts';
import { ServiceError } from '../../errors.ts';
import { ok, type Route, route } from '../../http/route.ts';
import { anything, object, text, truth } from '../../http/schema.ts';
import { wholeSeconds } from '../../lib/instants.ts';

/** Care for the store while the server runs. What replaces the store needs it stopped: see restore.ts. */
export const backupRoutes = (backups: Backups, recovery: Recovery): Route[] => [
  route({
    operation: 'backUp',
    summary: 'Copies the store, as it is at one instant, into the folder `backups` of the data folder.',
    at: 'POST /-/backup',
    access: { caller: 'operator' },
    answers: { 200: object({ path: text(), bytes: anything(), createdAt: text({ format: 'date-time' }) }) },
    async handle() {
      const { path, bytes, createdAtMs } = await backups.make();
      return ok({ path, bytes, createdAt: wholeSeconds(createdAtMs) });
    },
  }),
  route({
    operation: 'recover',
    summary:
      'Confirms that the store has lost committed data. Ends every token issued so far and replaces the signing keys.',
    at: 'POST /-/recover',
    access: { caller: 'operator' },
    urgent: true,
    body: { schema: object({ acceptRollback: truth() }), kind: 'json' },
    answers: { 200: object({ signingKey: text() }) },
    async handle({ body }) {
      if (!body.acceptRollback) throw new ServiceError('RollbackNotAccepted');
      return ok({ signingKey: await recovery.acceptRollback() });
    },
  }),
];
