/**
 * Axis scales and ticks for the report's charts.
 */

/** Pixels a size label needs. */
const tickSpacing = 64;

export interface Scale {
  /** Position in pixels of a value. */
  at(value: number): number;
  ticks: number[];
}

export interface Range {
  from: number;
  to: number;
}

/** A linear percentage axis. The domain is widened to whole tenths and begins at 0 unless all values are above 40 %. */
export function percentScale(values: readonly number[], pixels: Range): Scale {
  const highest = Math.max(...values);
  const lowest = Math.min(...values);
  const high = Math.min(1, Math.ceil(highest * 10 + 0.2) / 10);
  const low = lowest > 0.4 ? Math.floor(lowest * 10 - 0.2) / 10 : 0;
  const step = high - low > 0.5 ? 0.2 : 0.1;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9; tick += step) ticks.push(Math.round(tick * 10) / 10);
  return { at: (value) => pixels.from + ((value - low) / (high - low)) * (pixels.to - pixels.from), ticks };
}

/** A logarithmic axis with ticks at 1, 2 and 5 times powers of ten, or at finer steps when few of these fall inside. */
export function logScale(values: readonly number[], pixels: Range): Scale {
  const lowest = Math.min(...values) / 1.12;
  const highest = Math.max(...values) * 1.12;
  const at = (value: number) => pixels.from + (Math.log(value / lowest) / Math.log(highest / lowest)) * (pixels.to - pixels.from);
  const ticksOf = (steps: readonly number[]) => {
    const ticks: number[] = [];
    for (let exponent = Math.floor(Math.log10(lowest)); 10 ** exponent <= highest; exponent++) {
      for (const step of steps) ticks.push(step * 10 ** exponent);
    }
    return ticks.filter((tick) => tick >= lowest && tick <= highest);
  };
  const coarse = ticksOf([1, 2, 5]);
  const ticks = coarse.length >= 3 ? coarse : ticksOf([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]);
  return { at, ticks: spaced(ticks, at) };
}

/** Leaves out ticks whose labels would touch the one before. */
function spaced(ticks: readonly number[], at: (value: number) => number): number[] {
  let last = Number.NEGATIVE_INFINITY;
  return ticks.filter((tick) => {
    if (at(tick) - last < tickSpacing) return false;
    last = at(tick);
    return true;
  });
}

/** Pixel positions with one decimal keep the file small. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/**
 * Puts labels centred at `x` into as few tiers as needed so that none overlap; too many labels share the last tier.
 * Widths are estimated from the number of characters.
 */
export function assignTiers(labels: readonly { x: number; text: string }[], characterWidth: number, tiers: number): number[] {
  const ends = Array.from({ length: tiers }, () => Number.NEGATIVE_INFINITY);
  const order = labels.map((_, index) => index).sort((a, b) => labels[a]!.x - labels[b]!.x);
  const result = labels.map(() => 0);
  for (const index of order) {
    const { x, text } = labels[index]!;
    const half = (text.length * characterWidth) / 2 + 4;
    const free = ends.findIndex((end) => x - half >= end);
    const tier = free >= 0 ? free : tiers - 1;
    ends[tier] = x + half;
    result[index] = tier;
  }
  return result;
}
