import { describe, expect, it } from 'vitest';
import { type QuantizeStage, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { isPlain } from '../../../../src-main/engine/model/layer-activations.ts';
import { activationsFor, matches, schemeOf } from '../../../../src-main/engine/quantizers/scheme-map.ts';

const stageOf = (scheme: string, overrides: [string, string | null][] = [], more: object = {}): QuantizeStage =>
  quantizeStageSchema.parse({
    type: 'quantize',
    method: 'rtn',
    scheme: parseScheme(scheme),
    overrides: overrides.map(([pattern, own]) => ({ pattern, scheme: own && parseScheme(own) })),
    ...more,
  });

describe('matches', () => {
  const module = 'model.layers.10.mlp.down_proj';
  it.each([
    [module, true],
    ['layers.10.mlp.down_proj', true],
    ['down_proj', true],
    ['mlp.*', true],
    ['*.down_proj', true],
    ['*', true],
    ['layers.*.mlp.*', true],
    ['layers.1*', true],
    ['model.layers.10.*_proj', true],
    // A part of a name is no match: neither a layer's last digit, nor the end of a word, nor the beginning of the name.
    ['0.mlp.down_proj', false],
    ['layers.1', false],
    ['layers.1.mlp.down_proj', false],
    ['own_proj', false],
    ['layers.10.mlp', false],
    ['model.layers.10', false],
    ['up_proj', false],
    // Only * is special.
    ['layers.10.mlp.down.proj', false],
    ['layers.10xmlp.down_proj', false],
    ['layers.1[0-9].mlp.down_proj', false],
    ['layers.(10|11).*', false],
    ['', false],
  ])('%s: %s', (pattern, expected) => {
    expect(matches(pattern, module)).toBe(expected);
  });

  it('answers at once whatever the pattern is', () => {
    expect(matches(`${'*'.repeat(5000)}x`, module)).toBe(false);
  });
});

describe('schemeOf', () => {
  const stage = stageOf('W4G16', [
    ['layers.0.*', 'W8'],
    ['*.down_proj', null],
    ['layers.0.mlp.down_proj', 'W2'],
  ]);

  it('takes the first override that matches, and the stage’s scheme without one', () => {
    expect(schemeOf(stage, 'model.layers.1.mlp.up_proj')).toBe(stage.scheme);
    expect(schemeOf(stage, 'model.layers.0.mlp.up_proj')).toEqual(parseScheme('W8'));
    expect(schemeOf(stage, 'model.layers.0.mlp.down_proj')).toEqual(parseScheme('W8'));
  });

  it('gives null for what stays unquantized', () => {
    expect(schemeOf(stage, 'model.layers.1.mlp.down_proj')).toBeNull();
  });

  it('needs no overrides', () => {
    expect(schemeOf({ scheme: stage.scheme }, 'model.layers.3.self_attn.q_proj')).toBe(stage.scheme);
  });
});

describe('activationsFor', () => {
  const tokens = (bits: number, clip = 1) => ({ bits, symmetric: false, clipHigh: clip, clipLow: clip, outlierThreshold: null });

  it('is plain for weights alone', () => {
    expect(isPlain(activationsFor(stageOf('W3G16'), 0))).toBe(true);
  });

  it('quantizes every input, keys and values, with the stage’s clips', () => {
    const activations = activationsFor(stageOf('W4A4KV3', [], { activationClip: 0.9, kvClip: 0.95 }), 0);
    const input = { transform: null, quantizer: tokens(4, 0.9) };
    expect(activations).toEqual({
      attentionInput: input,
      attentionOutput: input,
      mlpInput: input,
      mlpOutput: input,
      keys: { transform: null, queryTransform: null, quantizer: tokens(3, 0.95) },
      values: { quantizer: tokens(3, 0.95) },
    });
  });

  it('follows the overrides of each module, in their layer only', () => {
    const stage = stageOf('W4A4KV4', [
      ['layers.0.mlp.down_proj', 'W4A8'],
      ['layers.0.self_attn.o_proj', null],
      ['layers.0.self_attn.v_proj', 'W4A4'],
      ['layers.0.self_attn.k_proj', 'W4A4KV2'],
    ]);
    const [first, second] = [activationsFor(stage, 0), activationsFor(stage, 1)];
    expect(first.mlpOutput.quantizer).toEqual(tokens(8));
    expect(first.attentionOutput.quantizer).toBeNull();
    expect(first.keys.quantizer).toEqual(tokens(2));
    expect(first.values.quantizer).toBeNull();
    expect(second).toEqual(activationsFor(stageOf('W4A4KV4'), 1));
  });

  it('leaves outliers of LLM.int8() in float', () => {
    const stage = quantizeStageSchema.parse({
      type: 'quantize',
      method: 'int8',
      scheme: parseScheme('INT8KV8'),
      options: { outlierThreshold: 4 },
    });
    const { mlpInput, keys } = activationsFor(stage, 0);
    expect(mlpInput.quantizer).toEqual({ bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: 4 });
    expect(keys.quantizer).toEqual(tokens(8));
  });
});
