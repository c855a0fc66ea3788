/** A GUID in lower case, as a part of a larger pattern. */
export const GUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

const WHOLE = new RegExp(`^${GUID}$`, 'i');

/** Whether a text is a GUID, in either case. */
export const isGuid = (text: string): boolean => WHOLE.test(text);
