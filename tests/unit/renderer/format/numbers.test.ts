import { describe, expect, it } from 'vitest';
import {
  formatBits,
  formatBytes,
  formatDuration,
  formatMargin,
  formatPercent,
  formatPoints,
  formatRange,
  formatRate,
  formatScientific,
  formatShortCount,
} from '../../../../src-renderer/format/numbers.ts';

/** Thin spaces and the minus sign, so that expectations stay readable. */
const plain = (text: string) => text.replaceAll('\u202f', ' ').replaceAll('\u2212', '-');

describe('numbers as shown', () => {
  it('writes sizes in decimal units with three digits', () => {
    expect([0, 999, 1000, 1_064_960, 24e9, 3.2e12].map(formatBytes).map(plain)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '1.06 MB',
      '24.0 GB',
      '3.20 TB',
    ]);
    expect([861, 861_000, 1_064_960, 7.6e9].map(formatShortCount).map(plain)).toEqual(['861', '861 K', '1.06 M', '7.60 B']);
  });

  it('writes shares, differences and intervals', () => {
    expect(plain(formatPercent(0.8215))).toBe('82.2 %');
    expect([0.012, -0.034, 0.0001, -0.0001].map((value) => plain(formatPoints(value)))).toEqual(['+1.2', '-3.4', '0.0', '0.0']);
    expect(formatMargin({ value: 1, low: 0.94, high: 1 })).toBe('±6.0');
    expect(plain(formatRange({ low: -0.035, high: 0.026 }))).toBe('[-3.5, 2.6]');
  });

  it('writes durations in the unit that fits', () => {
    const shown = [800, 42_000, 200_000, 3_900_000, 183_600_000].map((value) => plain(formatDuration(value)));
    expect(shown).toEqual(['0.8 s', '42 s', '3 min 20 s', '1 h 05 min', '2 d 3 h']);
  });

  it('turns slow rates around', () => {
    expect(plain(formatRate(147.4, 'samples'))).toBe('147 samples/s');
    expect(plain(formatRate(0.25, 'layers'))).toBe('4.00 s/layer');
    expect(formatRate(0, 'layers')).toBe('');
  });

  it('keeps small errors legible', () => {
    expect([0, 0.0123, 3.4e-6, 12345].map(formatScientific).map(plain)).toEqual(['0', '0.0123', '3.40e-6', '1.23e+4']);
    expect([16, 2.5625].map(formatBits)).toEqual(['16', '2.56']);
  });
});
