/** What a quantize stage will do to a model's activations, before it has run: quantizers, and transforms of the right shapes. */
import type { QuantizeStage, StageOf } from '#contract/recipe.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import { diagonalSites, planLayer } from './flatquant/layer-plan.ts';
import { rotatedActivations, rotationsFor } from './quarot.ts';
import { activationsFor } from './scheme-map.ts';

/** By layer; entries of matrices that are learnt are zeros. Throws `unsupported` where the method does not fit the model. */
export function plannedActivations(stage: QuantizeStage, config: ModelConfig): LayerActivations[] {
  const layers = [...new Array(config.layers).keys()];
  if (stage.method === 'flatquant') return layers.map((index) => learntActivations(stage, config, index));
  const plain = layers.map((index) => activationsFor(stage, index));
  if (stage.method !== 'quarot') return plain;
  const rotations = rotationsFor(config, stage.options.seed, () => undefined);
  return plain.map((activations) => rotatedActivations(activations, rotations));
}

function learntActivations(stage: StageOf<'flatquant'>, config: ModelConfig, index: number): LayerActivations {
  const { quantizers, splits, transformsHeads, transformsKeys, heads, headDim } = planLayer(config, stage, index);
  const matrix = (size: number) => new Float32Array(size * size);
  const activations = { ...quantizers };
  for (const site of diagonalSites) {
    const split = splits[site];
    if (!split) continue;
    const [rows, columns] = split;
    const transform = { rows, columns, left: rows > 1 ? matrix(rows) : null, right: matrix(columns) };
    activations[site] = { ...quantizers[site], transform };
  }
  if (transformsHeads) {
    const transform = { rows: heads, columns: headDim, left: matrix(heads), right: null };
    activations.attentionOutput = { ...quantizers.attentionOutput, transform };
  }
  if (transformsKeys) activations.keys = { ...quantizers.keys, transform: matrix(headDim), queryTransform: matrix(headDim) };
  return activations;
}
