/** Every check of a GPU kernel. An area adds a file to `checks/` and a line here. */
import type { GpuCheck } from './check.ts';
import { decodeChecks } from './checks/decode.ts';
import { decodeTransformChecks } from './checks/decode-transforms.ts';
import { gemmChecks } from './checks/gemm.ts';
import { lossChecks } from './checks/losses.ts';
import { opChecks } from './checks/ops.ts';
import { packedChecks } from './checks/packed.ts';
import { quantizerChecks } from './checks/quantizers.ts';
import { samplingChecks } from './checks/sampling.ts';
import { trainingChecks } from './checks/training.ts';

export type { GpuCheck, GpuCheckResult } from './check.ts';

export const gpuChecks: readonly GpuCheck[] = [
  ...opChecks,
  ...gemmChecks,
  ...packedChecks,
  ...lossChecks,
  ...quantizerChecks,
  ...trainingChecks,
  ...decodeChecks,
  ...decodeTransformChecks,
  ...samplingChecks,
];
