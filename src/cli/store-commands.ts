import { constants, copyFile, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import { addCommand, outputOption, type Printing, withOperator, type Yes, yesOption } from './command.ts';
import { confirm } from './confirm.ts';
import { CommandError, wrongUse } from './exit.ts';
import { print } from './output.ts';
import { type OperatorOptions, operatorAccess } from './server-access.ts';

interface BackupMade {
  readonly path: string;
  readonly bytes: number;
  readonly createdAt: string;
}

const HOUR_MS = 3_600_000;

/** `linarite migrate`, `backup`, `restore` and `recover`: care for the store. */
export function addStoreCommands(program: Command, context: CliContext): void {
  addCommand(
    program,
    'migrate',
    'update the schema of the store without starting the server',
    'LINARITE_DATA=/var/lib/linarite linarite migrate',
  )
    .addOption(outputOption())
    .action(async ({ output }: Printing) => {
      const { migrateOffline } = await import('../backup/migrate-offline.ts'); // the store is loaded by those who need it
      const { store, applied } = await migrateOffline(context.settings);
      print(
        { store, applied },
        output,
        applied.map((name) => ({ Store: store, Applied: name })),
      );
    });

  withOperator(
    addCommand(
      program,
      'backup',
      'copy the store while the server runs',
      'linarite backup',
      'linarite backup /mnt/backups/linarite.db',
    ),
  )
    .argument(
      '[file]',
      'where to move the copy, on the machine of the server (default: it stays in backups/ of the data folder)',
    )
    .addOption(outputOption())
    .action(async (file: string | undefined, options: OperatorOptions & Printing) => {
      const made = await backUp(context, options, file);
      print(made, options.output, [{ Path: made.path, Bytes: made.bytes, CreatedAt: made.createdAt }]);
    });

  addCommand(
    program,
    'restore',
    'replace the store by a backup while the server is stopped; every token issued so far ends',
    'linarite restore /mnt/backups/linarite.db --yes',
  )
    .argument('<file>', 'the backup')
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (file: string, options: Yes & Printing) => {
      await confirm(`Replace the store by ${file} and end every token issued so far?`, options.yes);
      const { restore } = await import('../backup/restore.ts');
      const restored = await restore(context.settings, resolve(file));
      print(restored, options.output, [
        { Database: restored.database, Kept: restored.kept, RegenerateKeys: restored.regenerateKeys.length },
      ]);
      for (const { resource, keyType } of restored.regenerateKeys)
        process.stderr.write(
          `The ${keyType} key of ${resource} was replaced after the backup. The restored store accepts its former value again: regenerate it.\n`,
        );
    });

  withOperator(
    addCommand(
      program,
      'recover',
      'accept that the store lost committed state; every token issued so far ends',
      'linarite recover --accept-rollback --yes',
    ),
  )
    .option('--accept-rollback', 'accept that the lost changes stay lost')
    .addOption(yesOption())
    .addOption(outputOption())
    .action(async (options: OperatorOptions & Printing & Yes & { acceptRollback?: boolean }) => {
      if (!options.acceptRollback)
        throw wrongUse('recover needs --accept-rollback: the changes that the store has lost stay lost');
      await confirm('Accept the rollback and end every token issued so far?', options.yes);
      const body = { acceptRollback: true };
      const done = await operatorAccess(context, options).call<{ signingKey: string }>('POST', '/-/recover', { body });
      print(done, options.output, [{ SigningKey: done.signingKey }]);
    });
}

async function backUp(context: CliContext, options: OperatorOptions, file: string | undefined): Promise<BackupMade> {
  if (file !== undefined && (await exists(file))) throw new CommandError(`${file} already exists`);
  const client = operatorAccess(context, options);
  const made = await client.call<BackupMade>('POST', '/-/backup', { patienceMs: HOUR_MS });
  if (file === undefined) return made;
  const path = resolve(file);
  await move(made.path, path);
  return { ...made, path };
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EXDEV') throw cause;
      await copyFile(from, to, constants.COPYFILE_EXCL);
      await rm(from);
    });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CommandError(`the backup is ${from} on the server, and could not be moved to ${to} (${code})`, { cause });
  }
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
