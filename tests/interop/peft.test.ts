/** A LoRA adapter trained here over our NF4 base, loaded by PEFT over the same base in transformers. */
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { trainStageSchema } from '#contract/training.ts';
import { exportCheckpoint } from '../../src-main/engine/formats/export.ts';
import { createTrainee } from '../../src-main/engine/training/create-trainee.ts';
import { record } from './compare.ts';
import { abacus, abacusDir, answersOfFolder, newFolder } from './ours.ts';
import { readAnswer, readFloats, runPython, withoutPython } from './setup.ts';

/** The same float32 weights and arithmetic: only the order of summation differs. */
const allowed = 1e-3;
const reason = withoutPython(['torch', 'transformers', 'peft']);

it.skipIf(reason)(`PEFT computes what we do with an adapter over NF4${reason ? ` (${reason})` : ''}`, async () => {
  const base = await abacus({ method: 'nf4', scheme: 'NF4:double' });
  const adapted = newFolder('adapted');
  await saveAdapter(base, adapted);
  const ours = await answersOfFolder(adapted);
  const model = newFolder('base');
  await exportCheckpoint(model, { sourceDir: base, format: 'dequantized' });
  const { prompts, completions } = ours;
  const finished = runPython('load_peft.py', { model, adapter: adapted, prompts, completions });
  const response = readAnswer<{ targets: string[] } | { error: string }>(finished, '0.json');
  if ('error' in response) throw new Error(response.error);
  expect(response.targets).toHaveLength(4 * 7);
  const plain = await answersOfFolder(base);
  expect(difference(plain.logits, ours.logits), 'the adapter does something').toBeGreaterThan(1);
  const [beside, merged] = [readFloats(finished.dir, 'logits.f32'), readFloats(finished.dir, 'merged.f32')];
  const largestDifference = difference(ours.logits, beside);
  record('LoRA adapter', 'NF4:double', 'PEFT', `loads, logits within ${largestDifference.toExponential(1)}`);
  expect(largestDifference).toBeLessThan(allowed);
  expect(difference(ours.logits, merged)).toBeLessThan(allowed);
});

/** An adapter whose every matrix is far from zero, saved as training saves it. */
async function saveAdapter(base: string, dir: string): Promise<void> {
  const stage = trainStageSchema.parse({
    ...{ type: 'train', objective: { kind: 'sft' }, trains: { kind: 'lora' }, data: { path: 'none' }, steps: 2, batchSize: 1 },
    optimizer: { learningRate: 1e-4 },
  });
  const trainee = await createTrainee({ modelDir: base, baseDir: abacusDir, stage, seed: 3 });
  for (const [index, { name, variable }] of trainee.parameters.entries())
    if (name.includes('lora_B')) tf.tidy(() => variable.assign(tf.randomNormal(variable.shape, 0, 0.05, 'float32', index)));
  await trainee.save(dir, { metadata: {}, replace: false });
  trainee.dispose();
}

function difference(a: Float32Array, b: Float32Array): number {
  expect(b.length).toBe(a.length);
  return a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - b[index]!)), 0);
}
