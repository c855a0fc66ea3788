import { ServiceError } from '../../errors.ts';
import { echo } from '../../lib/echo.ts';
import { SERVICE_TYPE } from './arm-shapes.ts';
import { type CommunicationService, nameKey } from './communication-service.ts';

/** What a list of resources is narrowed by, the names of the fields in lower case. */
export type ResourceFilter = ReadonlyMap<string, string>;

const FIELDS = ['resourceGroup', 'resourceType', 'name', 'location', 'tagName', 'tagValue'];
const TERM = /(\w{1,32}) eq '((?:[^']|'')*)'(?: and (?=\w)|$)/giy;

/**
 * Reads `$filter` as far as clients use it on lists of resources: `name eq 'x' and location eq 'y'`.
 * @throws ServiceError `ResourceFilterInvalid`
 */
export function resourceFilter(text: string | undefined): ResourceFilter {
  const filter = new Map<string, string>();
  if (!text) return filter; // az sends an empty one
  let end = 0;
  for (const [term, field = '', value = ''] of text.matchAll(TERM)) {
    const key = field.toLowerCase();
    if (!FIELDS.some((known) => known.toLowerCase() === key)) break;
    filter.set(key, value.replaceAll("''", "'"));
    end += term.length;
  }
  if (end === 0 || end < text.length)
    throw new ServiceError('ResourceFilterInvalid', { values: { filter: echo(text), names: FIELDS.join(', ') } });
  return filter;
}

/** Names, types and places are the same when they differ in case only; values of tags are not. */
export function fitsFilter(service: CommunicationService, filter: ResourceFilter): boolean {
  const same = (field: string, value: string): boolean => nameKey(filter.get(field) ?? value) === nameKey(value);
  return (
    same('resourcegroup', service.group) &&
    same('resourcetype', SERVICE_TYPE) &&
    same('name', service.name) &&
    same('location', service.location) &&
    fitsTag(Object.entries(service.tags), filter)
  );
}

function fitsTag(tags: readonly [string, string][], filter: ResourceFilter): boolean {
  const [name, value] = [filter.get('tagname'), filter.get('tagvalue')];
  if (name === undefined && value === undefined) return true;
  return tags.some(([key, text]) => nameKey(name ?? key) === nameKey(key) && (value === undefined || value === text));
}
