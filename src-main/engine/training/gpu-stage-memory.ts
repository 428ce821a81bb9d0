/** What a train stage takes of the GPU's memory with all that goes on in it: training, and beside it the decode engine that samples RL's rollouts. */
import type { TrainStage } from '#contract/training.ts';
import { readModelConfig } from '../model/config.ts';
import { parameterCount } from '../model/parameters.ts';
import { floatForms, formsAfter, quantizedForms, readStoredForms, type StoredForms } from '../model/stored-forms.ts';
import { estimateGeneration, type GenerationMemory, type GpuRoom } from '../rollouts/generation-memory.ts';
import { estimateGpuTrainingMemory, type GpuTrainingMemory, trainingStateBytes } from './gpu-memory-estimate.ts';

/** With as many slots as the room is left for; null for the parts about generation where nothing is generated. */
export type GpuStageMemory = Pick<GenerationMemory, 'bytes' | 'fewer' | 'tooLarge'>;

export function estimateGpuTrainStage(training: GpuTrainingMemory, room: GpuRoom): GpuStageMemory {
  const { forms, stage, longest = stage.data.maxTokens } = training;
  const { objective } = stage;
  const bytes = estimateGpuTrainingMemory(training);
  if (objective.kind !== 'rl') return { bytes, fewer: null, tooLarge: null };
  const size = { capacity: longest + objective.maxNewTokens, requests: objective.promptsPerStep * objective.groupSize };
  // The copy that is rounded is dense before.
  const copy = objective.rolloutScheme ? 4 * parameterCount(forms.config) : 0;
  const heldBytes = Math.max(bytes, trainingStateBytes(training) + copy);
  return estimateGeneration(samplingForms(stage, forms), size, room, heldBytes);
}

/** How KD's teacher is stored; null for other objectives. @param baseDir the run's own, unquantized model */
export async function teacherForms({ objective }: TrainStage, baseDir: string): Promise<StoredForms | null> {
  if (objective.kind !== 'kd') return null;
  const dir = objective.teacher ?? baseDir;
  return readStoredForms(dir, await readModelConfig(dir));
}

/** How the model that samples lies in memory: what is learnt, in float32 and rounded as it is trained; or its rounded copy. */
function samplingForms(stage: TrainStage, forms: StoredForms): StoredForms {
  const after = formsAfter([stage], forms);
  const float = { ...floatForms(after.config), activations: after.activations };
  const { objective, trains } = stage;
  const scheme = objective.kind === 'rl' ? objective.rolloutScheme : null;
  if (scheme) return quantizedForms({ type: 'quantize', method: 'rtn', scheme, options: { mseSearch: false } }, float);
  return trains.kind === 'lora' ? after : float;
}
