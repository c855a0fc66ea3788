import type { KeyObject } from 'node:crypto';
import { randomUUID } from 'node:crypto';
import type { KeySlot, ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import { fromBase64, sameBytes } from '../lib/bytes.ts';
import { isGuid } from '../lib/guid.ts';

/** An access key, ready to verify with. */
export interface AccessKey {
  readonly slot: KeySlot;
  /** Counts regenerations of the slot, from 1. */
  readonly version: number;
  readonly secret: KeyObject;
  /** True for the published development key. */
  readonly wellKnown: boolean;
}

/** One tenant: its own endpoint, two access keys, and everything that belongs to it. */
export interface Resource {
  readonly id: ResourceId;
  readonly name: string;
  /** `resourceLocation` in tokens, such as `unitedstates`. */
  readonly location: string;
  /** `rgn` in tokens, such as `amer`. */
  readonly region: string;
  readonly createdAtMs: number;
  /** True when access keys open nothing (`disableLocalAuth`). */
  readonly keysDisabled: boolean;
}

/**
 * Checks a name against ARM's rule for communication services; case does not count, so it goes.
 * @throws ServiceError `ResourceNameInvalid`
 */
export function resourceName(text: string): string {
  if (!/^[-\w]{1,63}$/.test(text)) throw new ServiceError('ResourceNameInvalid');
  return text.toLowerCase();
}

/** Reads the GUID of a resource, in either case. @throws ServiceError `ResourceIdInvalid` */
export function resourceId(text: string): ResourceId {
  if (!isGuid(text)) throw new ServiceError('ResourceIdInvalid');
  return text.toLowerCase() as ResourceId;
}

export const newResourceId = (): ResourceId => randomUUID() as ResourceId;

/** Region names as the original's tokens pair them with locations; the first row is the default. */
export const REGIONS: Readonly<Record<string, string>> = {
  unitedstates: 'amer',
  canada: 'ca',
  europe: 'emea',
  uk: 'uk',
  france: 'fr',
  germany: 'de',
  switzerland: 'ch',
  norway: 'no',
  india: 'in',
  australia: 'au',
  japan: 'jp',
  korea: 'kr',
  asiapacific: 'apac',
  africa: 'za',
  brazil: 'br',
  uae: 'ae',
};

/** The resource that dev mode starts with: always the same GUID and key, so that a connection string can stand in a repository. */
export const DEV_RESOURCE = {
  id: '5e1f0057-ed00-4acc-8000-000000007417' as ResourceId,
  name: 'dev',
  location: 'unitedstates',
  /** Published, hence worth nothing as a secret: it works on loopback connections only (http/hmac.ts). */
  primaryKey: 'u+mOYqPsJZ0G1ilWANj4OrQXRxtjeRWpwXsoWVDRc86nzXU4jO5UiKrCGdy5n/5AwT7aAXniUhkhOnOZCFLTIg==',
} as const;

const WELL_KNOWN = Buffer.from(DEV_RESOURCE.primaryKey, 'base64');

/** Whether a key is the published one. */
export const isWellKnown = (key: Buffer): boolean => sameBytes(key, WELL_KNOWN);

/** The original's keys have 64 bytes; those made since the end of 2024 have 63, the last of which are a mark for scanners. */
const KEY_BYTES = { fewest: 32, most: 128 };

/**
 * Reads an access key that was made elsewhere.
 * @param field what it is called in the complaint
 * @throws ServiceError `AccessKeyInvalid`
 */
export function importedKey(text: string, field: string): Buffer {
  const key = fromBase64(text);
  const { fewest, most } = KEY_BYTES;
  if (!key || key.length < fewest || key.length > most)
    throw keyInvalid(field, `An access key is ${fewest} to ${most} bytes in base64`);
  if (isWellKnown(key)) throw keyInvalid(field, 'This is the published development key, which everybody knows');
  return key;
}

export const keyInvalid = (field: string, why: string): ServiceError =>
  new ServiceError('AccessKeyInvalid', { target: field, values: { field, why } });
