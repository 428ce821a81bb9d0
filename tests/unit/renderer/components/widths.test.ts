import { describe, expect, it } from 'vitest';
import { quantizationMethods } from '#contract/recipe.ts';
import { formatScheme, parseScheme } from '#contract/scheme.ts';
import { integerScheme, startingWidths, withActivations } from '../../../../src-renderer/components/wizard/widths.ts';
import { methodInfo } from '../../../../src-renderer/format/method-info.ts';

describe('widths of the scheme grid', () => {
  it('make the schemes that their written form names', () => {
    const floats = { symmetric: false, activationBits: null, kvBits: null };
    expect(formatScheme(integerScheme(3, 128, floats))).toBe('W3G128');
    expect(integerScheme(3, 128, floats)).toEqual(parseScheme('W3G128'));
    const fours = withActivations({ ...floats, kvBits: 4 }, 4);
    expect(integerScheme(4, null, fours)).toEqual(parseScheme('W4A4KV4'));
    expect(withActivations(fours, null).symmetric).toBe(false);
    expect(withActivations({ ...floats, symmetric: true }, 4).symmetric).toBe(true);
  });

  it('start from the chosen scheme, else from what the method is used with', () => {
    expect(startingWidths('gptq', [parseScheme('W3A8KV4:asym')])).toEqual({ symmetric: false, activationBits: 8, kvBits: 4 });
    expect(startingWidths('gptq', [])).toEqual({ symmetric: false, activationBits: null, kvBits: null });
    expect(startingWidths('quarot', [])).toEqual({ symmetric: true, activationBits: 4, kvBits: 4 });
    expect(startingWidths('int8', [parseScheme('INT8KV8')])).toEqual({ symmetric: true, activationBits: null, kvBits: 8 });
  });

  it('offer only schemes that can be written', () => {
    for (const method of quantizationMethods)
      for (const text of methodInfo[method].common) expect(formatScheme(parseScheme(text))).toBe(text);
  });
});
