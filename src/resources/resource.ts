import type { KeyObject } from 'node:crypto';
import { randomUUID } from 'node:crypto';
import type { KeySlot, ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';

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
