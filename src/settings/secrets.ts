import { SettingsError, type SettingTable, setting, text, type ValuesOf } from './setting.ts';

/** The keys that protect the store and the server. */
export const SECRETS = {
  kek: setting({
    variable: 'LINARITE_KEK',
    standard: undefined,
    prose:
      'Key-encryption key, 32 bytes in base64. To change it, give the new key, a space and the former key. Production mode needs this setting or one of the next two.',
    secret: true,
    read: text,
  }),
  kekFile: setting({
    variable: 'LINARITE_KEK_FILE',
    standard: undefined,
    prose:
      'File with the key-encryption key in base64, readable by its owner only. To change the key, put the new key on the first line and the former key on the second.',
    read: text,
  }),
  kekCommand: setting({
    variable: 'LINARITE_KEK_COMMAND',
    standard: undefined,
    prose:
      'Program that prints what LINARITE_KEK_FILE would contain, with its arguments, separated by spaces. It runs without a shell and must finish within 10 seconds. Its output is never logged.',
    read: text,
  }),
  operatorKey: setting({
    variable: 'LINARITE_OPERATOR_KEY',
    standard: undefined,
    prose:
      'Operator key, at least 32 characters. Not set: the first start makes one, in the file `operator.key` of the data folder.',
    secret: true,
    read: (value) => {
      if (!/^[\x21-\x7e]{32,512}$/.test(value))
        throw new SettingsError('must have 32 to 512 printable ASCII characters');
      return value;
    },
  }),
} satisfies SettingTable;

/** @throws SettingsError when the key-encryption key is given in two ways */
export function requireOneKek({ kek, kekFile, kekCommand }: ValuesOf<typeof SECRETS>): void {
  if ([kek, kekFile, kekCommand].filter((given) => given !== undefined).length > 1)
    throw new SettingsError('LINARITE_KEK, LINARITE_KEK_FILE and LINARITE_KEK_COMMAND exclude each other');
}
