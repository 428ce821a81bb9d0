/** What common trainings of a model take of a GPU's memory: all weights in float32, and an adapter over an NF4 base, both recomputing activations. */
import type { MemoryTask } from '#contract/memory-tasks.ts';
import { trainStageSchema } from '#contract/training.ts';
import type { ModelConfig } from '../model/config.ts';
import { estimateGpuTrainingMemory, nf4Form, quantizedBytes } from './gpu-memory-estimate.ts';

const tokens = 1024;

export function gpuMemoryEstimates(config: ModelConfig): { task: MemoryTask; bytes: number }[] {
  const stage = (trains: object, batchSize: number) =>
    trainStageSchema.parse({
      ...{ type: 'train', objective: { kind: 'sft' }, trains, batchSize, activationCheckpointing: true },
      ...{ data: { path: 'any', maxTokens: tokens }, steps: 1, optimizer: { learningRate: 1e-5 } },
    });
  return [
    { task: 'gpu-train', bytes: estimateGpuTrainingMemory({ config, stage: stage({ kind: 'weights' }, 4) }) },
    {
      task: 'gpu-qlora',
      bytes: estimateGpuTrainingMemory({ config, stage: stage({ kind: 'lora' }, 2), frozenBytes: quantizedBytes(nf4Form) }),
    },
  ];
}
