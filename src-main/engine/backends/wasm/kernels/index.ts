/** The kernel module: everything JavaScript calls by name. Compiled by scripts/build-kernels.mjs into ../kernels-binary.ts. */
export { attentionBackward, attentionForward, attentionScratch } from './attention';
export { clampRowsBackward, clampRowsForward, clippedQuantizeBackward, clippedQuantizeForward } from './clipped-quantize';
export { crossEntropy } from './cross-entropy';
export { dequantizeInteger, dequantizeNf4 } from './dequantize';
export { divergence, divergenceTop } from './divergence';
export { dropout } from './dropout';
export { addBias, addTo, firstBadId, gatherRows, scatterAddRows, sumRows } from './embedding';
export { fakeQuantizeBackward, fakeQuantizeForward } from './fake-quantize';
export { kroneckerBackward, kroneckerBlockRows, kroneckerForward, kroneckerGradients, kroneckerScratch } from './kronecker';
export { adamW, sumOfSquares } from './optimizer';
export { policy } from './policy';
export { quantizeTokens, quantizeTokensBackward } from './quantize-tokens';
export { rmsNormBackward, rmsNormBlockRows, rmsNormForward } from './rms-norm';
export { rotate } from './rotary';
export { swigluBackward, swigluForward } from './swiglu';
