/** Exports from the command line: `quantize --format`, and `export` of a checkpoint that is already there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { roundoff } from '../../support/captured-terminal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';

const folder = temporaryFolder('cli-export');
const at = (name: string) => path.join(folder, name);
const backend = ['--backend', 'wasm'];
const quantize = (scheme: string, ...more: string[]) =>
  roundoff('quantize', at('tiny'), '--method', 'rtn', '--scheme', scheme, ...backend, ...more);
const configOf = (name: string) => JSON.parse(readFileSync(path.join(at(name), 'config.json'), 'utf8')) as Record<string, unknown>;

beforeAll(() => writeTinyModel(at('tiny')));

describe('quantize --format', () => {
  it('writes another runtime’s checkpoint, says where it loads, and leaves nothing else', async () => {
    const { code, stdout } = await quantize('W4G32:sym', '--out', at('gptq'), '--format', 'gptq', '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as {
      format: string;
      loadsIn: string[];
      smokeLoad: { largestDifference: number; tokens: number };
      bytes: number;
    };
    expect(report).toMatchObject({ format: 'gptq', loadsIn: ['transformers', 'GPTQModel', 'vLLM', 'SGLang'], smokeLoad: { tokens: 32 } });
    expect(report.smokeLoad.largestDifference).toBeLessThan(1e-4);
    expect(configOf('gptq').quantization_config).toMatchObject({ quant_method: 'gptq', bits: 4, group_size: 32, sym: true });
    expect(readdirSync(at('gptq'))).toEqual(expect.arrayContaining(['quantize_config.json', 'tokenizer.json', 'quantization-report.json']));
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
    const text = await quantize('W4G32', '--out', at('awq'), '--format', 'awq');
    expect(text.stdout).toMatch(/awq loads in transformers, vLLM, SGLang \(.*\); read back: logits differ by at most/);
  });

  it('refuses what the format cannot express before it computes anything', async () => {
    const { code, stderr } = await quantize('W3G32', '--out', at('no'), '--format', 'awq');
    expect(code).toBe(2);
    expect(stderr).toContain('--format awq cannot express RTN W3G32: awq holds 4-bit weights, not 3-bit ones');
    expect(stderr).not.toContain('Quantizing');
    expect(existsSync(at('no'))).toBe(false);
  });

  it('is explained by a table in the help', async () => {
    const { stdout } = await roundoff('quantize', '--help');
    expect(stdout).toContain('Which --format can express what:');
    expect(stdout).toMatch(/GPTQ W3G128 +yes +yes +yes +yes +– +– +yes/);
    expect(stdout).toMatch(/QuaRot W4A4KV4 +yes +– +–/);
    expect(stdout).toContain('gguf-q4_0: llama.cpp');
  });
});

describe('export', () => {
  it('makes one checkpoint from another and prints size, runtimes and what reading back gave', async () => {
    await quantize('W3G32', '--out', at('w3'));
    const { code, stdout } = await roundoff('export', at('w3'), '--format', 'compressed-tensors', '--out', at('ct'), ...backend, '--json');
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as {
      sizeBytes: number;
      files: { sizeBytes: number }[];
      loadsIn: string[];
      smokeLoad: object;
      note: string;
    };
    expect(result.sizeBytes).toBe(result.files.reduce((sum, file) => sum + file.sizeBytes, 0));
    expect(result).toMatchObject({
      format: 'compressed-tensors',
      loadsIn: ['transformers'],
      smokeLoad: { largestDifference: 0, tokens: 32 },
    });
    expect(result.note).toContain('0.18');
    const again = await roundoff('export', at('ct'), '--format', 'gptq-v2', '--out', at('v2'), ...backend);
    expect(again.stdout).toMatch(/^gptq-v2: \d.* in .*v2\ngptq-v2 loads in transformers, GPTQModel, vLLM .*; read back: .*\n$/);
    const evaluated = await roundoff('model', 'inspect', at('v2'), '--json');
    expect(evaluated.code).toBe(0);
  });

  it('lists every module that stands in the way', async () => {
    await quantize('W5G32', '--out', at('w5'));
    const { code, stdout } = await roundoff('export', at('w5'), '--format', 'gptq', '--out', at('none'), ...backend, '--json');
    expect(code).toBe(2);
    const { error } = JSON.parse(stdout) as { error: { code: string; problems: string[] } };
    expect(error.code).toBe('unsupported');
    expect(error.problems).toHaveLength(14);
    expect(error.problems[0]).toMatch(/^model\.layers\.0\.self_attn\.q_proj: gptq holds 2, 3, 4 and 8 bits, not 5/);
    expect(existsSync(at('none'))).toBe(false);
  });

  it('says that what happens to activations stays in Roundoff', async () => {
    const { code, stderr } = await quantize('W4A8', '--out', at('w4a8'));
    expect(code, stderr).toBe(0);
    const refused = await roundoff('export', at('w4a8'), '--format', 'dequantized', '--out', at('plain'), ...backend);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('export it as "roundoff"');
    const copied = await roundoff('export', at('w4a8'), '--format', 'roundoff', '--out', at('copy'), ...backend);
    expect(copied.stdout).toContain('Fake-quantized only: activations, keys or values are transformed or rounded at run time');
  });
});
