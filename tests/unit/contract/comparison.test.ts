import { describe, expect, it } from 'vitest';
import { nameAddition, seriesName } from '#contract/comparison.ts';

const variant = (name: string) => ({ name, method: 'gptq', scheme: 'W3G128' });

describe('what a name adds to method and scheme', () => {
  it.each([
    ['GPTQ W3G128', '', 'GPTQ'],
    ['gptq w3g128', '', 'GPTQ'],
    ['GPTQ W3G128, general text', 'general text', 'GPTQ, general text'],
    ['GPTQ W3G128 – act-order', 'act-order', 'GPTQ, act-order'],
    ['my favourite', 'my favourite', 'GPTQ'],
  ])('%s', (name, addition, series) => {
    expect(nameAddition(variant(name))).toBe(addition);
    expect(seriesName(variant(name))).toBe(series);
  });
});
