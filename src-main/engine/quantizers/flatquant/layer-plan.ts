/**
 * What FlatQuant learns in one decoder layer. Inputs of q, k, v, of gate, up, and of down get a Kronecker transform and a diagonal; values a
 * transform per head, fused into v_proj; the input of o_proj one across heads on top; keys one after rotary embedding if they are quantized.
 * A site whose linears all stay unquantized is left alone.
 */
import type { StageOf } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { ModelConfig } from '../../model/config.ts';
import { type InputSite, inputSites, type LayerActivations, siteModules } from '../../model/layer-activations.ts';
import { activationSizes, type LayerLinear, layerLinears, linearShape } from '../../model/parameters.ts';
import { activationsFor, schemeOf } from '../scheme-map.ts';
import { kroneckerSplit } from './split.ts';

/** Sites with a transform of their own and a diagonal; the input of o_proj shares the values' transform. */
export const diagonalSites = ['attentionInput', 'mlpInput', 'mlpOutput'] as const;
export type DiagonalSite = (typeof diagonalSites)[number];

export interface LayerPlan {
  index: number;
  /** `model.layers.N` */
  prefix: string;
  heads: number;
  headDim: number;
  /** Null leaves a linear unquantized. */
  schemes: Record<LayerLinear, QuantizationScheme | null>;
  /** Rows and columns of the transform; null where the site is left alone. */
  splits: Record<DiagonalSite, [rows: number, columns: number] | null>;
  /** Transforms of values (headDim) and, on top, across heads at the input of o_proj. */
  transformsValues: boolean;
  transformsHeads: boolean;
  transformsKeys: boolean;
  /** Token quantizers, whose clip factors are learnt; no transforms. */
  quantizers: LayerActivations;
}

/** A trained matrix or diagonal. */
export interface TransformShape {
  name: string;
  kind: 'matrix' | 'diagonal';
  size: number;
}

export function planLayer(config: ModelConfig, stage: StageOf<'flatquant'>, index: number): LayerPlan {
  const prefix = `model.layers.${index}`;
  const schemes = Object.fromEntries(layerLinears.map((name) => [name, schemeOf(stage, `${prefix}.${name}`)])) as LayerPlan['schemes'];
  const quantizers = activationsFor(stage, index);
  const sizes = activationSizes(config);
  const isUsed = (site: InputSite) => siteModules[site].some((name) => schemes[name as LayerLinear]) || quantizers[site].quantizer !== null;
  const split = (site: DiagonalSite) => (isUsed(site) ? kroneckerSplit(sizes[site], `${prefix}.${siteModules[site][0]}`) : null);
  return {
    index,
    prefix,
    heads: config.heads,
    headDim: config.headDim,
    schemes,
    splits: { attentionInput: split('attentionInput'), mlpInput: split('mlpInput'), mlpOutput: split('mlpOutput') },
    transformsValues: isUsed('attentionOutput') || schemes['self_attn.v_proj'] !== null || quantizers.values.quantizer !== null,
    transformsHeads: isUsed('attentionOutput') && config.heads > 1,
    transformsKeys: quantizers.keys.quantizer !== null,
    quantizers,
  };
}

/** Everything trained as a transform, in a fixed order. */
export function transformShapes(plan: LayerPlan): TransformShape[] {
  const shapes: TransformShape[] = [];
  for (const site of diagonalSites) {
    const split = plan.splits[site];
    if (!split) continue;
    const [rows, columns] = split;
    if (rows > 1) shapes.push({ name: `${site}.left`, kind: 'matrix', size: rows });
    shapes.push({ name: `${site}.right`, kind: 'matrix', size: columns });
    shapes.push({ name: `${site}.diagonal`, kind: 'diagonal', size: rows * columns });
  }
  if (plan.transformsHeads) shapes.push({ name: 'heads', kind: 'matrix', size: plan.heads });
  if (plan.transformsValues) shapes.push({ name: 'values', kind: 'matrix', size: plan.headDim });
  if (plan.transformsKeys) shapes.push({ name: 'keys', kind: 'matrix', size: plan.headDim });
  return shapes;
}

/** Everything trained as a clip factor, with how many there are: of every quantized linear per output row, of every token quantizer one. */
export function clipShapes(plan: LayerPlan, config: ModelConfig): { name: string; size: number }[] {
  const rows = layerLinears
    .filter((name) => plan.schemes[name])
    .map((name) => ({ name, size: linearShape(config, `${plan.prefix}.${name}`)[0] }));
  const quantizers = [...inputSites, 'keys', 'values'] as const;
  const tokens = quantizers.filter((name) => plan.quantizers[name].quantizer).map((name) => ({ name, size: 1 }));
  return [...rows, ...tokens].flatMap(({ name, size }) => [
    { name: `${name}.high`, size },
    { name: `${name}.low`, size },
  ]);
}
