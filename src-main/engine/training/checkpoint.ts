/**
 * Where a training run stands, in one safetensors file that appears whole or not at all: parameters, both moments, the number of finished
 * steps and what the run was begun with. Randomness needs no state of its own, because batch n depends on the seed alone.
 */
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import type { WrittenFile } from '../formats/atomic-file.ts';
import { openCheckpoint, type TensorToWrite, weightsFile, writeSafetensors } from '../formats/safetensors.ts';
import type { Optimizer, OptimizerEntry } from './optimizer.ts';
import type { TrainableParameter } from './trainee.ts';

export interface TrainingProgress {
  /** Finished optimizer steps. */
  step: number;
  /** Tokens read so far, without padding. */
  tokens: number;
  /** The evaluated step with the highest accuracy so far. */
  best: { step: number; accuracy: number } | null;
  /** Sums of every figure over the last tenth of the steps, by the metric's name. */
  last: Record<string, { sum: number; count: number }>;
}

export const beginning = (): TrainingProgress => ({ step: 0, tokens: 0, best: null, last: {} });

/** Writes the checkpoint into `dir`, replacing the one before. */
export async function saveCheckpoint(
  dir: string,
  optimizer: Optimizer,
  resumeKey: unknown,
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
  const metadata = { progress: JSON.stringify(progress), key: canonicalJson(resumeKey) };
  await mkdir(dir, { recursive: true });
  return await writeSafetensors(join(dir, weightsFile), tensors, { metadata });
}

/**
 * Restores parameters and moments from `dir`. Null when there is no checkpoint.
 * Throws `bad-input` when the checkpoint belongs to other settings or another model.
 */
export async function loadCheckpoint(dir: string, optimizer: Optimizer, resumeKey: unknown): Promise<TrainingProgress | null> {
  if (!(await exists(join(dir, weightsFile)))) return null;
  const checkpoint = await openCheckpoint(dir);
  try {
    refuseOthers(dir, checkpoint.metadata.key, resumeKey);
    for (const entry of optimizer.entries) {
      for (const { name, variable } of stateOf(entry)) {
        if (checkpoint.tensors.get(name)?.shape.join() !== variable.shape.join())
          throw foreign(dir, `${name} is missing or has another shape`);
        assign(variable, await checkpoint.readFloats(name));
      }
    }
    return { ...beginning(), ...(JSON.parse(checkpoint.metadata.progress!) as Partial<TrainingProgress>) };
  } finally {
    await checkpoint.close();
  }
}

/**
 * Gives the parameters the values they have in the checkpoint of `dir`, and leaves moments and progress alone.
 * Throws `bad-input` when there is none or it belongs to other settings.
 */
export async function restoreParameters(dir: string, parameters: readonly TrainableParameter[], resumeKey: unknown): Promise<void> {
  const checkpoint = await openCheckpoint(dir);
  try {
    refuseOthers(dir, checkpoint.metadata.key, resumeKey);
    for (const { name, variable } of parameters) assign(variable, await checkpoint.readFloats(name));
  } finally {
    await checkpoint.close();
  }
}

/** A run is continued only as what it was begun as; the error shows every difference. */
function refuseOthers(dir: string, written: string | undefined, resumeKey: unknown): void {
  const wanted = canonicalJson(resumeKey);
  if (written === wanted) return;
  const differences = written === undefined ? [] : differencesBetween(JSON.parse(written), JSON.parse(wanted), '');
  throw foreign(dir, `it was written with other settings${differences.length > 0 ? `: ${differences.join('; ')}` : ''}`, differences);
}

/** `optimizer.learningRate was 0.001, now 0.01`, for every leaf that differs. */
function differencesBetween(before: unknown, now: unknown, path: string): string[] {
  if (isPlain(before) && isPlain(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.flatMap((key) => differencesBetween(before[key], now[key], path ? `${path}.${key}` : key));
  }
  if (JSON.stringify(before) === JSON.stringify(now)) return [];
  return [`${path || 'settings'} was ${JSON.stringify(before)}, now ${JSON.stringify(now)}`];
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function stateOf({ name, variable, moments }: OptimizerEntry): { name: string; variable: tf.Variable }[] {
  return [
    { name, variable },
    { name: `${name}/mean`, variable: moments.mean },
    { name: `${name}/square`, variable: moments.square },
  ];
}

function assign(variable: tf.Variable, values: Float32Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
}

function foreign(dir: string, reason: string, problems: string[] = []): RoundoffError {
  return new RoundoffError(
    'bad-input',
    `The training checkpoint in ${dir} cannot be continued: ${reason}.`,
    'Continue with the settings it was begun with, or delete the folder to start again.',
    { problems },
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
