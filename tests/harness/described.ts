import type { Route } from '../../src/http/route.ts';
import { describedPlanes } from '../../src/start/planes.ts';

/** Every route of a mode, to be read. None of the handlers can be called. */
export const describedRoutes = (mode: 'dev' | 'production'): Route[] =>
  describedPlanes(mode).flatMap(({ routes }) => routes);
