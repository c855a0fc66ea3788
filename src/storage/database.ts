import type { AssignmentId, IdentityId, KeySlot, ResourceId, TrustId } from '../callers.ts';
import type { Rows, Sql } from './sql.ts';
import type { GroupWriter } from './writer.ts';

export interface ResourceRow {
  id: ResourceId;
  /** Unique among the living; a deleted resource gives its name back. */
  name: string;
  /** `resourceLocation` in tokens, such as `unitedstates`. */
  location: string;
  /** `rgn` in tokens, such as `amer`. */
  region: string;
  created_at: number;
  /** 1: access keys open nothing, only other credentials do (`disableLocalAuth`). */
  keys_disabled: number;
  /** Position of the event that deleted it. The row stays: its GUID is never given again. */
  deleted_seq: number | null;
  /** How often all that belonged to it was removed after its deletion: twice is enough. */
  sweeps: number;
  /** When it was last removed, milliseconds since 1970. */
  swept_at: number | null;
}

export interface AccessKeyRow {
  resource_id: ResourceId;
  slot: KeySlot;
  version: number;
  /** The 64 key bytes under a data key, see secrets/key-ring.ts. */
  sealed: string;
  /** Position of the event that made this version; tokens of the slot from before it are void. */
  changed_seq: number;
  created_at: number;
}

export interface RevocationLogRow {
  seq: number;
  kind: string;
  resource_id: ResourceId | null;
  /** What the event is about within the resource: an identity, a key slot; or a signing key's id. */
  subject: string | null;
  /** Only for the preview's `tokensValidFrom`: tokens issued before this instant are void. */
  valid_from: number | null;
  at: number;
  /** CRC-32 over the rest of the row; null in rows from before there was one. */
  crc: number | null;
}

export interface IdentityRow {
  resource_id: ResourceId;
  id: IdentityId;
  custom_id: string | null;
  created_at: number;
  /** Kept for identities with a custom id only, whose replies show it. */
  last_token_issued_at: number | null;
  /** Position of the last event that revoked the identity's tokens. */
  revoked_seq: number;
  tokens_valid_from: number | null;
}

export interface DataKeyRow {
  id: string;
  /** The data key under the key-encryption key. */
  sealed: string;
  created_at: number;
  /** How often it has sealed, as far as the nodes have said so. */
  encryptions: number;
}

export type SigningKeyState = 'next' | 'active' | 'retiring' | 'gone' | 'killed';

export interface SigningKeyRow {
  kid: string;
  alg: 'RS256' | 'ES256';
  state: SigningKeyState;
  /** SubjectPublicKeyInfo in base64. */
  public_key: string;
  /** PKCS #8 under a data key; null once the key has stopped signing. */
  sealed: string | null;
  created_at: number;
  /** When it became, or is to become, the one that signs. */
  active_at: number | null;
  /** When it stops verifying. */
  gone_at: number | null;
  killed_seq: number | null;
}

export interface ResourceGroupRow {
  subscription_id: string;
  /** The name without regard to case. */
  name_key: string;
  name: string;
  location: string;
  /** A JSON object of text values. */
  tags: string;
  created_at: number;
}

export interface CommunicationServiceRow {
  resource_id: ResourceId;
  subscription_id: string;
  group_key: string;
  name_key: string;
  name: string;
  location: string;
  data_location: string;
  tags: string;
  /** The managed identity in JSON, where one was set. */
  identity: string | null;
  /** What clients set and nothing acts on, in JSON. */
  properties: string;
  created_at: number;
  changed_at: number;
}

export interface TrustRow {
  id: TrustId;
  name: string;
  enabled: number;
  /** Raised by every change that takes something away. */
  version: number;
  /** See trusts/trust.ts, in JSON. */
  definition: string;
  /** Position of the last event that ended the tokens issued through it. */
  ended_seq: number;
  created_at: number;
  changed_at: number;
}

export interface TrustGrantRow {
  trust_id: TrustId;
  name: string;
  principal_kind: string;
  principal: string;
  access_right: string;
  /** A resource's id, or `*`. */
  resource: string;
}

export interface AssignmentRow {
  resource_id: ResourceId;
  id: AssignmentId;
  tenant_id: string;
  object_id: string;
  principal_type: string;
  /** A JSON list; null where none was given. */
  client_ids: string | null;
  /** Position up to which tokens issued by it are void: of the event that narrowed it, or the log's when it was made. */
  ended_seq: number;
  created_at: number;
}

/** An open store. */
export interface Database {
  readonly dialect: 'sqlite' | 'postgres';
  /** True when no other process can change the store while this one has it open. */
  readonly exclusive: boolean;
  /** The store's own clock, milliseconds since 1970, as an expression. */
  readonly clock: Sql;
  readonly rows: Rows;
  readonly writer: GroupWriter;
  /**
   * Copies the store, as it is at one instant, into an empty file, while it goes on being used. Undefined where the store
   * has tools of its own.
   * @param onStep called again and again while the file grows
   */
  readonly backUp?: (file: string, onStep: () => void) => Promise<void>;
  /** Tells a failing store from a failing statement. */
  isStoreFailure(cause: unknown): boolean;
  close(): Promise<void>;
}

/** The store cannot be opened, and what to do about it; one sentence for the person who starts the server. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
