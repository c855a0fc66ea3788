import type { Access, TrustPolicy } from '../access.ts';
import type { Base } from '../base.ts';
import type { ServerCertificates } from '../certificates/server-certificates.ts';
import type { Chore } from '../chores/chore.ts';
import type { Clock } from '../lib/clock.ts';
import type { RequestFacts } from '../monitoring/events.ts';
import type { Plane } from '../planes/plane.ts';
import type { DevIssuer } from '../planes/sign-in/dev-issuer.ts';
import type { Settings } from '../settings.ts';
import type { Database } from '../storage/database.ts';

/** What differs between the modes of a server. Nothing else asks which mode it is. */
export interface Mode {
  readonly name: Settings['mode'];
  readonly requests: {
    /** For the programs of one machine: loopback names and pages are let in, and plain HTTP from everywhere. */
    readonly local: boolean;
    /** Names to answer for; undefined: any. */
    readonly allowedHosts: readonly string[] | undefined;
    /** Whether answers say why a request was refused. */
    readonly explains: boolean;
    /** Whether quotas count what ends access. */
    readonly countsEndings: boolean;
  };
  readonly certificates: {
    /** Names of the certificate that the server makes for itself; undefined: it makes none. */
    readonly own: { readonly names: readonly string[] } | undefined;
    readonly insistOnPrivateKeyFile: boolean;
  };
  readonly trustPolicy: TrustPolicy;
  /** Whether metrics and the description of the API are for everybody, or for the operator alone. */
  readonly statusIsPublic: boolean;

  /** @throws SettingsError */
  checkSettings(): void;
  /** Begins what takes its time at the first start. */
  prepare(folder: string | undefined): void;
  /** @throws StoreError, SettingsError when this store may not be served, or not now */
  checkStore(db: Database, clock: Clock): Promise<void>;
  /** Told of every request that was answered. */
  noteRequest?(facts: RequestFacts, nowMs: number): void;
  /** Makes what such a server has from the first start on. @throws SettingsError for what it may not have */
  initialize(base: Base, access: Access): Promise<void>;
  /** The chores that only this mode has. */
  chores(base: Base, certificates: ServerCertificates): Chore[];
  /** The planes that only this mode has. */
  planes(base: Base, access: Access, certificates: ServerCertificates): Plane[];
  /** How clients reach the resource that is there from the first start on. */
  connectionString(base: Base, access: Access): string | undefined;
  /** Gives tokens of the dev directory. */
  readonly issuer: DevIssuer | undefined;
}
