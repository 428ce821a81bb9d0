/** The ops models, quantizers and training are written in. Each runs on every backend, with a kernel of its own where that pays. */
import '../backends/gradients.ts';

export { type AdamWSettings, adamW, adamWAll, createMoments, type Moments, type ParameterUpdate } from './adam-w/index.ts';
export { causalAttention, packedRowsPay } from './causal-attention/index.ts';
export { clampRows } from './clamp-rows/index.ts';
export { type ClippedGrid, clippedQuantize, type RangeFactors, roundToGrid } from './clipped-quantize/index.ts';
export { type DropoutSettings, dropout, dropoutLinear } from './dropout/index.ts';
export { embedding } from './embedding/index.ts';
export { codeRange, fakeQuantize, type Grid, type GridParameters, gridParameters, straightThrough } from './fake-quantize/index.ts';
export { clipByGlobalNorm, globalNorm } from './gradient-norm/index.ts';
export { firstNonFiniteHalf, type HalfType, type HalfWeight, halfLinear, packHalf, unpackHalf } from './half-linear/index.ts';
export { kronecker } from './kronecker/index.ts';
export { linear } from './linear/index.ts';
export { type LinearCrossEntropyOptions, linearCrossEntropy } from './linear-cross-entropy/index.ts';
export { type LinearKlOptions, linearKl, type Teacher } from './linear-kl/index.ts';
export {
  type LinearPolicyOptions,
  linearPolicy,
  type PolicyRows,
  type PolicySettings,
  type TokenStatistics,
  tokenStatistics,
} from './linear-policy/index.ts';
export {
  dequantizeWeight,
  disposePacked,
  type PackedWeight,
  packedLinear,
  packedWeightBytes,
  packWeight,
  unpackWeight,
} from './packed-linear/index.ts';
export { quantizeTokens, type TokenQuantizer } from './quantize-tokens/index.ts';
export { rmsNorm } from './rms-norm/index.ts';
export { type RotaryTables, rotaryEmbedding, rotaryTables } from './rotary-embedding/index.ts';
export { swiglu } from './swiglu/index.ts';
