/** Mixed precision: which scheme each module gets, and what that means for the activations of a layer. */
import { clipsOf, type QuantizeStage, type SchemeOverride } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { inputSites, type LayerActivations, plainActivations, siteModules, type TokenQuantizer } from '../model/layer-activations.ts';

/** What decides the scheme of a module. */
export interface SchemeMap {
  scheme: QuantizationScheme;
  overrides?: readonly SchemeOverride[] | undefined;
}

/** The scheme of `module`: the first override whose pattern matches, else the stage's. Null leaves it unquantized. */
export function schemeOf({ scheme, overrides = [] }: SchemeMap, module: string): QuantizationScheme | null {
  const override = overrides.find(({ pattern }) => matches(pattern, module));
  return override ? override.scheme : scheme;
}

/** `*` stands for any text; a pattern matches the whole name or, without a leading `model.`, its end. */
export function matches(pattern: string, module: string): boolean {
  const source = pattern
    .split(/\*+/)
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^(?:.*\\.)?${source}$`).test(module);
}

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
