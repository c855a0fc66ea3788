import { stat } from 'node:fs/promises';
import type { Events } from '../monitoring/events.ts';
import { SettingsError } from '../settings.ts';
import type { GivenCertificates } from './certificate-files.ts';

interface Uses {
  /** Reads and checks the pair. @throws SettingsError */
  read: () => GivenCertificates;
  /** Takes a new pair into use for connections opened after this. */
  use: (pair: GivenCertificates) => void;
  events: Pick<Events, 'notice'>;
}

interface Options {
  /** The files of the pair: names that may lead through links, which are followed at every look. */
  paths: readonly string[];
  /** The pair in use, in PEM. */
  inUse: { readonly cert: string; readonly key: string };
  /** Between two looks. A change is read once it is the same at two of them: both files should have been replaced. */
  everyMs?: number;
}

const EVERY_MS = 2000;

/**
 * Reads the certificate files again when they change. They are looked at by name, so files replaced by renaming, and links that
 * lead elsewhere (certbot's `live/`, mounted secrets of Kubernetes), are noticed as well.
 */
export class CertificateWatch {
  readonly #uses: Uses;
  readonly #options: Options;
  readonly #timer: NodeJS.Timeout;
  #inUse: string;
  /** What the last look saw. */
  #seen: string | undefined;
  /** What was last read: a pair that was refused is not read again before something changes. */
  #read: string | undefined;
  #looking: Promise<void> | undefined;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    this.#inUse = pairOf(options.inUse);
    const { everyMs = EVERY_MS } = options;
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    }, everyMs).unref();
  }

  /** Reads the files now, whether they look changed or not. A pair that cannot be used leaves the former one in use. */
  reread(): void {
    const { read, use, events } = this.#uses;
    try {
      const pair = read();
      const text = pairOf({ cert: pair.certPem, key: pair.keyPem });
      if (text === this.#inUse) return;
      use(pair);
      this.#inUse = text;
      events.notice('info', 'the certificate was replaced', { expires: new Date(pair.expiresAtMs).toISOString() });
    } catch (cause) {
      const why = cause instanceof SettingsError ? { why: cause.message } : { cause };
      events.notice('error', 'the new certificate was refused, the former one stays in use', why);
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const states = await Promise.all(this.#options.paths.map(stateOf));
    const now = states.join(' ');
    const settled = now === this.#seen;
    this.#seen = now;
    if (!settled || now === this.#read) return;
    this.#read = now;
    this.reread();
  }
}

const pairOf = ({ cert, key }: Options['inUse']): string => JSON.stringify([cert, key]);

/** Changes whenever the file behind a name is another one, or has other content or permissions. */
async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch (cause) {
    return String((cause as NodeJS.ErrnoException).code);
  }
}
