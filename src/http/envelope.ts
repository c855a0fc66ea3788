import type { ServiceError } from '../errors.ts';

/** Errors within errors: no client reads deeper, and no answer grows without bound. */
const MOST_LEVELS = 4;

/** One error as the protocol writes it; `details` and `innererror` have the same shape. */
interface ErrorObject {
  readonly code: string;
  readonly message: string;
  readonly target?: string;
  readonly details?: readonly ErrorObject[];
  readonly innererror?: ErrorObject;
}

/** What the client is told of an error: never its cause, its reason or its detail. Levels below the fourth are left out. */
export const envelope = (error: ServiceError): { readonly error: ErrorObject } => ({
  error: errorObject(error, MOST_LEVELS),
});

function errorObject(error: ServiceError, levels: number): ErrorObject {
  const { message, target, shape } = error;
  const own = { code: shape.code, message, ...(target !== undefined && { target }) };
  return levels === 1 ? own : { ...own, ...nested(error, levels - 1) };
}

const nested = ({ details, inner }: ServiceError, levels: number): Pick<ErrorObject, 'details' | 'innererror'> => ({
  ...(details && { details: details.map((one) => errorObject(one, levels)) }),
  ...(inner && { innererror: errorObject(inner, levels) }),
});
