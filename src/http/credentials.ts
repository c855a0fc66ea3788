import { ServiceError } from '../errors.ts';
import type { WireRequest } from './wire.ts';

/**
 * The secret of a Bearer header (RFC 6750, section 2.1).
 * @param refusal what is thrown where there is none
 */
export function bearerToken(request: WireRequest, refusal: 'TokenRefused' | 'Denied' | 'InvalidAccessToken'): string {
  const [value, ...more] = request.header('authorization');
  if (value === undefined || value === '') throw new ServiceError(refusal, { reason: 'authorization.missing' });
  if (more.length > 0) throw new ServiceError(refusal, { reason: 'header.repeated', detail: 'authorization' });
  const match = /^Bearer ([\x21-\x7e]+)$/i.exec(value);
  if (!match?.[1]) throw new ServiceError(refusal, { reason: 'authorization.scheme' });
  return match[1];
}

/** Whether the caller comes with a token and not with a signature. */
export const isBearer = (request: WireRequest): boolean => /^Bearer /i.test(request.header('authorization')[0] ?? '');
