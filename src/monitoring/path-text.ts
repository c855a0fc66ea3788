import { isGuid } from '../lib/guid.ts';

/** Stands for a segment that is not shown. */
const UNSHOWN = '…';
const MOST_SEGMENTS = 16;

/** Ids of identities, of this service and of its neighbours: `8:acs:<guid>_<guid>`, `8:orgid:<guid>`. */
const IDENTITY_ID = /^8:[a-z-]{1,16}:[0-9a-f]{8}-[0-9a-f-]{1,72}(?:_[0-9a-f-]{1,72})?$/i;
/** What a person writes in a path and nobody uses as a secret, or nothing at the end. */
const WORD = /^(?:[.:]?[a-z][a-z-]{0,11}(?:\.[a-z]{1,5})?)?$/;

/**
 * The path of a request for the log. Where an id belongs, anything may stand, also a secret that somebody put there by
 * mistake: so of what the caller wrote, ids and plain words are shown and nothing else, and never a query.
 * @param path as sent, without the query
 * @param pattern of the route, `/identities/{id}/:issueAccessToken`; undefined where there is none: then any segment may be
 * a secret
 */
export function pathText(path: string, pattern: string | undefined): string {
  if (pattern === undefined) return textWithoutRoute(path);
  if (!pattern.includes('{')) return pattern;
  const sent = segmentsOf(path);
  const fixed = segmentsOf(pattern);
  const fits = sent.length === fixed.length;
  return `/${fixed.map((segment, at) => (segment.startsWith('{') && fits ? (idIn(sent[at]) ?? segment) : segment)).join('/')}`;
}

function textWithoutRoute(path: string): string {
  const segments = segmentsOf(path.slice(0, 1024));
  const shown = segments
    .slice(0, MOST_SEGMENTS)
    .map((segment) => idIn(segment) ?? (WORD.test(segment) ? segment : UNSHOWN));
  return `/${shown.join('/')}${segments.length > MOST_SEGMENTS ? `/${UNSHOWN}` : ''}`;
}

/** Doubled slashes are one, as for the router. */
const segmentsOf = (path: string): string[] => path.split(/\/+/).slice(1);

/** An id, decoded; undefined for everything else. */
function idIn(segment: string | undefined): string | undefined {
  if (segment === undefined || segment.length > 256) return undefined;
  const text = segment.replaceAll(/%3a/gi, ':'); // nothing else in an id is ever encoded
  return isGuid(text) || IDENTITY_ID.test(text) ? text : undefined;
}
