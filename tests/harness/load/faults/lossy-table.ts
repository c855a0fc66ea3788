// Planted: when a table grows, every thousandth entry is left behind.
import { PositionTable } from '../../../../src/revocation/position-table.ts';

const { raise } = PositionTable.prototype;
let raised = 0;
PositionTable.prototype.raise = function (key, position) {
  raised += 1;
  if (raised % 1000 !== 0) raise.call(this, key, position);
};
