import { hash } from 'node:crypto';

/** A GUID in lower case, as a part of a larger pattern. */
export const GUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

const WHOLE = new RegExp(`^${GUID}$`, 'i');

/** Whether a text is a GUID, in either case. */
export const isGuid = (text: string): boolean => WHOLE.test(text);

/** The GUID that stands for a text, always the same (RFC 9562, section 5.8). */
export function guidFor(text: string): string {
  const bytes = hash('sha256', text, 'buffer').subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
