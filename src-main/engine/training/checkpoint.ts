/**
 * Where a training run stands, in one safetensors file that appears whole or not at all: parameters, both moments, the number of finished
 * steps and the settings. Randomness needs no state of its own, because batch n depends on the seed alone.
 */
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import type { WrittenFile } from '../formats/atomic-file.ts';
import { openCheckpoint, type TensorToWrite, weightsFile, writeSafetensors } from '../formats/safetensors.ts';
import type { Optimizer, OptimizerEntry } from './optimizer.ts';
import type { TrainingSettings } from './settings.ts';

export interface TrainingProgress {
  /** Finished optimizer steps. */
  step: number;
  /** Tokens read so far, without padding. */
  tokens: number;
}

/** Writes the checkpoint into `dir`, replacing the one before. */
export async function saveCheckpoint(
  dir: string,
  optimizer: Optimizer,
  settings: TrainingSettings,
  progress: TrainingProgress,
): Promise<WrittenFile> {
  const tensors: TensorToWrite[] = optimizer.entries.flatMap((entry) =>
    stateOf(entry).map(({ name, variable }) => ({
      name,
      dtype: 'F32',
      shape: variable.shape,
      values: async () => Float32Array.from(await variable.data()),
    })),
  );
  const metadata = { step: String(progress.step), tokens: String(progress.tokens), settings: resumeKey(settings) };
  await mkdir(dir, { recursive: true });
  return await writeSafetensors(join(dir, weightsFile), tensors, { metadata });
}

/**
 * Restores parameters and moments from `dir`. Null when there is no checkpoint.
 * Throws `bad-input` when the checkpoint belongs to other settings or another model.
 */
export async function loadCheckpoint(dir: string, optimizer: Optimizer, settings: TrainingSettings): Promise<TrainingProgress | null> {
  if (!(await exists(join(dir, weightsFile)))) return null;
  const checkpoint = await openCheckpoint(dir);
  try {
    if (checkpoint.metadata.settings !== resumeKey(settings)) throw foreign(dir, 'it was written with other settings');
    for (const entry of optimizer.entries) {
      for (const { name, variable } of stateOf(entry)) {
        if (checkpoint.tensors.get(name)?.shape.join() !== variable.shape.join())
          throw foreign(dir, `${name} is missing or has another shape`);
        assign(variable, await checkpoint.readFloats(name));
      }
    }
    return { step: Number(checkpoint.metadata.step), tokens: Number(checkpoint.metadata.tokens) };
  } finally {
    await checkpoint.close();
  }
}

/** What must be equal for a continued run to equal an undisturbed one. How often checkpoints are written does not matter. */
function resumeKey(settings: TrainingSettings): string {
  return canonicalJson({ ...settings, checkpointEvery: undefined });
}

function stateOf({ name, parameter, moments }: OptimizerEntry): { name: string; variable: tf.Variable }[] {
  return [
    { name, variable: parameter },
    { name: `${name}/mean`, variable: moments.mean },
    { name: `${name}/square`, variable: moments.square },
  ];
}

function assign(variable: tf.Variable, values: Float32Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
}

function foreign(dir: string, reason: string): RoundoffError {
  return new RoundoffError(
    'bad-input',
    `The training checkpoint in ${dir} cannot be continued: ${reason}.`,
    'Continue with the settings it was begun with, or delete the folder to start again.',
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
