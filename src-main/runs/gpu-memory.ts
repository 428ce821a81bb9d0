/** What the trainings of a study take of the GPU's memory on the webgpu backend, and what stands against them. */
import type { BackendStatus, InspectionProblem, StudyPlan } from '#contract/records.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { trainedScheme } from '#contract/training.ts';
import type { ModelConfig } from '../engine/model/config.ts';
import { estimateGpuTrainingMemory, frozenWeightBytes, quantizedBytes } from '../engine/training/gpu-memory-estimate.ts';
import type { PlannedRun } from './expand-study.ts';
import { resolvePath } from './resources.ts';
import type { StudyInputs } from './study-inputs.ts';
import { lengthKey } from './train-inputs.ts';
import { gigabytes } from './usable-memory.ts';

export interface GpuTrainingNeed {
  run: string;
  bytes: number;
}

/** Per train stage of every run whose model could be read. @throws what reading a model's headers throws */
export async function gpuTrainingNeeds(
  runs: readonly PlannedRun[],
  inputs: Pick<StudyInputs, 'configs' | 'lengths'>,
  resourcesDir: string,
): Promise<GpuTrainingNeed[]> {
  const needs: GpuTrainingNeed[] = [];
  for (const { name, model, recipe } of runs) {
    const config = inputs.configs.get(model);
    if (!config) continue;
    for (const [index, stage] of recipe.stages.entries()) {
      if (stage.type !== 'train') continue;
      const left = bytesLeftBy(recipe.stages.slice(0, index), config);
      const frozenBytes = left ?? (await frozenWeightBytes(resolvePath(model, resourcesDir), config));
      const longest = inputs.lengths.get(lengthKey(model, stage))?.longest;
      const bytes = estimateGpuTrainingMemory({ config, stage, frozenBytes, ...(longest === undefined ? {} : { longest }) });
      needs.push({ run: name, bytes });
    }
  }
  return needs;
}

/** The most that a training takes, beside the budget; null where nothing trains on the GPU. */
export function plannedGpuMemory(needs: readonly GpuTrainingNeed[], status: BackendStatus | null): StudyPlan['estimate']['gpuMemory'] {
  if (needs.length === 0) return null;
  return { neededBytes: Math.max(...needs.map(({ bytes }) => bytes)), budgetBytes: status?.gpu?.memoryBytes ?? null };
}

/** Refuses trainings that the budget cannot hold, once for all runs that take the same. */
export function gpuMemoryProblems(needs: readonly GpuTrainingNeed[], budgetBytes: number | null): InspectionProblem[] {
  if (budgetBytes === null) return [];
  const tooLarge = new Map<number, Set<string>>();
  for (const { run, bytes } of needs) if (bytes > budgetBytes) tooLarge.set(bytes, (tooLarge.get(bytes) ?? new Set()).add(run));
  return [...tooLarge].map(([bytes, runs]) => ({
    severity: 'error',
    where: [...runs].join(', '),
    message: `Training takes about ${gigabytes(bytes)} of the GPU's memory, of which a process may hold ${gigabytes(budgetBytes)}.`,
    hint: 'Use activation checkpointing, smaller batches or shorter sequences, train an adapter on a quantized model, or choose the wasm backend. ROUNDOFF_GPU_MEMORY sets another limit, in GB.',
  }));
}

/** Bytes per weight of the linears that these stages leave behind; null where they leave the model as it was. */
function bytesLeftBy(stages: PlannedRun['recipe']['stages'], config: ModelConfig): number | null {
  for (const stage of stages.toReversed()) {
    if (stage.type === 'quantize') return schemeBytes(stage.scheme, config);
    if (stage.type !== 'train') continue;
    if (stage.trains.kind === 'weights') return 4;
    const scheme = trainedScheme(stage.trains);
    if (scheme) return schemeBytes(scheme, config);
  }
  return null;
}

function schemeBytes({ coding, bits, groupSize, symmetric }: QuantizationScheme, { hiddenSize }: ModelConfig): number {
  return quantizedBytes({ bits, groupSize: groupSize ?? hiddenSize, isNf4: coding === 'nf4', hasZeroPoints: !symmetric });
}
