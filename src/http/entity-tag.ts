/** `*`, or a list of entity tags, weak or strong (RFC 9110, sections 8.8.3 and 13.1.2). */
const TAG = /\s*(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)/gy;

/**
 * Whether a client has this version already. Weak comparison: a cache may have put `W/` before a tag of ours.
 * @param etag with its quotation marks
 * @param ifNoneMatch the values of the header; what is no list of tags names none
 */
export function isKnown(etag: string, ifNoneMatch: readonly string[]): boolean {
  const value = ifNoneMatch.join(',');
  if (value.trim() === '*') return true;
  return [...value.matchAll(TAG)].some(([, tag]) => tag === etag);
}
