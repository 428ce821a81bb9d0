/** How much the rounded weights of a folded layer err, beside what rounding the original weights to nearest would. */
import * as tf from '@tensorflow/tfjs-core';
import type { LayerError } from '#contract/worker.ts';
import { dequantizeLinear } from '../../formats/packed-linear.ts';
import { dequantizeStored } from '../../formats/stored-linear.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { type InputSite, inputSites, siteModules } from '../../model/layer-activations.ts';
import { type LayerLinear, layerLinears } from '../../model/parameters.ts';
import type { Calibrator } from '../calibrator.ts';
import { differences, meanSquare, naming, type QuantizedLinear } from '../layer-quantizer.ts';
import { quantizeRtn } from '../rtn.ts';
import type { FoldedLayer } from './fold.ts';
import type { LayerPlan } from './layer-plan.ts';
import { QuantizedLayer } from './quantized-layer.ts';
import { allValues, shapeOf } from './tensor-values.ts';
import type { LayerTensors } from './trainables.ts';

/**
 * Errors of linears against the transformed weights, on what they read during calibration, and beside it the error of rounding the original
 * weights to nearest. Takes the statistics now, while the folded layer is still unrounded; dispose the result.
 */
export async function observeErrors(plan: LayerPlan, { weights }: FoldedLayer, calibrator: Calibrator) {
  const modules = (site: InputSite) => siteModules[site].filter((name) => weights.has(name as LayerLinear));
  const sites = inputSites.filter((site) => modules(site).length > 0);
  const groups = sites.map((site) => modules(site).map((name) => `${plan.prefix}.${name}`));
  const statistics = groups.length > 0 ? await calibrator.capture(plan.index, groups) : [];
  return {
    async errorOf({ module, packed }: QuantizedLinear): Promise<LayerError> {
      const { transformed, plainChange } = weights.get(module.slice(plan.prefix.length + 1) as LayerLinear)!;
      const inputs = statistics[groups.findIndex((group) => group.includes(module))]!;
      const change = differences(transformed, dequantizeStored(packed));
      const outputError = await inputs.meanSquaredOutput(change);
      const plainError = await inputs.meanSquaredOutput(plainChange);
      const outputErrorVsRtn = plainError > 0 ? outputError / plainError : null;
      return { name: module, weightError: meanSquare(change), outputError, outputErrorVsRtn };
    },
    dispose(): void {
      for (const item of statistics) item.dispose();
    },
  };
}

/** W − RTN(W) of every quantized linear, carried through the transforms. */
export async function plainRounding(model: LanguageModel, plan: LayerPlan, tensors: LayerTensors): Promise<Record<string, Float32Array>> {
  const changes = new Map<LayerLinear, Float32Array>();
  for (const name of layerLinears) {
    const module = `${plan.prefix}.${name}`;
    const weight = model.linear(module).weight();
    const values = (await weight.data<'float32'>()).slice();
    weight.dispose();
    const scheme = plan.schemes[name];
    const rounded = scheme ? await naming(module, () => dequantizeLinear(quantizeRtn(values, shapeOf(model, module), scheme))) : values;
    changes.set(name, differences(values, rounded));
  }
  const weightOf = (name: LayerLinear) => {
    const { outFeatures, inFeatures } = shapeOf(model, `${plan.prefix}.${name}`);
    return tf.tensor2d(changes.get(name)!, [outFeatures, inFeatures]);
  };
  const layer = new QuantizedLayer(model, plan, { weightOf });
  try {
    return await allValues(() => layer.weights(tensors, 'transformed'));
  } finally {
    layer.dispose();
  }
}
