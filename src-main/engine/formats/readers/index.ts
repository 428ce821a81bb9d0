/** The readers of other tools' quantized checkpoints, by `quant_method`. */
import { readAwqConfig } from './awq.ts';
import { readBitsandbytesConfig } from './bitsandbytes.ts';
import { readCompressedTensorsConfig } from './compressed-tensors.ts';
import type { ForeignReader } from './foreign.ts';
import { readGptqConfig } from './gptq.ts';

export const foreignReaders: ReadonlyMap<unknown, ForeignReader> = new Map([
  ['gptq', readGptqConfig],
  ['awq', readAwqConfig],
  ['bitsandbytes', readBitsandbytesConfig],
  ['compressed-tensors', readCompressedTensorsConfig],
]);
