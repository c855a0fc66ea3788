/** The release, as in package.json; a test compares the two. */
export const VERSION = '0.1.0';

/** When the release was made. A clock that is earlier is wrong. */
export const BUILT_AT_MS = Date.UTC(2026, 10, 22);
