import { existsSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { loadability } from '#contract/loadability.ts';
import { type ExportFormat, exportFormats } from '#contract/recipe.ts';
import { parseScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { exportCheckpoint, exporters } from '../../../../../src-main/engine/formats/export.ts';
import { ExportSource } from '../../../../../src-main/engine/formats/export-source.ts';
import { withoutZeroPoints } from '../../../../../src-main/engine/formats/exporters/gptq.ts';
import { dequantizeLinear, type PackedLinear } from '../../../../../src-main/engine/formats/packed-linear.ts';
import { saveQuantizedCheckpoint } from '../../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { plainActivations } from '../../../../../src-main/engine/model/layer-activations.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { roundToFolder, scattered } from '../../../../support/quantized-folder.ts';
import { temporaryFolder } from '../../../../support/temporary-folder.ts';
import { writeTinyArchitecture } from '../../../../support/tiny-architectures.ts';

const folder = temporaryFolder('refusals');
const plain = path.join(folder, 'plain');
let count = 0;
const nextFolder = () => path.join(folder, `out${++count}`);
const packedFormats = exportFormats.filter((format) => !format.startsWith('gguf'));

beforeAll(async () => {
  await selectBackend('wasm');
  await writeTinyArchitecture(plain, 'qwen3');
});

async function problemsOf(sourceDir: string, format: ExportFormat): Promise<string[]> {
  const source = await ExportSource.open(sourceDir);
  try {
    return await exporters[format].problems(source);
  } finally {
    await source.close();
  }
}

describe('the loadability matrix and the exporters', () => {
  const down = (scheme: string | null) => [{ pattern: '*.down_proj', scheme: scheme === null ? null : parseScheme(scheme) }];
  const grid: [string, { pattern: string; scheme: QuantizationScheme | null }[]][] = [
    ...['W2G32:sym', 'W3:sym', 'W3G32:sym', 'W4:sym', 'W4G32', 'W4G16:sym', 'W5G32:sym', 'W6', 'W7:sym', 'W8:sym', 'NF4', 'NF4:double'].map(
      (scheme): [string, []] => [scheme, []],
    ),
    ['W4G32:sym', down('W8:sym')],
    ['W4G32:sym', down('W4G16:sym')],
    ['W4G32:sym', down(null)],
    ['NF4', down(null)],
    ['NF4', down('W8:sym')],
  ];

  it.each(grid)('agree on %s with %j', async (scheme, overrides) => {
    const { dir } = await roundToFolder(plain, nextFolder(), scheme, { overrides });
    const matrix = loadability(
      'rtn',
      parseScheme(scheme),
      overrides.map((override) => override.scheme),
    );
    for (const format of packedFormats) {
      const entry = matrix.find((item) => item.format === format)!;
      const problems = await problemsOf(dir, format);
      expect([format, problems.length === 0, problems]).toEqual([format, entry.expressible, problems]);
      if (!entry.expressible) expect(problems[0]).toContain(entry.reason!.split(',')[0]!);
      expect(entry.expressible ? entry.runtimes.length : entry.runtimes).toEqual(entry.expressible ? expect.any(Number) : []);
    }
  });

  it('agree that what happens to activations stays in Roundoff', async () => {
    const activations = plainActivations();
    activations.keys.quantizer = { bits: 4, symmetric: false, clipHigh: 1, clipLow: 1, outlierThreshold: null };
    const { quantized } = await roundToFolder(plain, nextFolder(), 'W4:sym');
    const dir = nextFolder();
    await saveQuantizedCheckpoint(dir, { sourceDir: plain, quantized, activations: [null, activations] });
    const matrix = loadability('rtn', parseScheme('W4KV4:sym'));
    for (const { format, expressible } of matrix.filter((entry) => packedFormats.includes(entry.format))) {
      const problems = await problemsOf(dir, format);
      expect([format, problems.length === 0]).toEqual([format, expressible]);
      if (!expressible) expect(problems[0]).toMatch(/^model\.layers\.1: .*rounded at run time.*export it as "roundoff"/);
    }
    const exported = await exportCheckpoint(nextFolder(), { sourceDir: dir, format: 'roundoff' });
    expect(exported.roundoffOnly).toMatch(/rounded at run time/);
    expect(exported.smokeLoad.largestDifference).toBe(0);
  });
});

describe('an export that cannot be made', () => {
  it('names every module and leaves nothing behind', async () => {
    const { dir } = await roundToFolder(plain, nextFolder(), 'W4G32:sym', { change: (linear) => scattered(linear as PackedLinear) });
    const out = nextFolder();
    const error = await exportCheckpoint(out, { sourceDir: dir, format: 'awq' }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'unsupported', message: expect.stringContaining('scatters groups') });
    expect(error.problems).toHaveLength(14);
    expect(error.problems[13]).toMatch(/^model\.layers\.1\.mlp\.down_proj: .*choose "gptq"/);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('names groups that are short at the end', async () => {
    const { quantized } = await roundToFolder(plain, nextFolder(), 'W4G32:sym');
    const name = 'model.layers.0.mlp.down_proj';
    const linear = quantized.get(name) as PackedLinear;
    const short = { ...linear, groupSize: 64, scales: linear.scales.slice(0, 128), zeros: linear.zeros.slice(0, 128) };
    const dir = nextFolder();
    await saveQuantizedCheckpoint(dir, { sourceDir: plain, quantized: new Map([[name, short]]) });
    expect(await problemsOf(dir, 'compressed-tensors')).toEqual([
      expect.stringMatching(/down_proj: its last group has 32 inputs instead of 64/),
    ]);
  });

  it('is an unquantized model in a quantized format', async () => {
    for (const format of ['gptq', 'awq', 'bitsandbytes', 'compressed-tensors'] as const)
      expect(await problemsOf(plain, format)).toEqual([expect.stringContaining('nothing is quantized')]);
    expect(await problemsOf(plain, 'dequantized')).toEqual([]);
  });

  it('is removed when the files do not read back as the model', async () => {
    const { dir } = await roundToFolder(plain, nextFolder(), 'W4G32:sym');
    const out = nextFolder();
    const load = vi.fn(async (target: string) => {
      const model = await loadModel(target);
      const name = 'model.layers.1.post_attention_layernorm.weight';
      model.setParameter(name, new Float32Array(64).fill(1.01), [64]);
      return model;
    });
    const broken = { ...exporters.gptq, load };
    const before = exporters.gptq;
    exporters.gptq = broken;
    try {
      await exportCheckpoint(out, { sourceDir: dir, format: 'dequantized' });
      await expect(exportCheckpoint(out, { sourceDir: dir, format: 'gptq', replace: true })).rejects.toMatchObject({
        code: 'numeric',
        message: expect.stringMatching(/differs from the model it was made from/),
      });
    } finally {
      exporters.gptq = before;
    }
    expect(load).toHaveBeenCalledOnce();
    // What was there before the failed replacement is still there.
    expect(readdirSync(out)).not.toContain('quantize_config.json');
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it.runIf(existsSync('/dev/full'))('reports a full disk and leaves nothing behind', async () => {
    const { dir } = await roundToFolder(plain, nextFolder(), 'W4G32:sym');
    const out = nextFolder();
    const before = exporters.gptq;
    const fillDisk = async () => {
      const full = await open('/dev/full', 'w');
      try {
        await full.write('x');
      } finally {
        await full.close();
      }
      return [];
    };
    exporters.gptq = {
      ...before,
      async write(source, temporary, options) {
        await before.write(source, temporary, options);
        return fillDisk();
      },
    };
    try {
      await expect(exportCheckpoint(out, { sourceDir: dir, format: 'gptq' })).rejects.toMatchObject({ code: 'disk-full' });
    } finally {
      exporters.gptq = before;
    }
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('is cancelled between tensors', async () => {
    const { dir } = await roundToFolder(plain, nextFolder(), 'W4G32:sym');
    const out = nextFolder();
    await expect(exportCheckpoint(out, { sourceDir: dir, format: 'gptq', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(existsSync(out)).toBe(false);
  });
});

describe('a zero point of 0 in GPTQ’s first format', () => {
  const linear: PackedLinear = {
    bits: 2,
    symmetric: false,
    outFeatures: 2,
    inFeatures: 4,
    groupSize: 2,
    codes: Uint8Array.of(0, 2, 1, 3, 3, 1, 1, 0),
    scales: Float32Array.of(1, 0.5, 0.25, 2),
    zeros: Uint8Array.of(0, 1, 1, 0),
    groupIndex: null,
  };

  it('rises with its codes where they leave room, which changes no weight', () => {
    const risen = withoutZeroPoints(linear);
    expect(risen).toEqual({ codes: Uint8Array.of(1, 3, 1, 3, 3, 1, 2, 1), zeros: Uint8Array.of(1, 1, 1, 1), stuck: 0 });
    expect(dequantizeLinear({ ...linear, ...risen })).toEqual(dequantizeLinear(linear));
  });

  it('is counted where they do not', () => {
    const full = { ...linear, codes: Uint8Array.of(0, 3, 1, 3, 3, 1, 1, 0) };
    expect(withoutZeroPoints(full)).toMatchObject({ stuck: 1, zeros: Uint8Array.of(0, 1, 1, 1) });
    const ordered = { ...linear, groupIndex: Int32Array.of(0, 1, 0, 1) };
    const risen = withoutZeroPoints(ordered);
    expect(dequantizeLinear({ ...ordered, ...risen })).toEqual(dequantizeLinear(ordered));
  });

  it('sends the export to version 2 with the modules named, and never touches its neighbours', async () => {
    const withZero = (linear: PackedLinear): PackedLinear => {
      const { codes, zeros, groupSize } = linear;
      zeros[0] = 0;
      for (let input = 0; input < groupSize; input++) codes[input] = 3;
      return linear;
    };
    const { dir, quantized } = await roundToFolder(plain, nextFolder(), 'W2G32', {
      change: (linear, module) => (module.endsWith('layers.1.mlp.up_proj') ? withZero(linear as PackedLinear) : linear),
    });
    const problems = await problemsOf(dir, 'gptq');
    expect(problems.find((problem) => problem.startsWith('model.layers.1.mlp.up_proj'))).toMatch(/zero point 0.*choose "gptq-v2"/);
    const out = nextFolder();
    await exportCheckpoint(out, { sourceDir: dir, format: 'gptq-v2' });
    const model = await loadModel(out);
    expect(await model.storedLinears()).toEqual(quantized);
    model.dispose();
  });
});
