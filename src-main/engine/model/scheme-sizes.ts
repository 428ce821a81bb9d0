/**
 * What a model would take on disk under common schemes, and in memory per task, before anything is run.
 */
import type { ModelInspection } from '#contract/records.ts';
import { bitsPerWeight, parseScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { nf4Bytes } from '../formats/nf4.ts';
import { packedLinearBytes } from '../formats/packed-linear.ts';
import type { ModelConfig } from './config.ts';
import { decoderLinears, linearShape, parameterCount } from './parameters.ts';

export type SchemeSize = ModelInspection['schemeSizes'][number];
export type MemoryEstimate = ModelInspection['memory'][number];

const shownSchemes = ['W8', 'INT8', 'W4G128', 'NF4', 'NF4:double', 'W3G128', 'W2G128', 'W2G32'];

/** Sizes of the shown schemes. `otherBytes`: embeddings, norms, biases and head, which keep their stored type. */
export function schemeSizes(config: ModelConfig, otherBytes: number): SchemeSize[] {
  return shownSchemes.map((text) => {
    const scheme = parseScheme(text);
    let [linearBytes, bits, weights] = [0, 0, 0];
    for (const module of decoderLinears(config)) {
      const [outFeatures, inFeatures] = linearShape(config, module);
      linearBytes += linearBytesUnder(scheme, outFeatures, inFeatures);
      bits += bitsPerWeight(scheme, inFeatures) * outFeatures * inFeatures;
      weights += outFeatures * inFeatures;
    }
    return { scheme: text, sizeBytes: otherBytes + linearBytes, bitsPerWeight: bits / weights, unsupported: indivisible(config, scheme) };
  });
}

/** Bytes of the stored tensors of one linear. */
export function linearBytesUnder(scheme: QuantizationScheme, outFeatures: number, inFeatures: number): number {
  if (scheme.coding === 'nf4') return nf4Bytes({ outFeatures, inFeatures, isNested: scheme.doubleQuantization ?? false });
  const scaleType = scheme.coding === 'int8' ? ({ scaleType: 'float32' } as const) : {};
  return packedLinearBytes({ ...scheme, ...scaleType, outFeatures, inFeatures, groupSize: scheme.groupSize ?? inFeatures });
}

/** Why a scheme cannot be used on this model, remedy included; null when it can. */
export function indivisible(config: ModelConfig, scheme: QuantizationScheme): string | null {
  const { groupSize } = scheme;
  // Blocks of NF4 may cross rows.
  if (groupSize === null || scheme.coding) return null;
  const modules = decoderLinears(config).filter((module) => linearShape(config, module)[1] % groupSize !== 0);
  if (modules.length === 0) return null;
  const inputs = [...new Set(modules.map((module) => linearShape(config, module)[1]))].sort((a, b) => a - b);
  return `Groups of ${groupSize} do not divide ${inputs.join(' or ')} inputs (${modules.length} modules, such as ${modules[0]}). Use a group size that does, or W${scheme.bits} per channel.`;
}

/** Sequences, and tokens each, that the estimate for evaluation assumes. */
const evaluation = { sequences: 8, tokens: 2048 };
/** 128 calibration sequences of 2,048 tokens, as in GPTQ. */
const calibrationTokens = 128 * 2048;
const trainingTokens = 4096;

/** Rough peaks with weights in float32, the type everything is computed in. */
export function memoryEstimates(config: ModelConfig): MemoryEstimate[] {
  const weights = 4 * parameterCount(config);
  const cacheTokens = evaluation.sequences * Math.min(evaluation.tokens, config.contextLength);
  const cache = 4 * 2 * config.layers * config.kvHeads * config.headDim * cacheTokens;
  const widest = Math.max(config.intermediateSize, config.hiddenSize, config.heads * config.headDim);
  const hessians = 2 * 8 * widest ** 2;
  const calibration = 2 * 4 * calibrationTokens * config.hiddenSize;
  const perToken = config.layers * (8 * config.hiddenSize + 4 * config.heads * config.headDim + 3 * config.intermediateSize);
  return [
    { task: 'evaluate', bytes: weights + cache },
    { task: 'quantize-gptq', bytes: weights + hessians + calibration },
    { task: 'train', bytes: 4 * weights + 4 * perToken * trainingTokens },
  ];
}
