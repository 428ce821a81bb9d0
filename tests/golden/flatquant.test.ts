import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import type { ModelConfig } from '../../src-main/engine/model/config.ts';
import { LanguageModel } from '../../src-main/engine/model/language-model.ts';
import { lossAndGradients } from '../../src-main/engine/quantizers/flatquant/calibrate.ts';
import { clipShapes, planLayer, transformShapes } from '../../src-main/engine/quantizers/flatquant/layer-plan.ts';
import { QuantizedLayer } from '../../src-main/engine/quantizers/flatquant/quantized-layer.ts';
import { disposeTensors, Trainables } from '../../src-main/engine/quantizers/flatquant/trainables.ts';
import { quantizeStageSchema, type StageOf } from '../../src-preload/contract/recipe.ts';
import { testBackends } from '../unit/engine/ops/op-check.ts';
import { fixturePath } from './fixtures.ts';

/** A case of make-flatquant-fixtures.py. */
interface Case {
  name: string;
  bits: number;
  symmetric: boolean;
  groupSize: number | null;
  activationBits: number | null;
  kvBits: number | null;
  bias: boolean;
  qkNorm: boolean;
  parameters: Record<string, { shape: number[]; values: string }>;
  hidden: string;
  target: string;
  trained: Record<string, { value: string; gradient: string }>;
  loss: number;
}

const fixture = JSON.parse(readFileSync(fixturePath('flatquant.json'), 'utf8')) as Omit<ModelConfig, 'layers'> & {
  batch: number;
  seq: number;
  cases: Case[];
};

function floats(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

function modelOf(part: Case): LanguageModel {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = fixture;
  const config = {
    ...{ hiddenSize, intermediateSize, heads, kvHeads, headDim, layers: 1, vocabSize: 4, rmsNormEps: 1e-6, ropeTheta: 10_000 },
    ...{ ropeScaling: null, attentionBias: part.bias, outputBias: false, qkNorm: part.qkNorm, tiedEmbeddings: true, contextLength: 32 },
    ...{ architecture: part.qkNorm ? 'qwen3' : 'qwen2', eosTokenIds: [], padTokenId: null, bosTokenId: null },
  } satisfies ModelConfig as ModelConfig;
  const parameters = new Map<string, tf.Tensor>();
  for (const [name, { shape, values }] of Object.entries(part.parameters)) {
    parameters.set(`model.layers.0.${name}`, tf.keep(tf.tensor(floats(values), shape)));
  }
  return new LanguageModel(config, parameters);
}

function stageOf({ bits, symmetric, groupSize, activationBits, kvBits }: Case): StageOf<'flatquant'> {
  const scheme = {
    ...{ bits, symmetric, groupSize, strategy: groupSize ? 'group' : 'channel' },
    ...(activationBits ? { activationBits } : {}),
    ...(kvBits ? { kvBits } : {}),
  };
  const calibration = { path: 'unused', samples: 1, sequenceLength: 1, seed: 0 };
  return quantizeStageSchema.parse({ type: 'quantize', method: 'flatquant', scheme, calibration, options: {} }) as StageOf<'flatquant'>;
}

/** Loss, and gradients by name, as the engine computes them. */
async function computed(part: Case): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  const { batch, seq, hiddenSize } = fixture;
  const model = modelOf(part);
  const stage = stageOf(part);
  const plan = planLayer(model.config, stage, 0);
  const [transforms, clips] = [transformShapes(plan), clipShapes(plan, model.config)];
  const flat = (names: { name: string }[]) => Float32Array.from(names.flatMap(({ name }) => [...floats(part.trained[name]!.value)]));
  const diagonals = new Map(['attentionInput', 'mlpInput', 'mlpOutput'].map((site) => [site, new Float64Array(32).fill(1)]));
  for (const { name, size } of transforms)
    if (name.endsWith('.diagonal')) diagonals.set(name.split('.')[0]!, new Float64Array(size).fill(1));
  const trainables = new Trainables(plan, model.config, stage.options, diagonals);
  trainables.assign(flat(transforms), flat(clips));
  const layer = new QuantizedLayer(model, plan);
  const tensors = await trainables.tensors();
  const [hidden, target] = [part.hidden, part.target].map((text) => tf.tensor3d(floats(text), [batch, seq, hiddenSize]));
  const { value, grads } = lossAndGradients(layer, tensors, hidden!, target!);
  const own = await trainables.ownGradients(grads);
  const loss = (await value.data())[0]!;
  const all = [...(await own.raw.data()), ...(await own.logits.data())];
  let place = 0;
  const gradients = new Map<string, Float32Array>();
  for (const { name } of [...transforms, ...clips]) {
    const size = floats(part.trained[name]!.value).length;
    gradients.set(name, Float32Array.from(all.slice(place, place + size)));
    place += size;
  }
  expect(place).toBe(all.length);
  tf.dispose([hidden!, target!, value, ...grads, own.raw, own.logits]);
  disposeTensors(tensors);
  layer.dispose();
  trainables.dispose();
  model.dispose();
  return { loss, gradients };
}

describe.each(testBackends)('FlatQuant against PyTorch in float64 on %s', (backend) => {
  it.each(backend === 'wasm' ? fixture.cases : fixture.cases.slice(0, 1))('$name', async (part) => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const { loss, gradients } = await computed(part);
    expect(Math.abs(loss / part.loss - 1)).toBeLessThan(1e-5);
    expect([...gradients.keys()].toSorted()).toEqual(Object.keys(part.trained).toSorted());
    for (const [name, gradient] of gradients) {
      const expected = floats(part.trained[name]!.gradient);
      const size = Math.max(...expected.map(Math.abs));
      expect(size, `${name} has a gradient`).toBeGreaterThan(0);
      const error = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - gradient[i]!)), 0);
      expect.soft(error / size, name).toBeLessThan(2e-4);
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});
