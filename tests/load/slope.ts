/** The straight line through points that leaves the least squares: its rise per hour. */
export function slopePerHour(points: readonly { readonly hours: number; readonly mebibytes: number }[]): number {
  const mean = (of: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(({ hours }) => hours), mean(({ mebibytes }) => mebibytes)];
  const above = points.reduce((sum, { hours, mebibytes }) => sum + (hours - x) * (mebibytes - y), 0);
  const below = points.reduce((sum, { hours }) => sum + (hours - x) ** 2, 0);
  return below === 0 ? 0 : above / below;
}
