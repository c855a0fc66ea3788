import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import { certificatesFromFiles, type GivenCertificates } from './certificate-files.ts';
import { CertificateWatch } from './certificate-watch.ts';
import { certificatesIn, type OwnCertificates } from './own-certificates.ts';

interface Uses {
  clock: Clock;
  events: Pick<Events, 'notice'>;
}

interface Options {
  /** Where certificates of our own making are kept; undefined: nothing is kept. */
  folder: string | undefined;
  /** The pair of files that the settings name. */
  files: { readonly certificate: string; readonly key: string } | undefined;
  /** Refuses a key file that others can read. */
  insistOnPrivateKeyFile: boolean;
  /** Whether a certificate is made where the settings name none, and the names that it is for beside the loopback names. */
  own: { readonly names: readonly string[] } | undefined;
}

/** Key and certificate chain, both in PEM. */
interface Pair {
  readonly key: string;
  readonly cert: string;
}

/** The certificate that the server shows: from files that somebody else looks after, of our own making, or none. */
export class ServerCertificates {
  readonly #uses: Uses;
  readonly #options: Options;
  #own: OwnCertificates | undefined;
  #pair: Pair | undefined;
  #watch: CertificateWatch | undefined;
  #use: (pair: Pair) => void = () => undefined;

  private constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /** @throws SettingsError when the files cannot be used, or none can be made */
  static async open(uses: Uses, options: Options): Promise<ServerCertificates> {
    const certificates = new ServerCertificates(uses, options);
    if (options.files) certificates.#pair = pairOf(certificates.#readFiles(options.files));
    else if (options.own) await certificates.#makeOwn(options.own);
    return certificates;
  }

  /** What is in use; undefined: none. */
  get tls(): Pair | undefined {
    return this.#pair;
  }

  /** The certificate authority of our own making, in PEM. */
  get caPem(): string | undefined {
    return this.#own?.caPem;
  }

  /** File with the certificate authority of our own making. */
  get caPath(): string | undefined {
    return this.#own?.caPath;
  }

  /** Hands every later pair to the listener, and begins to watch the files. */
  serve(use: (pair: Pair) => void): void {
    this.#use = use;
    const { files } = this.#options;
    if (!files || !this.#pair) return;
    this.#watch = new CertificateWatch(
      { read: () => this.#readFiles(files), use: (pair) => use(pairOf(pair)), events: this.#uses.events },
      { paths: [files.certificate, files.key], inUse: this.#pair },
    );
  }

  /** Reads the files again now; undefined where the settings name none. */
  get reread(): (() => void) | undefined {
    const watch = this.#watch;
    return watch && (() => watch.reread());
  }

  /** Makes a new certificate of our own when the present one is about to expire. */
  async renewWhenDue(): Promise<void> {
    const { own, folder } = this.#options;
    if (!own || !this.#own || folder === undefined || this.#uses.clock.now() < this.#own.renewAtMs) return;
    await this.#makeOwn(own);
    if (this.#pair) this.#use(this.#pair);
  }

  async close(): Promise<void> {
    await this.#watch?.stop();
    this.#own?.dispose();
  }

  #readFiles({ certificate, key }: NonNullable<Options['files']>): GivenCertificates {
    const { insistOnPrivateKeyFile } = this.#options;
    return certificatesFromFiles(certificate, key, this.#uses.clock, { insistOnPrivateKeyFile });
  }

  async #makeOwn({ names }: NonNullable<Options['own']>): Promise<void> {
    const { clock, events } = this.#uses;
    const own = await certificatesIn(this.#options.folder, clock, names);
    this.#own = own;
    this.#pair = pairOf(own);
    if (own.replacedBecause !== undefined)
      events.notice('warn', 'new certificate authority: trust it again', {
        file: own.caPath,
        because: own.replacedBecause,
      });
  }
}

const pairOf = ({ certPem, keyPem }: Pick<GivenCertificates, 'certPem' | 'keyPem'>): Pair => ({
  cert: certPem,
  key: keyPem,
});
