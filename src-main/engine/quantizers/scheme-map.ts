/** Mixed precision: which scheme each module gets, and what that means for the activations of a layer. */
import { matchesModule as matches, type SchemeMap, schemeOfModule as schemeOf } from '#contract/overrides.ts';
import { clipsOf, type QuantizeStage } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { inputSites, type LayerActivations, plainActivations, siteModules, type TokenQuantizer } from '../model/layer-activations.ts';

export { matches, type SchemeMap, schemeOf };

/** Activation, key and value quantizers that the schemes of layer `index` ask for, without transforms. */
export function activationsFor(stage: QuantizeStage, index: number): LayerActivations {
  const { activationClip, kvClip } = clipsOf(stage);
  const activations = plainActivations();
  for (const site of inputSites) {
    const scheme = schemeOf(stage, `model.layers.${index}.${siteModules[site][0]}`);
    activations[site].quantizer = inputQuantizer(scheme, activationClip, stage.method === 'int8' ? stage.options.outlierThreshold : 6);
  }
  const keys = schemeOf(stage, `model.layers.${index}.self_attn.k_proj`)?.kvBits;
  const values = schemeOf(stage, `model.layers.${index}.self_attn.v_proj`)?.kvBits;
  if (keys) activations.keys.quantizer = tokenQuantizer(keys, kvClip);
  if (values) activations.values.quantizer = tokenQuantizer(values, kvClip);
  return activations;
}

function inputQuantizer(scheme: QuantizationScheme | null, clip: number, outlierThreshold: number): TokenQuantizer | null {
  if (scheme?.coding === 'int8') return { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold };
  return scheme?.activationBits ? tokenQuantizer(scheme.activationBits, clip) : null;
}

/** Dynamic and asymmetric, as both papers quantize tokens. */
function tokenQuantizer(bits: number, clip: number): TokenQuantizer {
  return { bits, symmetric: false, clipHigh: clip, clipLow: clip, outlierThreshold: null };
}
