/**
 * Chooses scale and zero point of one group of weights from its range, optionally after searching a shrunken range that
 * minimises Σ|error|^2.4 (GPTQ's "mse" option). Scales are rounded as they will be stored before zero point and codes follow.
 */
import type { QuantizationScheme } from '#contract/scheme.ts';
import { roundScales } from '../formats/packed-linear.ts';
import { type Grid, roundHalfEven } from './grid.ts';
import { weightNotFinite } from './magnitude.ts';
import { power24 } from './power.ts';

export interface GroupObserverSettings {
  bits: QuantizationScheme['bits'];
  grid: Grid;
  mseSearch: boolean;
  /** `float16` is what checkpoints store; `unrounded` serves comparisons with references that keep full scales. */
  scaleType: 'float16' | 'unrounded';
}

/** The search tries 1, .99, … .21 of the range (IST-DASLab/gptq: grid 100, maxshrink .8). */
const searchSteps = 80;
const searchGrid = 100;
/** Narrow ranges are floored here, as AWQ does. */
const narrowestRange = 1e-5;

/** Holds the result of the last `observe` in `scale` and `zero`, so that observing a million groups allocates nothing. */
export class GroupObserver {
  scale = 1;
  zero = 0;
  readonly maxCode: number;
  readonly #settings: GroupObserverSettings;
  readonly #rounded = new Float32Array(1);

  constructor(settings: GroupObserverSettings) {
    this.#settings = settings;
    this.maxCode = 2 ** settings.bits - 1;
  }

  /** Reads `values[start … start + count)`. Throws `numeric` when one of them is not finite. */
  observe(values: Float32Array | Float64Array, start: number, count: number): void {
    let low = values[start]!;
    let high = low;
    let finite = 0;
    for (let i = start; i < start + count; i++) {
      const value = values[i]!;
      if (value < low) low = value;
      if (value > high) high = value;
      finite += value * 0;
    }
    if (finite !== 0) throw weightNotFinite();
    if (this.#settings.grid !== 'affine-narrow') {
      low = Math.min(low, 0);
      high = Math.max(high, 0);
      if (low === high) {
        low = -1;
        high = 1;
      }
    }
    this.#setRange(low, high);
    if (this.#settings.mseSearch) this.#search(values, start, count, low, high);
  }

  #setRange(low: number, high: number): void {
    const { bits, grid } = this.#settings;
    const half = 2 ** (bits - 1);
    if (grid === 'signed' || grid === 'mirrored') {
      const largest = Math.max(-low, high);
      this.scale = this.#round(grid === 'signed' ? largest / (half - 1) : (2 * largest) / this.maxCode);
      this.zero = half;
      return;
    }
    const range = grid === 'affine-narrow' ? Math.max(high - low, narrowestRange) : high - low;
    this.scale = this.#round(range / this.maxCode);
    this.zero = Math.min(this.maxCode, Math.max(0, roundHalfEven(-low / this.scale)));
  }

  #round(scale: number): number {
    if (this.#settings.scaleType === 'unrounded') return scale;
    this.#rounded[0] = scale;
    return roundScales(this.#rounded)[0]!;
  }

  /** Leaves the best shrunken range; the first one wins a tie, so the full range is kept unless shrinking helps. */
  #search(values: Float32Array | Float64Array, start: number, count: number, low: number, high: number): void {
    let bestError = this.#error(values, start, count, Number.POSITIVE_INFINITY);
    let bestScale = this.scale;
    let bestZero = this.zero;
    for (let step = 1; step < searchSteps; step++) {
      const share = 1 - step / searchGrid;
      this.#setRange(share * low, share * high);
      const error = this.#error(values, start, count, bestError);
      if (error < bestError) {
        bestError = error;
        bestScale = this.scale;
        bestZero = this.zero;
      }
    }
    this.scale = bestScale;
    this.zero = bestZero;
  }

  /** Σ|error|^2.4; gives up as soon as the sum reaches `limit`. */
  #error(values: Float32Array | Float64Array, start: number, count: number, limit: number): number {
    const { scale, zero, maxCode } = this;
    const lowest = -zero;
    const highest = maxCode - zero;
    let sum = 0;
    for (let i = start; i < start + count; i++) {
      const value = values[i]!;
      const level = roundHalfEven(Math.fround(value / scale));
      const clipped = level < lowest ? lowest : level > highest ? highest : level;
      sum += power24(Math.abs(value - scale * clipped));
      if (sum >= limit) return sum;
    }
    return sum;
  }
}
