import { readSettings, type Settings } from '../settings.ts';

/** What a command is given: the environment, the settings and the input. */
export class CliContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  #settings: Settings | undefined;
  #input: Promise<string> | undefined;

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.environment = environment;
  }

  /** The server's own settings: a client on the same machine finds by them where it listens and keeps its data. */
  get settings(): Settings {
    this.#settings ??= readSettings(this.environment);
    return this.#settings;
  }

  /** Everything on standard input, as text; read once. */
  input(): Promise<string> {
    this.#input ??= process.stdin
      .setEncoding('utf8')
      .toArray()
      .then((chunks) => chunks.join(''));
    return this.#input;
  }
}
