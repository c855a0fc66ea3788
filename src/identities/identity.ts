import { randomBytes } from 'node:crypto';
import type { IdentityId, ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import { GUID } from '../lib/guid.ts';
import { parseInstant } from '../lib/instants.ts';

/** A user of a resource: an id, and nothing personal. */
export interface Identity {
  readonly id: IdentityId;
  readonly resourceId: ResourceId;
  /** A name of the caller's choosing, unique in the resource. */
  readonly customId: string | undefined;
  readonly createdAtMs: number;
  readonly lastTokenIssuedAtMs: number | undefined;
}

/** Ids of resources: `8:acs:<resourceId>_<suffix>`; users of Teams and Entra have two or three segments more. */
const OF_RESOURCE = new RegExp(`^8:(?:acs|gcch-acs|dod-acs):(${GUID})(?:_[0-9A-Za-z-]{1,64}){1,3}$`);
/** Ids that name no resource: Teams users, and users from before resources had GUIDs. */
const OF_NONE = new RegExp(`^8:(?:orgid:${GUID}|spool:[0-9A-Za-z._-]{1,128})$`);

/**
 * Checks an id and that it belongs to the caller's resource, as far as the id itself tells.
 * @throws ServiceError `IdentityIdMalformed`, or `IdentityNotOwned` for an id of another resource
 */
export function identityId(text: string, owner: ResourceId): IdentityId {
  const resourceId = OF_RESOURCE.exec(text)?.[1];
  if (resourceId !== undefined ? resourceId !== owner : !OF_NONE.test(text)) {
    throw new ServiceError(resourceId === undefined ? 'IdentityIdMalformed' : 'IdentityNotOwned');
  }
  return text as IdentityId;
}

/** Whether an absent id could never have been this resource's own. */
export const namesNoResource = (id: IdentityId): boolean => OF_NONE.test(id);

/** Checks a custom id. @throws ServiceError `CustomIdOutOfRange` */
export function customId(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (text.length < 1 || text.length > 256 || /[\u0000-\u001f\u007f-\u009f]/.test(text) || !text.isWellFormed()) {
    throw new ServiceError('CustomIdOutOfRange');
  }
  return text;
}

const PAGE_SIZE = { usual: 100, most: 1000 };

/** Reads how many identities a page may have. @throws ServiceError `PageSizeOutOfRange` */
export function pageSize(text: string | undefined): number {
  if (text === undefined) return PAGE_SIZE.usual;
  const size = Number(text);
  if (!/^\d{1,4}$/.test(text) || size < 1 || size > PAGE_SIZE.most)
    throw new ServiceError('PageSizeOutOfRange', { values: { most: PAGE_SIZE.most } });
  return size;
}

/** Reads where a page begins: after the last id of the page before. @throws ServiceError `ContinuationInvalid` */
export function pageStart(text: string | undefined): IdentityId | undefined {
  if (text === undefined) return undefined;
  if (!/^8:[\w:.-]{1,250}$/.test(text)) throw new ServiceError('ContinuationInvalid');
  return text as IdentityId;
}

/** An identity as it is written down, for those who have it already elsewhere. */
export interface GivenIdentity {
  readonly id: string;
  readonly customId?: string | null | undefined;
  /** RFC 3339. */
  readonly createdAt?: string | null | undefined;
}

/**
 * Checks an identity that is to keep its id. Without a time of its own it was made when its id says so.
 * @throws ServiceError `IdentityIdMalformed`, `IdentityNotOwned`, `IdentityNotImportable`, `CustomIdOutOfRange`,
 * `CreatedAtInvalid`
 */
export function importedIdentity(
  given: GivenIdentity,
  owner: ResourceId,
  nowMs: number,
): Pick<Identity, 'id' | 'customId' | 'createdAtMs'> {
  const id = identityId(given.id, owner);
  if (namesNoResource(id)) throw new ServiceError('IdentityNotImportable');
  return {
    id,
    customId: typeof given.customId === 'string' ? customId(given.customId) : undefined,
    createdAtMs:
      typeof given.createdAt === 'string' ? pastInstant(given.createdAt, nowMs) : (madeAt(id, nowMs) ?? nowMs),
  };
}

/** Clocks of others may be ahead of ours. */
const AHEAD_MS = 300_000;

function pastInstant(text: string, nowMs: number): number {
  const at = parseInstant(text);
  if (at === undefined || at < 0 || at > nowMs + AHEAD_MS) throw new ServiceError('CreatedAtInvalid');
  return at;
}

const EPOCH_MS = Date.UTC(2020, 0, 1, 8);
const SUFFIX = /^[^_]+_([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** When an id of the original's layout was made; undefined for an id of another layout, or a time yet to come. */
function madeAt(id: IdentityId, nowMs: number): number | undefined {
  const [, ...parts] = SUFFIX.exec(id) ?? [];
  const at = EPOCH_MS + Number.parseInt(parts.join(''), 16);
  return at <= nowMs + AHEAD_MS ? at : undefined;
}

/**
 * Makes ids in the original's layout: 64 bits of milliseconds since 2020-01-01T08:00Z, three random bytes, three bytes
 * that stay the same for this process, two of a counter. They sort by age. They are names, not secrets.
 */
export function identityIdMaker(
  process = randomBytes(3),
  start = randomBytes(2).readUInt16BE(),
): (resourceId: ResourceId, nowMs: number) => IdentityId {
  let counter = start;
  let pool = randomBytes(768);
  let used = 0;
  return (resourceId, nowMs) => {
    if (used === pool.length) [pool, used] = [randomBytes(768), 0]; // one call to the generator for 256 ids
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64BE(BigInt(Math.max(0, nowMs - EPOCH_MS)));
    pool.copy(bytes, 8, used, used + 3);
    used += 3;
    process.copy(bytes, 11);
    counter = (counter + 1) % 0x10000;
    bytes.writeUInt16BE(counter, 14);
    const hex = bytes.toString('hex');
    const suffix = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    return `8:acs:${resourceId}_${suffix}` as IdentityId;
  };
}
