import { oneOf, type SettingTable, setting, whole } from './setting.ts';

/** What callers may use. */
export const LIMITS = {
  signatureWindowMinutes: setting({
    variable: 'LINARITE_SIGNATURE_WINDOW_MINUTES',
    standard: '5',
    prose:
      'How far the date of a signed request may differ from the server clock, in either direction. 1 to 15 minutes.',
    read: whole(1, 15),
  }),
  requestsMost: setting({
    variable: 'LINARITE_REQUESTS_MOST',
    standard: '256',
    prose:
      'Largest number of requests that may be under way at the same time. More are refused with 503 and `Retry-After`. One resource alone can use at most half of them, so that others are served too. A request with a large body, or with long lists in it, counts as several.',
    read: whole(4, 100_000),
  }),
  urgentRequestsMost: setting({
    variable: 'LINARITE_URGENT_REQUESTS_MOST',
    standard: '1024',
    prose:
      'The same limit for requests that end access (revoke, delete, regenerate a key) or ask for health and metrics. It is separate: other requests do not count against it.',
    read: whole(4, 100_000),
  }),
  quotas: setting({
    variable: 'LINARITE_QUOTAS',
    standard: 'off',
    prose:
      '`acs`: the request quotas of the original apply to each resource, counted by each node alone, with 429 and `Retry-After`. In production mode they never apply to delete and revoke. `off`: no quotas.',
    read: oneOf('off', 'acs'),
  }),
} satisfies SettingTable;
