import { describe, expect, it } from 'vitest';
import { describeLoading, exportProblems, exportWarnings, loadability, stageFacts } from '#contract/loadability.ts';
import { type ExportFormat, exportFormats, quantizeStageSchema, type Stage } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';

const expressible = (method: 'rtn' | 'gptq' | 'awq' | 'nf4' | 'int8' | 'quarot' | 'flatquant', scheme: string) =>
  loadability(method, parseScheme(scheme))
    .filter((entry) => entry.expressible)
    .map((entry) => entry.format);
const entry = (scheme: string, format: ExportFormat) => loadability('gptq', parseScheme(scheme)).find((item) => item.format === format)!;
const dense: ExportFormat[] = ['roundoff', 'dequantized'];
const gguf: ExportFormat[] = ['gguf-f16', 'gguf-q8_0', 'gguf-q4_0'];

describe('loadability', () => {
  it('has one entry per export format, with a reason or with runtimes', () => {
    for (const scheme of ['W4G128', 'W3G128', 'NF4', 'INT8', 'W4A4KV4']) {
      const matrix = loadability('rtn', parseScheme(scheme));
      expect(matrix.map(({ format }) => format)).toEqual([...exportFormats]);
      for (const item of matrix) expect(item.expressible).toBe(item.reason === null && item.runtimes.length > 0);
    }
  });

  it('lists what expresses a scheme', () => {
    expect(expressible('gptq', 'W4G128')).toEqual([...dense, 'gptq', 'gptq-v2', 'awq', 'compressed-tensors', ...gguf]);
    expect(expressible('gptq', 'W3G128')).toEqual([...dense, 'gptq', 'gptq-v2', 'compressed-tensors', ...gguf]);
    expect(expressible('rtn', 'W4')).toEqual([...dense, 'gptq', 'gptq-v2', 'compressed-tensors', ...gguf]);
    expect(expressible('rtn', 'W5G64')).toEqual([...dense, 'compressed-tensors', ...gguf]);
    expect(expressible('nf4', 'NF4:double')).toEqual([...dense, 'bitsandbytes', ...gguf]);
  });

  it('keeps what happens to activations in Roundoff, saying why', () => {
    for (const [method, scheme] of [
      ['int8', 'INT8'],
      ['quarot', 'W4A4KV4'],
      ['flatquant', 'W4A4KV4'],
      ['quarot', 'W4'],
      ['rtn', 'W4KV4'],
      ['rtn', 'W8A8'],
    ] as const)
      expect(expressible(method, scheme)).toEqual(['roundoff']);
    expect(loadability('quarot', parseScheme('W4A4KV4'))[1]!.reason).toMatch(/QuaRot transforms activations.*export it as "roundoff"/);
  });

  it('knows which kernels runtimes have', () => {
    expect(entry('W4G128:sym', 'gptq').note).toContain('Marlin');
    expect(entry('W3G128', 'gptq').note).toMatch(/3-bit asymmetric.*generic float16 kernel/);
    expect(entry('W3G128', 'gptq').note).toMatch(/zero point is 0 needs gptq-v2/);
    expect(entry('W3G128', 'compressed-tensors').runtimes).toEqual(['transformers']);
    expect(entry('W8G128:sym', 'compressed-tensors').runtimes).toContain('vLLM');
    expect(entry('W4G128', 'gguf-q4_0').note).toMatch(/quantized again to Q4_0, which changes results/);
  });

  it('holds mixed precision against formats of one scheme', () => {
    const matrix = loadability('gptq', parseScheme('W3G128'), [parseScheme('W4G128'), null]);
    const able = matrix.filter((item) => item.expressible).map((item) => item.format);
    expect(able).toEqual([...dense, 'compressed-tensors', ...gguf]);
    expect(matrix.find((item) => item.format === 'gptq')!.reason).toMatch(/mixed precision; choose "compressed-tensors"/);
  });

  it('says in one line where an export loads', () => {
    expect(describeLoading(entry('W4G128:sym', 'gptq'), null)).toMatch(/^gptq loads in transformers, GPTQModel, vLLM, SGLang \(/);
    expect(describeLoading(entry('W4', 'roundoff'), 'keys are rounded')).toBe(
      'Fake-quantized only: keys are rounded, which no other runtime computes',
    );
  });
});

describe('exportProblems', () => {
  const calibration = { path: 'a.jsonl', samples: 1, sequenceLength: 8, seed: 0 };
  const gptq = (scheme: string, options = {}) =>
    quantizeStageSchema.parse({ type: 'quantize', method: 'gptq', scheme: parseScheme(scheme), calibration, options });
  const to = (format: ExportFormat): Stage => ({ type: 'export', format });

  it('finds exports that cannot express the quantize stage before them', () => {
    expect(exportProblems([gptq('W3G128'), to('gptq'), to('awq'), to('gguf-q4_0'), to('bitsandbytes')])).toEqual([
      expect.stringMatching(/awq holds 4-bit weights, not 3-bit/),
      expect.stringMatching(/bitsandbytes holds NF4/),
    ]);
    expect(exportProblems([to('awq')])).toEqual([]);
  });

  it('knows that act-order scatters groups', () => {
    expect(stageFacts(gptq('W4G128', { actOrder: true })).scattered).toBe(true);
    expect(exportProblems([gptq('W4G128', { actOrder: true }), to('awq')])).toEqual([expect.stringContaining('scatters groups')]);
    expect(exportProblems([gptq('W4G128', { actOrder: true, staticGroups: true }), to('awq')])).toEqual([]);
  });

  it('warns of what only the rounded weights decide', () => {
    expect(exportWarnings([gptq('W3G128'), to('gptq')])).toEqual([expect.stringMatching(/zero point is 0.*choose "gptq-v2"/)]);
    expect(exportWarnings([gptq('W3G128:sym'), to('gptq'), to('gptq-v2')])).toEqual([]);
  });
});
