import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dequantizeLinear, type PackedLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { Calibrator } from '../../../../src-main/engine/quantizers/calibrator.ts';
import { quantizeLayerGptq } from '../../../../src-main/engine/quantizers/gptq-layer.ts';
import { InputStatistics } from '../../../../src-main/engine/quantizers/input-statistics.ts';
import { quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import { encodeOnGrid } from '../../../../src-main/engine/quantizers/rtn.ts';
import { gptqOptionsSchema, quantizeStageSchema, type StageOf } from '../../../../src-preload/contract/recipe.ts';
import { parseScheme } from '../../../../src-preload/contract/scheme.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { testBackends } from '../ops/op-check.ts';

const samples = Array.from({ length: 6 }, (_, row) =>
  Int32Array.from({ length: 24 }, (_, i) => (row * 37 + i * i * 5 + ((i * row) % 7)) % 96),
);

function stage(options: object = {}): StageOf<'gptq'> {
  const calibration = { path: 'unused.jsonl', samples: 6, sequenceLength: 24, seed: 1 };
  return quantizeStageSchema.parse({
    type: 'quantize',
    method: 'gptq',
    scheme: parseScheme('W3G16'),
    calibration,
    options,
  }) as StageOf<'gptq'>;
}

async function withModel<T>(work: (model: LanguageModel) => Promise<T>): Promise<T> {
  const before = tf.memory().numTensors;
  const model = await loadModel(goldenModel('qwen3-tied').dir);
  try {
    return await work(model);
  } finally {
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  }
}

/** Real statistics, but for the input of o_proj the Hessian claims correlations that no data has. */
class BrokenStatistics extends InputStatistics {
  override async hessian(): Promise<Float64Array> {
    const hessian = await super.hessian();
    const n = Math.sqrt(hessian.length);
    const largest = Math.max(...hessian);
    hessian[1] = 9 * n * largest;
    hessian[n] = 9 * n * largest;
    return hessian;
  }
}

class BrokenCalibrator extends Calibrator {
  override async capture(index: number, groups: readonly (readonly string[])[]): Promise<InputStatistics[]> {
    const statistics = await super.capture(index, groups);
    for (const [position, modules] of groups.entries())
      if (modules[0]!.endsWith('o_proj')) Object.setPrototypeOf(statistics[position]!, BrokenStatistics.prototype);
    return statistics;
  }
}

describe('a Hessian that no damping makes positive definite', () => {
  it('ends in round-to-nearest of its linears, noted by name; the others are compensated', async () => {
    await selectBackend('wasm');
    await withModel(async (model) => {
      const calibrator = new BrokenCalibrator(model, samples);
      const module = 'model.layers.0.self_attn.o_proj';
      const weight = model.parameters.get(`${module}.weight`)!.dataSync<'float32'>().slice();
      const notes: string[] = [];
      const options = gptqOptionsSchema.parse({ actOrder: true });
      const context = { model, map: stage(), options, onLinear: () => undefined, onNote: (note: string) => void notes.push(note) };
      const done = await quantizeLayerGptq(0, calibrator, context);
      calibrator.dispose();
      expect(notes).toEqual([`${module}: rounded to nearest, because no damping below 100 % makes the Hessian positive definite`]);
      const { packed, error, latents } = done.find((linear) => linear.module === module)!;
      const { groupSize, codes, scales, zeros } = packed as PackedLinear;
      expect(codes).toEqual(encodeOnGrid(weight, packed, groupSize, { scales, zeros }, 3));
      expect(latents).toEqual(weight);
      expect(error.outputErrorVsRtn).toBe(1);
      expect(done.length).toBe(7);
      for (const linear of done) if (linear.module !== module) expect(linear.error.outputErrorVsRtn).toBeLessThan(1);
    });
  });
});

describe('latents', () => {
  it('come with the result when the stage asks for them', async () => {
    await selectBackend('wasm');
    const kept = await withModel((model) => quantizeModel(model, stage({ keepLatents: true }), { samples }));
    expect([...kept.latents!.keys()].toSorted()).toEqual([...kept.packed.keys()].toSorted());
    const plain = await withModel((model) => quantizeModel(model, stage(), { samples }));
    expect(plain.latents).toBeNull();
    expect(plain.packed).toEqual(kept.packed);
  });
});

it.each(testBackends)('GPTQ of a model on %s beats round-to-nearest and chooses the codes of wasm', async (backend) => {
  const run = async () => withModel((model) => quantizeModel(model, stage(), { samples }));
  await selectBackend('wasm');
  const reference = await run();
  await selectBackend(backend);
  const result = await run();
  for (const item of result.layers) expect(item.outputErrorVsRtn).toBeLessThan(1.02);
  let [same, total] = [0, 0];
  for (const [module, packed] of result.packed) {
    const expected = reference.packed.get(module)!.codes;
    total += expected.length;
    same += packed.codes.reduce((sum, code, i) => sum + (code === expected[i] ? 1 : 0), 0);
    expect(dequantizeLinear(packed as PackedLinear).every(Number.isFinite)).toBe(true);
  }
  expect(same / total).toBeGreaterThan(0.99);
});
