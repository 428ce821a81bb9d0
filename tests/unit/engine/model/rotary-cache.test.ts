import { describe, expect, it } from 'vitest';
import { rotaryFrequencies } from '../../../../src-main/engine/model/rotary-cache.ts';
import { tinyConfigs } from '../rollouts/tiny-models.ts';

const config = { ...tinyConfigs['qwen3, grouped queries'], headDim: 128 };

describe('rotaryFrequencies', () => {
  it('are θ^(−2i/d) with d the head dimension', () => {
    const frequencies = rotaryFrequencies({ ...config, ropeTheta: 1_000_000 });
    expect(frequencies).toHaveLength(64);
    for (const [i, frequency] of frequencies.entries()) expect(frequency / 1_000_000 ** ((-2 * i) / 128)).toBeCloseTo(1, 6);
  });

  it('with Llama 3’s scaling keep short wavelengths, divide long ones by the factor and blend those between', () => {
    const ropeScaling = { factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 };
    const plain = rotaryFrequencies({ ...config, ropeTheta: 500_000 });
    const scaled = rotaryFrequencies({ ...config, ropeTheta: 500_000, ropeScaling });
    const seen = { kept: 0, blended: 0, divided: 0 };
    for (const [i, frequency] of plain.entries()) {
      const wavelength = (2 * Math.PI) / frequency;
      const blend = (8192 / wavelength - 1) / (4 - 1);
      const kind = wavelength > 8192 ? 'divided' : wavelength < 2048 ? 'kept' : 'blended';
      const expected = { kept: frequency, divided: frequency / 32, blended: (1 - blend) * (frequency / 32) + blend * frequency }[kind];
      expect(scaled[i]! / expected).toBeCloseTo(1, 6);
      seen[kind]++;
    }
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(2);
  });
});
