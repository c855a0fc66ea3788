export interface Point {
  readonly hours: number;
  readonly mebibytes: number;
}

/**
 * The straight line through points that leaves the least squares.
 * @returns its rise per hour, and the standard error of that
 */
export function slopePerHour(points: readonly Point[]): { rise: number; error: number } {
  const mean = (of: (point: Point) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const sumOf = (of: (point: Point) => number): number => points.reduce((sum, point) => sum + of(point), 0);
  const [x, y] = [mean(({ hours }) => hours), mean(({ mebibytes }) => mebibytes)];
  const spread = sumOf(({ hours }) => (hours - x) ** 2);
  if (spread === 0 || points.length < 3) return { rise: 0, error: Number.POSITIVE_INFINITY };
  const rise = sumOf(({ hours, mebibytes }) => (hours - x) * (mebibytes - y)) / spread;
  const left = sumOf(({ hours, mebibytes }) => (mebibytes - y - rise * (hours - x)) ** 2);
  return { rise, error: Math.sqrt(left / (points.length - 2) / spread) };
}
