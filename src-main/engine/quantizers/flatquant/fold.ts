/**
 * What remains of a calibrated layer: diagonals go into the norms and into up_proj, inverse transforms into the weights, the values' transform
 * into v_proj (bias included) and o_proj; the other transforms and the token quantizers stay as the layer's activations.
 */
import { setImmediate } from 'node:timers/promises';
import type * as tf from '@tensorflow/tfjs-core';
import type { LayerError } from '#contract/worker.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { DenseParameter } from '../../formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import {
  type InputSite,
  inputSites,
  type KroneckerTransform,
  type LayerActivations,
  siteModules,
  type TokenQuantizer,
  withoutQuantizers,
} from '../../model/layer-activations.ts';
import { PackedLinearOp } from '../../model/linear-op.ts';
import { type LayerLinear, layerLinears, linearShape } from '../../model/parameters.ts';
import { type MethodContext, naming, type QuantizedLinear } from '../layer-quantizer.ts';
import { quantizeRtn } from '../rtn.ts';
import { plainRounding } from './errors.ts';
import type { LayerPlan } from './layer-plan.ts';
import type { QuantizedLayer } from './quantized-layer.ts';
import { allValues, shapeOf } from './tensor-values.ts';
import { disposeTensors, type LayerTensors, type Trainables } from './trainables.ts';

export interface FoldedLayer {
  /** Changed parameters, linears that stay unquantized included. */
  parameters: Map<string, DenseParameter>;
  activations: LayerActivations;
  /** Of the linears to quantize, [out, in]. */
  weights: Map<LayerLinear, FoldedWeight>;
}

interface FoldedWeight {
  /** As the transforms make it, and clipped as learnt: what is rounded. */
  transformed: Float32Array;
  clipped: Float32Array;
  /** What rounding the original weight to nearest changes, transformed alike: the change to compare with. Empty when not asked for. */
  plainChange: Float32Array;
}

/**
 * Folds the layer on the model, which then computes as before, with dense weights, clipped where they will be rounded.
 * @param options.compares also make what to compare the rounded weights with
 */
export async function foldLayer(
  model: LanguageModel,
  plan: LayerPlan,
  layer: QuantizedLayer,
  trainables: Trainables,
  { compares = true }: { compares?: boolean } = {},
): Promise<FoldedLayer> {
  const tensors = await trainables.tensors();
  try {
    const { parameters, weights } = await foldWeights(model, plan, layer, tensors, compares);
    const activations = await foldActivations(plan, tensors);
    for (const [name, { values, shape }] of parameters) model.setParameter(name, values, shape);
    for (const [name, { clipped }] of weights) {
      const module = `${plan.prefix}.${name}`;
      model.setParameter(`${module}.weight`, clipped, linearShape(model.config, module));
    }
    model.setActivations(plan.index, withoutQuantizers(activations));
    return { parameters, activations, weights };
  } finally {
    disposeTensors(tensors);
  }
}

/** Rounds the folded weights to nearest and sets them on the model. */
export async function roundToNearest(
  plan: LayerPlan,
  { weights }: FoldedLayer,
  { model, signal, onLinear }: Pick<MethodContext<'flatquant'>, 'model' | 'signal' | 'onLinear'>,
): Promise<QuantizedLinear[]> {
  const linears: QuantizedLinear[] = [];
  for (const [name, { clipped }] of weights) {
    await setImmediate();
    throwIfCancelled(signal, 'Quantization');
    const module = `${plan.prefix}.${name}`;
    const packed = await naming(module, () => quantizeRtn(clipped, shapeOf(model, module), plan.schemes[name]!));
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    const error: LayerError = { name: module, weightError: 0, outputError: null, outputErrorVsRtn: null };
    linears.push({ module, packed, error, latents: null });
    onLinear(module);
  }
  return linears;
}

async function foldWeights(
  model: LanguageModel,
  plan: LayerPlan,
  layer: QuantizedLayer,
  tensors: LayerTensors,
  compares: boolean,
): Promise<Pick<FoldedLayer, 'parameters' | 'weights'>> {
  const [transformed, clipped] = [
    await allValues(() => layer.weights(tensors, 'transformed')),
    await allValues(() => layer.weights(tensors, 'clipped')),
  ];
  const plainChanges = compares ? await plainRounding(model, plan, tensors) : null;
  const parameters: FoldedLayer['parameters'] = new Map();
  const weights: FoldedLayer['weights'] = new Map();
  for (const name of layerLinears) {
    const module = `${plan.prefix}.${name}`;
    if (plan.schemes[name]) {
      weights.set(name, {
        transformed: transformed[name]!,
        clipped: clipped[name]!,
        plainChange: plainChanges?.[name] ?? new Float32Array(0),
      });
    } else if (isTransformed(plan, name)) {
      parameters.set(`${module}.weight`, { values: transformed[name]!, shape: linearShape(model.config, module) });
    }
  }
  const hasBias = model.linear(`${plan.prefix}.self_attn.v_proj`).bias() !== null;
  const small = await allValues(() => ({
    ...(plan.splits.attentionInput ? { 'input_layernorm.weight': layer.normWeight('input_layernorm', tensors) } : {}),
    ...(plan.splits.mlpInput ? { 'post_attention_layernorm.weight': layer.normWeight('post_attention_layernorm', tensors) } : {}),
    ...(hasBias && plan.transformsValues ? { 'self_attn.v_proj.bias': layer.bias('self_attn.v_proj', tensors)! } : {}),
  }));
  for (const [name, values] of Object.entries(small)) parameters.set(`${plan.prefix}.${name}`, { values, shape: [values.length] });
  return { parameters, weights };
}

/** Whether folding changes a linear's weights. */
function isTransformed({ splits, transformsValues }: LayerPlan, name: LayerLinear): boolean {
  const site = inputSites.find((site) => siteModules[site].includes(name))!;
  const readsTransformed = site === 'attentionOutput' ? transformsValues : splits[site] !== null;
  const feedsTransformed = (name === 'self_attn.v_proj' && transformsValues) || (name === 'mlp.up_proj' && splits.mlpOutput !== null);
  return readsTransformed || feedsTransformed;
}

async function foldActivations(plan: LayerPlan, { transforms, clips }: LayerTensors): Promise<LayerActivations> {
  const read = async (tensor: tf.Tensor | undefined) => (tensor ? (await tensor.data<'float32'>()).slice() : null);
  const quantizer = async (name: InputSite | 'keys' | 'values'): Promise<TokenQuantizer | null> => {
    const planned = plan.quantizers[name].quantizer;
    if (!planned) return null;
    const [high, low] = [await read(clips.get(`${name}.high`)), await read(clips.get(`${name}.low`))];
    return { ...planned, clipHigh: high![0]!, clipLow: low![0]! };
  };
  const activations: Partial<LayerActivations> = {
    keys: {
      transform: await read(transforms.get('keys')?.value),
      queryTransform: await read(transforms.get('keys')?.inverse),
      quantizer: await quantizer('keys'),
    },
    values: { quantizer: await quantizer('values') },
  };
  for (const site of inputSites) {
    const left = await read(transforms.get(site === 'attentionOutput' ? 'heads' : `${site}.left`)?.value);
    const right = await read(transforms.get(`${site}.right`)?.value);
    activations[site] = { transform: kroneckerTransform(plan, site, left, right), quantizer: await quantizer(site) };
  }
  return activations as LayerActivations;
}

function kroneckerTransform(
  plan: LayerPlan,
  site: InputSite,
  left: Float32Array | null,
  right: Float32Array | null,
): KroneckerTransform | null {
  if (!left && !right) return null;
  if (site !== 'attentionOutput') {
    const [rows, columns] = plan.splits[site]!;
    return { rows, columns, left, right };
  }
  return { rows: plan.heads, columns: plan.headDim, left, right };
}
