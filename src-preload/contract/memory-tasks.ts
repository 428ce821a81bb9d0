/** What a model's memory is estimated for, and what it is called. */
export const memoryTasks = {
  evaluate: 'Evaluating',
  'quantize-gptq': 'Quantizing with GPTQ',
  train: 'Training',
  'gpu-generate': 'Generating on a GPU, 16 × up to 4,096 tokens',
  'gpu-train': 'Training on a GPU, 4 × 1,024 tokens',
  'gpu-qlora': 'QLoRA on a GPU, 2 × 1,024 tokens',
} as const;
export type MemoryTask = keyof typeof memoryTasks;
