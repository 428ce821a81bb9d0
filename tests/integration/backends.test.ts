/**
 * Every kind of stage on every backend this machine has, beside the same study on wasm. What is computed in whole numbers or on the processor
 * alike is the same everywhere; where sums are formed in another order a rounding can fall on the other side, and the tolerances say how much
 * of that is let pass.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BackendName } from '#contract/worker.ts';
import { listBackends, selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { type BackendOutcome, backendStudy, backendVariants, runOnBackend } from '../support/backend-study.ts';
import { resourcesDir } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder('backends');
const available = await listBackends();
const others = (['webgpu', 'tensorflow'] as const).filter((name) => {
  const found = available.find((backend) => backend.name === name)!;
  if (!found.available) console.info(`Runs on ${name} are left out: ${found.reason}`);
  return found.available;
});
const ids = [3, 17, 5, 9, 30, 12, 4, 8, 21, 2, 16, 7];

/** Most of ‖a − b‖ / ‖a‖ of the logits that the saved checkpoints give, both computed on wasm. */
const logitTolerance: Record<string, number> = {
  'RTN W4': 0,
  'AWQ W4G32': 0.03,
  NF4: 0,
  INT8: 0,
  SFT: 2e-3,
  'W3G32 KD QAT': 2e-2,
  'NF4 QLoRA': 5e-3,
  GRPO: 5e-3,
};
/**
 * Methods that move every rounding error on to what they round next: one code on the other side of an edge changes the layers that follow, and
 * what is alike is how far the logits end up from those of the unquantized model.
 */
const spreading = ['GPTQ W3G32', 'QuaRot W4A4KV4', 'FlatQuant W4A4KV4'];
/** Of that distance, how much further than on wasm it may be. */
const distanceTolerance = 0.3;
/** Of the loss of a step, relative to the largest of the run. */
const lossTolerance = 5e-3;
/** Greedy completions that may differ, of 16: where two tokens are as probable, or a quantized activation sits on the edge of its grid. */
const mayDiffer: Record<string, number> = { 'QuaRot W4A4KV4': 4, 'FlatQuant W4A4KV4': 4, 'W3G32 KD QAT': 2 };

async function logitsOf(dir: string): Promise<Float32Array> {
  await selectBackend('wasm');
  const model = await loadModel(dir);
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([ids], [1, ids.length], 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  model.dispose();
  return values;
}

function relativeDifference(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  a.forEach((value, index) => {
    difference += (value - b[index]!) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
}

describe.skipIf(others.length === 0)('the same study', { timeout: 900_000 }, () => {
  let reference: Map<string, BackendOutcome>;
  beforeAll(async () => {
    reference = await runOnBackend(path.join(folder, 'wasm'), backendStudy('wasm'));
  });

  describe.each(others)('on %s', (backend: BackendName) => {
    let outcomes: Map<string, BackendOutcome>;
    beforeAll(async () => {
      outcomes = await runOnBackend(path.join(folder, backend), backendStudy(backend));
    }, 900_000);

    it.each(['baseline', ...Object.keys(backendVariants)])('gives the results of wasm: %s', async (name) => {
      const [ours, expected] = [outcomes.get(name)!, reference.get(name)!];
      expect(ours.run.error).toBeNull();
      expect(ours.run).toMatchObject({ status: 'finished', backend });
      expect(ours.losses.length).toBe(expected.losses.length);
      const largest = Math.max(0, ...expected.losses.map(Math.abs));
      ours.losses.forEach((loss, step) => {
        expect(Math.abs(loss - expected.losses[step]!), `loss of step ${step}`).toBeLessThanOrEqual(lossTolerance * largest);
      });
      if (expected.checkpoint) {
        expect(existsSync(ours.checkpoint!)).toBe(true);
        const [logits, theirs] = [await logitsOf(ours.checkpoint!), await logitsOf(expected.checkpoint)];
        if (spreading.includes(name)) {
          const plain = await logitsOf(path.join(resourcesDir, 'sample/abacus'));
          const [distance, usual] = [relativeDifference(plain, logits), relativeDifference(plain, theirs)];
          expect(distance, 'distance from the unquantized model').toBeLessThanOrEqual((1 + distanceTolerance) * usual);
        } else expect(relativeDifference(theirs, logits), 'logits of the checkpoint').toBeLessThanOrEqual(logitTolerance[name]!);
      }
      const different = [...expected.completions].filter(([problem, completion]) => ours.completions.get(problem) !== completion);
      expect(different.length, 'different completions').toBeLessThanOrEqual(mayDiffer[name] ?? 0);
      expect(ours.completions.size).toBe(expected.completions.size);
    });
  });
});
