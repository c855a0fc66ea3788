import { readSettings, type Settings } from '../settings.ts';

/** What a command finds around it. */
export class Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  #settings: Settings | undefined;

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.environment = environment;
  }

  /** The server's own settings: a client on the same machine finds by them where it listens and keeps its data. */
  get settings(): Settings {
    this.#settings ??= readSettings(this.environment);
    return this.#settings;
  }
}
