/** How much memory a quantization will need at most, from the model's shape and the stage alone. */
import { calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import type { ModelConfig } from '../model/config.ts';
import { layerLinears, linearShape } from '../model/parameters.ts';
import { batchTokens } from './calibrator.ts';

/** Node, the libraries and the kernels before any work. */
const baseBytes = 260 * 2 ** 20;

/**
 * Peak resident memory in bytes. A layer's weights are in the backend's memory; hidden states of all calibration tokens outside it, unless
 * they are spilled; the batch at work, the widest Hessian with its factor, and the largest linear in the solver come on top.
 */
export function estimateQuantizationMemory(config: ModelConfig, stage: QuantizeStage): number {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize } = config;
  const shapes = layerLinears.map((name) => linearShape(config, `model.layers.0.${name}`));
  const weights = shapes.reduce((sum, [out, input]) => sum + out * input, 0);
  const largest = Math.max(...shapes.map(([out, input]) => out * input));
  const layer = 4 * weights + 8 * largest;
  const table = vocabSize * hiddenSize;
  const rotates = stage.method === 'quarot';
  const globals = rotates ? (4 * 2 + 4 * 2 + 4) * table : 4 * table;
  const calibration = calibrationOf(stage);
  if (!calibration) return baseBytes + Math.max(globals, layer + 24 * largest);
  const tokens = calibration.samples * calibration.sequenceLength;
  const batch = Math.min(tokens, batchTokens);
  const usesHessian =
    stage.method === 'gptq' || ((stage.method === 'quarot' || stage.method === 'flatquant') && stage.options.weights === 'gptq');
  const inner = Math.max(heads * headDim, intermediateSize);
  const perToken = 4 * hiddenSize * (usesHessian ? 1 : 2) + (usesHessian ? 4 * inner : 0);
  const kept = (stage.spillActivations ? batch : tokens) * perToken;
  const widths = (heads + 2 * kvHeads) * headDim;
  const work = 4 * batch * (4 * hiddenSize + 2 * widths + 4 * intermediateSize);
  const solver = usesHessian ? 28 * inner ** 2 + 38 * largest : 24 * largest;
  return baseBytes + Math.max(globals, layer + kept + work + solver);
}
