import { describe, expect, it } from 'vitest';
import type { ModelInspection } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import { checkRules, overridesOf, rulesOf } from '../../../../src-renderer/components/wizard/override-rules.ts';

const model = {
  name: 'Tiny',
  parameters: 500_000,
  sizeBytes: 1_000_000,
  layers: 2,
  hiddenSize: 128,
  intermediateSize: 96,
  attentionHeads: 4,
  keyValueHeads: 2,
  headDim: 32,
  schemeSizes: [],
} as unknown as ModelInspection;
const check = (pattern: string, scheme: string | null, method: 'gptq' | 'nf4' = 'gptq') =>
  checkRules([{ pattern, scheme }], [model], method)[0]!;

describe('rules of mixed precision', () => {
  it('count the linears that each decides, the first match first', () => {
    const rules = [
      { pattern: 'down_proj', scheme: 'W8' },
      { pattern: 'layers.0.*', scheme: null },
      { pattern: 'layers.0.mlp.down_proj', scheme: 'W4' },
    ];
    expect(checkRules(rules, [model], 'gptq')).toEqual([
      { modules: 2, problem: '' },
      { modules: 6, problem: '' },
      { modules: 0, problem: expect.stringContaining('already decide') },
    ]);
  });

  it('refuse what the model or the method cannot take, with the reason', () => {
    expect(check('', 'W4').problem).toContain('Enter a module name');
    expect(check('layers.7.*', 'W4').problem).toBe('Tiny has no linear of that name.');
    expect(check('down_proj', 'W4G64').problem).toContain('96 inputs');
    expect(check('q_proj', 'W4G64').problem).toBe('');
    expect(check('q_proj', 'four bits').problem).toContain('not a quantization scheme');
    expect(check('q_proj', 'NF4').problem).toContain('GPTQ needs an integer scheme');
    expect(check('q_proj', 'W4', 'nf4').problem).toContain('NF4 writes the scheme NF4 only');
    expect(check('q_proj', 'NF4:double', 'nf4').problem).toBe('');
    expect(check('q_proj', null, 'nf4').problem).toBe('');
  });

  it('cannot count without a model, and still read schemes', () => {
    expect(checkRules([{ pattern: 'q_proj', scheme: 'W4' }], [], 'gptq')).toEqual([{ modules: null, problem: '' }]);
    expect(checkRules([{ pattern: 'q_proj', scheme: 'W' }], [], 'gptq')[0]!.problem).not.toBe('');
  });

  it('become overrides and back', () => {
    const overrides = [
      { pattern: 'down_proj', scheme: parseScheme('W4G32:sym') },
      { pattern: 'layers.0.*', scheme: null },
    ];
    expect(overridesOf(rulesOf(overrides))).toEqual(overrides);
    expect(() => overridesOf([{ pattern: 'q_proj', scheme: 'W9' }])).toThrow(/not a quantization scheme/);
  });
});
