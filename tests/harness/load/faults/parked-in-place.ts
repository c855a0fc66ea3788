// Planted: a parked request keeps its place.
import { RequestScope } from '../../../../src/http/request-scope.ts';

RequestScope.prototype.park = (wait) => wait;
