/** The mean of measurements with its 95 % interval by Student's t. */
import type { Interval } from '#contract/comparison.ts';
import { studentQuantile95 } from './student-t.ts';

/** One value per independent unit. Null for fewer than two, which have no spread to judge by. */
export function meanInterval(values: readonly number[]): Interval | null {
  const count = values.length;
  if (count < 2) return null;
  const value = values.reduce((sum, each) => sum + each, 0) / count;
  const squares = values.reduce((sum, each) => sum + (each - value) ** 2, 0);
  const half = studentQuantile95(count - 1) * Math.sqrt(squares / (count - 1) / count);
  return { value, low: value - half, high: value + half };
}
