// Planted: every request and every write counts as one, whatever it costs, and long work never pauses.
import { Admission } from '../../../../src/http/admission.ts';
import { TimeSlice } from '../../../../src/lib/time-slice.ts';
import { GroupWriter } from '../../../../src/storage/writer.ts';

const { enter } = Admission.prototype;
Admission.prototype.enter = function (lane, holder) {
  return { ...enter.call(this, lane, holder), grow: () => undefined };
};
const { write } = GroupWriter.prototype;
GroupWriter.prototype.write = function (work, turn) {
  return write.call(this, work, turn) as ReturnType<typeof work>;
};
TimeSlice.prototype.pause = () => undefined;
