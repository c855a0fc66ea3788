// Planted: every place that was taken leaves a kilobyte behind.
import { Admission } from '../../../../src/http/admission.ts';

const { enter } = Admission.prototype;
const kept: string[] = [];
Admission.prototype.enter = function (lane, holder) {
  kept.push(String(kept.length).repeat(1000).slice(0, 1000).toUpperCase());
  return enter.call(this, lane, holder);
};
