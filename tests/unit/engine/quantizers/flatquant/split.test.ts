import { describe, expect, it } from 'vitest';
import { kroneckerSplit } from '../../../../../src-main/engine/quantizers/flatquant/split.ts';

describe('kroneckerSplit', () => {
  it.each([
    [1024, 32, 32],
    [3072, 48, 64],
    [2560, 40, 64],
    [9728, 76, 128],
    [1536, 32, 48],
    [8960, 80, 112],
    [128, 8, 16],
    [384, 16, 24],
  ])('splits %i into %i · %i', (size, n1, n2) => {
    expect(kroneckerSplit(size, 'a linear')).toEqual([n1, n2]);
  });

  it('finds a split for every size that has one', () => {
    for (let size = 1; size <= 600; size++) {
      let split: [number, number];
      try {
        split = kroneckerSplit(size, 'a linear');
      } catch {
        // Only a size whose larger divisor is too large in every pair: primes, and few others.
        expect(Array.from({ length: 25 }, (_, n) => n + 2).every((n) => size % n !== 0 || size / n > 512)).toBe(true);
        continue;
      }
      expect(split[0] * split[1]).toBe(size);
      expect(split[0]).toBeLessThanOrEqual(split[1]);
    }
  });

  it('leaves a prime to one dense transform, and refuses one that is too large by name', () => {
    expect(kroneckerSplit(97, 'a linear')).toEqual([1, 97]);
    expect(kroneckerSplit(50, 'a linear')).toEqual([5, 10]);
    expect(() => kroneckerSplit(1021, 'model.layers.0.mlp.down_proj')).toThrow(
      /model\.layers\.0\.mlp\.down_proj has 1021 inputs.*1 × 1021/,
    );
  });
});
