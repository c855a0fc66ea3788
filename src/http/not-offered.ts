import type { ErrorName } from '../errors.ts';
import { pathOf } from './routes.ts';

/** What clients of the original look for and this server does not have: pattern of a path → the error that says so in words. */
const NOT_OFFERED: readonly (readonly [pattern: RegExp, error: ErrorName])[] = [
  [/\/providers\/Microsoft\.Communication\/emailServices(?:\/|$)/i, 'EmailNotOffered'],
];

/** Why there is no operation at a target. */
export const nothingAt = (target: string): ErrorName =>
  NOT_OFFERED.find(([pattern]) => pattern.test(pathOf(target)))?.[1] ?? 'OperationUnknown';
