/** What of a caller's own text may stand in a message to that caller: visible ASCII, cut. */
export const echo = (text: string, longest = 64): string => text.slice(0, longest).replace(/[^\x20-\x7e]/g, '?');
