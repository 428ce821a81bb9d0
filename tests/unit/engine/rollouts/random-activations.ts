/** Random transforms and quantizers of a layer's activations, at every place they can be. */
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import {
  inputSites,
  type KroneckerTransform,
  type LayerActivations,
  plainActivations,
  type TokenQuantizer,
} from '../../../../src-main/engine/model/layer-activations.ts';
import { activationSizes } from '../../../../src-main/engine/model/parameters.ts';

export interface ActivationBits {
  /** Of what linears read; null for float. */
  inputs: number | null;
  /** Of keys and values. */
  cache: number | null;
}

/** Transforms near the identity, so that the model keeps its character; the input of down has outliers. */
export function randomActivations(model: LanguageModel, index: number, bits: ActivationBits, seed = 1): LayerActivations {
  const stream = new RandomStream(seed, 'activations', String(index));
  const sizes = activationSizes(model.config);
  const layer = plainActivations();
  for (const site of inputSites) {
    const columns = sizes[site] % 8 === 0 ? 8 : 4;
    const rows = sizes[site] / columns;
    const right = site === 'attentionOutput' ? null : nearIdentity(columns, stream);
    const transform: KroneckerTransform = { rows, columns, left: nearIdentity(rows, stream), right };
    const outliers = site === 'mlpOutput' ? { symmetric: true, outlierThreshold: 1 } : {};
    layer[site] = { transform, quantizer: quantizer(bits.inputs, outliers) };
  }
  const { headDim } = model.config;
  const [transform, queryTransform] = [nearIdentity(headDim, stream), nearIdentity(headDim, stream)];
  layer.keys = { transform, queryTransform, quantizer: quantizer(bits.cache) };
  layer.values = { quantizer: quantizer(bits.cache, { symmetric: true }) };
  return layer;
}

/** All layers of a model; null for plain activations. */
export function setRandomActivations(model: LanguageModel, bits: ActivationBits | null, seed = 1): void {
  for (let index = 0; index < model.config.layers; index++) {
    model.setActivations(index, bits && randomActivations(model, index, bits, seed));
  }
}

function quantizer(bits: number | null, more: Partial<TokenQuantizer> = {}): TokenQuantizer | null {
  return bits === null ? null : { bits, symmetric: false, clipHigh: 0.95, clipLow: 0.9, outlierThreshold: null, ...more };
}

/** [size, size] */
export function nearIdentity(size: number, stream: RandomStream): Float32Array {
  const noise = stream.normals(size * size, 0.2 / Math.sqrt(size));
  return noise.map((value, i) => value + (i % (size + 1) === 0 ? 1 : 0));
}
