import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { analyseSensitivity } from '../../../../src-main/engine/quantizers/sensitivity/index.ts';
import { proposeMixedScheme } from '../../../../src-main/engine/quantizers/sensitivity/propose.ts';
import { roundUnit, type SensitivityUnit, scanSensitivity } from '../../../../src-main/engine/quantizers/sensitivity/scan.ts';

const folder = fileURLToPath(new URL('../../../golden/fixtures/models', import.meta.url));
const samples = Array.from({ length: 3 }, (_, index) => Int32Array.from({ length: 12 }, (_, i) => (7 * i + 5 * index) % 64));
const candidates = ['W2G16', 'W3G16', 'W8'].map(parseScheme);

async function withModel<T>(work: (model: LanguageModel) => Promise<T>): Promise<T> {
  await selectBackend('wasm');
  const model = await loadModel(join(folder, 'qwen3-tied'));
  try {
    return await work(model);
  } finally {
    model.dispose();
  }
}

/** log-softmax in double precision, [rows][vocab]. */
async function logProbabilities(model: LanguageModel): Promise<number[][]> {
  const rows: number[][] = [];
  for (const sample of samples) {
    const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d(sample, [1, sample.length], 'int32'))));
    const values = (await logits.array()) as number[][][];
    logits.dispose();
    for (const row of values[0]!) {
      const top = Math.max(...row);
      const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0)) + top;
      rows.push(row.map((value) => value - total));
    }
  }
  return rows;
}

function divergence(p: number[][], q: number[][]): number {
  const rows = p.map((row, i) => row.reduce((sum, value, j) => sum + Math.exp(value) * (value - q[i]![j]!), 0));
  return rows.reduce((a, b) => a + b) / rows.length;
}

describe('scanSensitivity', () => {
  it.each(['layer', 'module'] as const)('measures the divergence that each %s alone causes', (granularity) =>
    withModel(async (model) => {
      const before = await logProbabilities(model);
      const tensors = tf.memory().numTensors;
      const units = await scanSensitivity(model, samples, { candidates, granularity });
      expect(tf.memory().numTensors).toBe(tensors);
      expect(await logProbabilities(model), 'the model is as it was').toEqual(before);
      expect(units).toHaveLength(granularity === 'layer' ? model.config.layers : 7 * model.config.layers);
      for (const unit of [units[0]!, units.at(-1)!]) {
        for (const option of unit.options) {
          const restore = await roundUnit(model, unit.modules, option.scheme);
          const expected = divergence(before, await logProbabilities(model));
          restore();
          expect(Math.abs(option.divergence - expected)).toBeLessThan(1e-6 + 1e-3 * expected);
        }
        const [w2, w3, w8] = unit.options.map((option) => option.divergence);
        expect(w2).toBeGreaterThan(w3!);
        expect(w3).toBeGreaterThan(w8!);
      }
    }),
  );

  it('stops when cancelled and leaves nothing behind', () =>
    withModel(async (model) => {
      await logProbabilities(model);
      const tensors = tf.memory().numTensors;
      const controller = new AbortController();
      const scan = scanSensitivity(
        model,
        samples,
        { candidates, granularity: 'layer' },
        {
          signal: controller.signal,
          onProgress: (done) => done === 2 && controller.abort(),
        },
      );
      await expect(scan).rejects.toMatchObject({ code: 'cancelled' });
      expect(tf.memory().numTensors).toBe(tensors);
    }));
});

/** Units whose options have random sizes and divergences. */
function randomUnits(seed: number): SensitivityUnit[] {
  const stream = new RandomStream(seed, 'units');
  return Array.from({ length: 5 }, (_, index) => ({
    pattern: `layers.${index}.*`,
    modules: [],
    weights: 1000,
    options: [2, 3, 4, 8].map((bits) => ({
      scheme: parseScheme(`W${bits}`),
      sizeBytes: 125 * bits,
      divergence: (0.2 + stream.uniform()) * 4 ** -bits,
    })),
  }));
}

/** The least sum of divergences within the budget, by trying all. */
function best(units: readonly SensitivityUnit[], budgetBytes: number): number {
  if (units.length === 0) return budgetBytes >= 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.min(...units[0]!.options.map((option) => option.divergence + best(units.slice(1), budgetBytes - option.sizeBytes)));
}

describe('proposeMixedScheme', () => {
  it.each([2.2, 2.6, 3, 3.7, 5])('stays within %d bits per weight and close to the best of all combinations', (budgetBits) => {
    for (let seed = 0; seed < 20; seed++) {
      const units = randomUnits(seed);
      const proposal = proposeMixedScheme(units, budgetBits);
      expect(proposal.bitsPerWeight).toBeLessThanOrEqual(budgetBits);
      const optimum = best(units, (budgetBits * 5000) / 8);
      expect(proposal.predictedDivergence).toBeGreaterThanOrEqual(optimum - 1e-12);
      expect(proposal.predictedDivergence).toBeLessThan(optimum * 1.6);
    }
  });

  it('takes the largest options when everything fits and the smallest when just these do', () => {
    const all = (budget: number) => proposeMixedScheme(randomUnits(1), budget);
    expect(all(8)).toMatchObject({ scheme: { bits: 8 }, overrides: [], bitsPerWeight: 8 });
    expect(all(2)).toMatchObject({ scheme: { bits: 2 }, overrides: [], bitsPerWeight: 2 });
  });

  it('never takes an option that a smaller one beats', () => {
    const [unit] = randomUnits(3);
    unit!.options[1]!.divergence = 10;
    const { choices } = proposeMixedScheme([unit!], 3.5);
    expect(choices[0]!.option.scheme.bits).toBe(2);
  });

  it('refuses a budget below the smallest candidates', () => {
    expect(() => proposeMixedScheme(randomUnits(1), 1.9)).toThrow(expect.objectContaining({ code: 'bad-input' }));
  });
});

describe('analyseSensitivity', () => {
  it('measures the proposed mix beside the uniform schemes', () =>
    withModel(async (model) => {
      const settings = { candidates, granularity: 'module' as const, budgetBits: 4 };
      const { proposal, measured } = await analyseSensitivity(model, samples, settings);
      expect(proposal.bitsPerWeight).toBeLessThanOrEqual(4);
      const [w2, w3, w8] = measured.uniform.map((item) => item.divergence);
      expect(measured.proposal).toBeLessThan(w2!);
      expect(measured.proposal).toBeGreaterThan(w8!);
      expect(w2).toBeGreaterThan(w3!);
      expect(proposal.overrides.length).toBeGreaterThan(0);
    }));
});
