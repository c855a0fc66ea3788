// Planted: a body may have any size, and all of them together too.
import { Admission } from '../../../../src/http/admission.ts';
import { Exchange } from '../../../../src/http/exchange.ts';

const { readBody } = Exchange.prototype;
Exchange.prototype.readBody = function () {
  return readBody.call(this, Number.POSITIVE_INFINITY);
};
Admission.prototype.openBody = () => ({ add: () => undefined, close: () => undefined });
