import { ServiceError } from '../errors.ts';
import { isForPeople, type LineFormat, openLog } from '../monitoring/log.ts';
import { type Server, startServer } from '../server.ts';
import { readSettings, type Settings, SettingsError } from '../settings.ts';
import { StoreError } from '../storage/database.ts';
import { complain, DONE, FAILED, WRONG_USE } from './exit.ts';
import { readyBlock } from './ready-block.ts';

const ANSWERS_MS = 100;

/**
 * Runs the server until SIGINT or SIGTERM.
 * @returns the exit code
 */
export async function serve(environment: Readonly<Record<string, string | undefined>>): Promise<number> {
  // From the first moment on, so that a signal during the start is not lost.
  const signal = Promise.withResolvers<void>();
  let firstAt: number | undefined;
  const onSignal = (): void => {
    signal.resolve();
    firstAt ??= performance.now();
    // A second request to stop means not to wait. When npm passes on what the terminal sent, that is no second request.
    if (performance.now() - firstAt > 1000) process.exit(FAILED);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);

  let settings: Settings;
  let server: Server;
  try {
    settings = readSettings(environment);
    const log = openLog(settings, { format: await lineFormat(settings) });
    process.on('exit', () => log.flushSync());
    process.on('uncaughtException', (cause) => {
      log.write('fatal', 'unexpected', { cause });
      process.exit(FAILED);
    });
    server = await startServer(settings, {
      log,
      // Not closed: closing writes. The pause lets the answers out that say it did not work.
      onFatal: () => setTimeout(() => process.exit(FAILED), ANSWERS_MS),
    });
  } catch (cause) {
    if (cause instanceof SettingsError) return complain(cause.message, WRONG_USE);
    if (cause instanceof StoreError) return complain(cause.message, FAILED);
    if (cause instanceof ServiceError)
      return complain(
        `the store failed: ${cause.cause instanceof Error ? cause.cause.message : cause.message}`,
        FAILED,
      );
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      return complain(`${message}: stop what listens there, or set LINARITE_PORT (0 takes any free one)`, FAILED);
    if (code !== undefined) return complain(message, FAILED);
    throw cause;
  }
  // Service managers reload with it. Elsewhere it keeps its meaning: the terminal has gone.
  if (settings.mode === 'production' || server.rereadCertificates)
    process.on('SIGHUP', () => server.rereadCertificates?.());
  process.stdout.write(readyBlock(settings, server));
  await signal.promise;
  await server.close();
  return DONE;
}

/** Loaded by those who see it. The colours that the terminal has, which NO_COLOR and its like take away, Node.js finds out. */
async function lineFormat(settings: Settings): Promise<LineFormat | undefined> {
  if (!isForPeople(settings)) return undefined;
  const { prettyFormat } = await import('../monitoring/pretty-line.ts');
  return prettyFormat(process.stderr.isTTY && process.stderr.hasColors());
}
