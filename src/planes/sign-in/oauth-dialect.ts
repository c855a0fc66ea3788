import type { ServiceError } from '../../errors.ts';
import type { Dialect } from '../../http/dialect.ts';
import type { Reply } from '../../http/route.ts';
import { maybe, object, text } from '../../http/schema.ts';
import { serviceDialect } from '../../http/service-dialect.ts';
import type { WireRequest } from '../../http/wire.ts';

/** Errors in the format of OAuth (RFC 6749, section 5.2). */
export const oauthDialect: Dialect = {
  ...serviceDialect,
  refusal,
  errors: {
    name: 'OAuthError',
    description:
      'An error in the format of OAuth (RFC 6749, section 5.2). Errors that are found before the route is known come in the usual envelope.',
    schemas: { OAuthError: object({ error: text(), error_description: maybe(text()) }).json },
  },
  repeatedParameters: 'refused', // RFC 6749, section 3.1
};

/** A caller that tried the Authorization header in vain is told which scheme there is. */
function refusal(error: ServiceError, request: WireRequest | undefined): Reply {
  const { status, oauth = status >= 500 ? 'server_error' : 'invalid_request' } = error.shape;
  const challenged = status === 401 && (request?.header('authorization').length ?? 0) > 0;
  return {
    status,
    body: { error: oauth, error_description: error.message },
    contentType: 'application/json',
    ...(challenged && { headers: { 'WWW-Authenticate': 'Basic realm="Linarite"' } }),
  };
}
