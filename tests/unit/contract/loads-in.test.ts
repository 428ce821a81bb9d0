import { describe, expect, it } from 'vitest';
import { formatsOf, formatTitles, runtimesOf, runtimesText } from '#contract/loads-in.ts';
import { exportFormats, type QuantizationMethod, type QuantizeStage } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const stage = (method: QuantizationMethod, scheme: string, rest: object = {}) =>
  ({ type: 'quantize', method, scheme: parseScheme(scheme), options: {}, ...rest }) as QuantizeStage;
const names = (quantize: QuantizeStage) => runtimesOf(quantize).map(({ name }) => name);

describe('where a variant loads', () => {
  it('names runtimes of formats that hold the codes themselves', () => {
    expect(names(stage('gptq', 'W4G128'))).toEqual(expect.arrayContaining(['transformers', 'vLLM']));
    expect(names(stage('nf4', 'NF4:double'))).toContain('transformers');
    // GGUF and dequantized files hold other weights than those that were measured, or larger ones.
    expect(names(stage('gptq', 'W4G128'))).not.toContain('llama.cpp');
  });

  it('names none where activations, cache or transforms are Roundoff’s own', () => {
    for (const quantize of [
      stage('quarot', 'W4A4KV4'),
      stage('flatquant', 'W4'),
      stage('rtn', 'W4A4'),
      stage('gptq', 'W4KV4'),
      stage('int8', 'INT8'),
    ])
      expect(names(quantize)).toEqual([]);
  });

  it('counts the schemes of single modules', () => {
    const overrides = [{ pattern: 'down_proj', scheme: parseScheme('W8') }];
    const formats = (quantize: QuantizeStage) => formatsOf(quantize).flatMap(({ format, expressible }) => (expressible ? [format] : []));
    expect(formats(stage('gptq', 'W4G128'))).toContain('gptq');
    expect(formats(stage('gptq', 'W4G128', { overrides }))).not.toContain('gptq');
    expect(formats(stage('gptq', 'W4G128', { overrides }))).toContain('compressed-tensors');
    const mixed = { budgetBits: 4, candidates: [parseScheme('W4G128'), parseScheme('W8')], granularity: 'layer', calibration: {} };
    expect(formats(stage('gptq', 'W4G128', { mixed }))).not.toContain('gptq');
  });

  it('says a reason for every format that cannot, and has a title for all', () => {
    for (const { format, expressible, reason } of formatsOf(stage('gptq', 'W5'))) {
      expect(formatTitles[format]).toBeTruthy();
      expect(reason === null).toBe(expressible);
    }
    expect(formatsOf(stage('rtn', 'W4')).map(({ format }) => format)).toEqual([...exportFormats]);
  });

  it('writes runtimes with the formats they take', () => {
    const runtimes = [
      { name: 'transformers', formats: ['gptq' as const] },
      { name: 'vLLM', formats: ['gptq' as const] },
      { name: 'X', formats: ['awq' as const] },
    ];
    expect(runtimesText(runtimes)).toBe('transformers, vLLM (GPTQ); X (AWQ)');
  });
});
