/**
 * What common work with a model takes of a GPU's memory: generating, all weights trained in float32, and an adapter over an NF4 base, both
 * recomputing activations.
 */
import type { MemoryTask } from '#contract/memory-tasks.ts';
import { trainStageSchema } from '#contract/training.ts';
import { floatForms, type StoredForms } from '../model/stored-forms.ts';
import { estimateGeneration } from '../rollouts/generation-memory.ts';
import { estimateGpuTrainingMemory } from './gpu-memory-estimate.ts';

const trained = 1024;
const generated = { sequences: 16, tokens: 4096 };

/** @param forms of the model as it is stored */
export function gpuMemoryEstimates(forms: StoredForms): { task: MemoryTask; bytes: number }[] {
  const { config } = forms;
  const stage = (trains: object, batchSize: number) =>
    trainStageSchema.parse({
      ...{ type: 'train', objective: { kind: 'sft' }, trains, batchSize, activationCheckpointing: true },
      ...{ data: { path: 'any', maxTokens: trained }, steps: 1, optimizer: { learningRate: 1e-5 } },
    });
  const float = floatForms(config);
  const nf4: StoredForms = { ...float, linear: () => ({ kind: 'nf4' }) };
  const size = { capacity: Math.min(generated.tokens, config.contextLength), requests: generated.sequences };
  const room = { budgetBytes: Number.POSITIVE_INFINITY, bindingBytes: Number.POSITIVE_INFINITY };
  return [
    { task: 'gpu-generate', bytes: estimateGeneration(forms, size, room).bytes },
    { task: 'gpu-train', bytes: estimateGpuTrainingMemory({ forms: float, stage: stage({ kind: 'weights' }, 4) }) },
    { task: 'gpu-qlora', bytes: estimateGpuTrainingMemory({ forms: nf4, stage: stage({ kind: 'lora' }, 2) }) },
  ];
}
