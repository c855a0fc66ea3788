import { oneOf, SettingsError, type SettingTable, setting, type ValuesOf, whole } from './setting.ts';

/** Access tokens, and the keys that sign them. */
export const TOKENS = {
  tokenMinutesShortest: setting({
    variable: 'LINARITE_TOKEN_MINUTES_SHORTEST',
    standard: '60',
    prose: 'Shortest token lifetime that a caller may ask for, in minutes.',
    read: whole(1, 10080),
  }),
  tokenMinutesLongest: setting({
    variable: 'LINARITE_TOKEN_MINUTES_LONGEST',
    standard: '1440',
    prose: 'Longest token lifetime that a caller may ask for, in minutes.',
    read: whole(1, 10080),
  }),
  tokenMinutesUsual: setting({
    variable: 'LINARITE_TOKEN_MINUTES',
    standard: '1440',
    prose: 'Token lifetime when the caller does not ask for one, in minutes.',
    read: whole(1, 10080),
  }),
  signingAlgorithm: setting({
    variable: 'LINARITE_SIGNING_ALGORITHM',
    standard: 'RS256',
    prose:
      '`RS256` is the algorithm of the original. `ES256` signs about ten times faster. A change takes effect at the next key rotation.',
    read: oneOf('RS256', 'ES256'),
  }),
  signingRsaBits: setting({
    variable: 'LINARITE_SIGNING_RSA_BITS',
    standard: '2048',
    prose: 'Size of RSA signing keys. `3072` gives 128-bit strength and costs more than twice as much.',
    read: (value) => Number(oneOf('2048', '3072', '4096')(value)),
  }),
  signingKeyDays: setting({
    variable: 'LINARITE_SIGNING_KEY_DAYS',
    standard: '30',
    prose: 'Number of days a signing key is used before the next one replaces it.',
    read: whole(2, 365),
  }),
} satisfies SettingTable;

/** @throws SettingsError when the usual lifetime is not between the shortest and the longest */
export function requireLifetimeOrder(values: ValuesOf<typeof TOKENS>): void {
  const { tokenMinutesShortest: least, tokenMinutesUsual: usual, tokenMinutesLongest: most } = values;
  if (least > usual || usual > most)
    throw new SettingsError('LINARITE_TOKEN_MINUTES must be between LINARITE_TOKEN_MINUTES_SHORTEST and …_LONGEST');
}
