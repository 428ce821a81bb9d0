/** AWQ of whole golden models against a float64 reimplementation in PyTorch; see make-awq-fixtures.py. */
import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { quantizeModel } from '../../src-main/engine/quantizers/quantize-model.ts';
import { quantizeStageSchema } from '../../src-preload/contract/recipe.ts';
import { fixturePath, type GoldenName, goldenModel } from './fixtures.ts';

interface Case {
  model: GoldenName;
  bits: number;
  group: number | null;
  symmetric: boolean;
  scaling: 'activation' | 'duo';
  clip: boolean;
  layers: { linears: Record<string, { codes: string; outputError: number; rtnError: number }> }[];
}

const cases: Case[] = JSON.parse(readFileSync(fixturePath('awq.json'), 'utf8'));
const samples = Array.from({ length: 12 }, (_, row) =>
  Int32Array.from({ length: 24 }, (_, i) => (row * 37 + i * i * 5 + ((i * row) % 7)) % 96),
);

const shares: number[] = [];
const errorRatios: number[] = [];
afterAll(() => {
  const range = (values: number[]) => `${Math.min(...values)} to ${Math.max(...values)}`;
  console.info(`identical codes of a linear: ${range(shares)}; output error ÷ reference: ${range(errorRatios)}`);
});

async function quantize(part: Case) {
  const model = await loadModel(goldenModel(part.model).dir);
  for (const [name, tensor] of [...model.parameters]) {
    if (!name.endsWith('layernorm.weight')) continue;
    const values = (await tensor.data<'float32'>()).map((value, channel) =>
      channel % 11 === 3 ? value * 12 : channel % 7 === 2 ? Math.fround(value * Math.fround(0.2)) : value,
    );
    model.setParameter(name, values, tensor.shape);
  }
  const { bits, group, symmetric, scaling, clip } = part;
  const stage = quantizeStageSchema.parse({
    type: 'quantize',
    method: 'awq',
    scheme: { bits, symmetric, strategy: group ? 'group' : 'channel', groupSize: group },
    calibration: { path: 'given', samples: 12, sequenceLength: 24, seed: 0 },
    options: { scaling, clip },
  });
  try {
    return await quantizeModel(model, stage, { samples });
  } finally {
    model.dispose();
  }
}

describe('AWQ', () => {
  it.each(cases)('of $model at $bits bits, groups of $group, $scaling scaling chooses the reference codes', async (part) => {
    await selectBackend('wasm');
    const before = tf.memory().numTensors;
    const result = await quantize(part);
    expect(tf.memory().numTensors).toBe(before);
    for (const [index, layer] of part.layers.entries()) {
      for (const [name, expected] of Object.entries(layer.linears)) {
        const module = `model.layers.${index}.${name}`;
        const { codes } = result.packed.get(module)!;
        const reference = inflateSync(Buffer.from(expected.codes, 'base64'));
        expect(reference.length).toBe(codes.length);
        const share = codes.reduce((same, code, i) => same + (code === reference[i] ? 1 : 0), 0) / codes.length;
        expect.soft(share, module).toBeGreaterThanOrEqual(0.99);
        const error = result.layers.find((item) => item.name === module)!;
        expect.soft(error.outputError! / expected.outputError, module).toBeCloseTo(1, 2);
        expect.soft(error.outputErrorVsRtn! / (expected.outputError / expected.rtnError), module).toBeCloseTo(1, 2);
        shares.push(share);
        errorRatios.push(error.outputError! / expected.outputError);
      }
    }
  });
});
