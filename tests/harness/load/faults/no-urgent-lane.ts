// Planted: what ends access waits in line with everything else.
import { Admission } from '../../../../src/http/admission.ts';

const { enter } = Admission.prototype;
Admission.prototype.enter = function (_lane, holder) {
  return enter.call(this, 'usual', holder);
};
