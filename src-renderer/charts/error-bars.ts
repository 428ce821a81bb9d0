/** A vertical 95 % interval with caps, as an ECharts custom series. Data items are `[x, low, high]`. */
import type { CustomSeriesOption } from 'echarts';

export interface ErrorBarsOptions {
  name: string;
  color: string;
  /** Sideways shift in pixels, so that bars at one place stay apart. */
  shift?: number;
  /** Places the bar from the band of a category axis: which series of how many. */
  band?: { index: number; count: number; barShare: number; maxBarPx: number };
}

export function errorBars(data: (string | number)[][], options: ErrorBarsOptions): CustomSeriesOption {
  return {
    type: 'custom',
    name: options.name,
    data,
    z: 5,
    silent: true,
    tooltip: { show: false },
    encode: { x: 0, y: [1, 2] },
    renderItem: (_params, api) => {
      const low = api.coord([api.value(0), api.value(1)]);
      const high = api.coord([api.value(0), api.value(2)]);
      const x = (low[0] ?? 0) + (options.shift ?? 0) + bandOffset(options.band, api.size?.([1, 0]));
      const cap = options.band ? 2 : 4;
      const style = { stroke: options.color, lineWidth: 1.25, opacity: 0.85, fill: undefined };
      const line = (x1: number, y1: number, x2: number, y2: number) => ({ type: 'line' as const, shape: { x1, y1, x2, y2 }, style });
      const [lowY, highY] = [low[1] ?? 0, high[1] ?? 0];
      return {
        type: 'group',
        children: [line(x, lowY, x, highY), line(x - cap, lowY, x + cap, lowY), line(x - cap, highY, x + cap, highY)],
      };
    },
  };
}

function bandOffset(band: ErrorBarsOptions['band'], size: number | number[] | undefined): number {
  if (!band) return 0;
  const bandPx = Array.isArray(size) ? (size[0] ?? 0) : (size ?? 0);
  const barPx = Math.min((bandPx * band.barShare) / band.count, band.maxBarPx);
  return barPx * (band.index + 0.5 - band.count / 2);
}
