/**
 * AWQ of one decoder layer (Lin et al. 2023; llm-awq, AutoAWQ): float inputs are gathered before the layer changes; every fold's scales are
 * searched, then all are applied, then limits are searched on the scaled weights, then everything is rounded.
 */
import { setImmediate } from 'node:timers/promises';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { LayerError } from '#contract/worker.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { dequantizeLinear, type PackedLinear } from '../formats/packed-linear.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { inputSites, siteModules } from '../model/layer-activations.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { layerLinears, linearShape } from '../model/parameters.ts';
import { gridFor } from '../observers/grid.ts';
import { largestMagnitude } from '../observers/magnitude.ts';
import type { WeightShape } from '../observers/weight-observer.ts';
import { BlockOutput } from './awq-block.ts';
import { clampToLimits, clipTokens, searchClip } from './awq-clip.ts';
import { LayerFeatures, type SiteFeatures } from './awq-features.ts';
import { type AwqFold, applyFold, awqFolds, type LayerValues, readLayerValues } from './awq-folds.ts';
import { type ScaledLinear, searchScale } from './awq-scale.ts';
import { differences, type LayerQuantizer, type LayerResult, type MethodContext, meanSquare, naming } from './layer-quantizer.ts';
import { quantizeRtn } from './rtn.ts';
import { activationsFor, schemeOf } from './scheme-map.ts';

export function awqQuantizer(context: MethodContext<'awq'>): LayerQuantizer {
  let features: LayerFeatures | null = null;
  const dispose = () => {
    features?.dispose();
    features = null;
  };
  return {
    advance: 'original',
    observe(index, calibrator) {
      dispose();
      features = new LayerFeatures(index, calibrator);
      return features.hooks;
    },
    async layer(index) {
      try {
        return await quantizeLayer(context, index, features!);
      } finally {
        dispose();
      }
    },
    dispose,
  };
}

type Context = MethodContext<'awq'>;
/** The scales found, by fold. */
type Scales = Map<AwqFold, Float32Array>;

async function quantizeLayer(context: Context, index: number, features: LayerFeatures): Promise<LayerResult> {
  const { model, stage } = context;
  const original = await readLayerValues(model, index);
  for (const name of layerLinears) await naming(full(index, name), () => requireFinite(original.get(`${full(index, name)}.weight`)!));
  restoreDense(model, index, original);
  const scales: Scales = new Map();
  const folds = awqFolds(model.config).filter(({ consumers }) => consumers.some((name) => schemeOf(stage, full(index, name))));
  for (const [at, fold] of folds.entries()) {
    context.onStep(`model.layers.${index}: scales of ${fold.consumers.join(', ')}`, (0.8 * at) / folds.length);
    const t = await searchFold(context, index, fold, original, features);
    if (t.some((value) => value !== 1)) scales.set(fold, t);
  }
  const scaled: LayerValues = new Map(original);
  for (const [fold, t] of scales) applyFold(scaled, index, fold, t);
  return roundScaledLayer(context, index, { original, scaled, scales, features });
}

function full(index: number, name: string): string {
  return `model.layers.${index}.${name}`;
}

/** A weight that is not finite would otherwise be blamed on whichever linear's scales are searched first. */
function requireFinite(weight: Float32Array): void {
  largestMagnitude(weight, 0, weight.length);
}

/** Weights of a model that is quantized already become dense, as every other method reads them too. */
function restoreDense(model: LanguageModel, index: number, values: LayerValues): void {
  for (const name of layerLinears) {
    const module = full(index, name);
    if (model.linear(module).kind === 'dense') continue;
    model.setParameter(`${module}.weight`, values.get(`${module}.weight`)!, linearShape(model.config, module));
    model.restoreDense(module);
  }
}

async function searchFold(
  { model, stage, signal }: Context,
  index: number,
  { consumers, site, inspected }: AwqFold,
  values: LayerValues,
  features: LayerFeatures,
): Promise<Float32Array> {
  const { meanMagnitude, sample } = await features.site(site);
  const linears = consumers.flatMap((name): ScaledLinear[] => {
    const module = full(index, name);
    const scheme = schemeOf(stage, module);
    return scheme ? [{ module, weight: values.get(`${module}.weight`)!, shape: shapeOf(model, module), scheme }] : [];
  });
  const input = inspected === 'attention' ? features.attentionBlocks() : sample;
  const block = new BlockOutput(model, index, inspected, input, linears[0]!.module);
  try {
    const names = linears.map(({ module }) => module).join(', ');
    const choice = await naming(names, () =>
      searchScale(linears, meanMagnitude, stage.options.scaling, async (weights) => {
        await setImmediate();
        throwIfCancelled(signal, 'Quantization');
        return block.error(weights);
      }),
    );
    return choice.t;
  } finally {
    block.dispose();
    if (input !== sample) input.dispose();
  }
}

function shapeOf(model: LanguageModel, module: string): WeightShape {
  const [outFeatures, inFeatures] = linearShape(model.config, module);
  return { outFeatures, inFeatures };
}

interface ScaledLayer {
  original: LayerValues;
  scaled: LayerValues;
  scales: Scales;
  features: LayerFeatures;
}

/** Clips and rounds the scaled linears, sets everything that changed on the model and reports it. */
async function roundScaledLayer(context: Context, index: number, layer: ScaledLayer): Promise<LayerResult> {
  const { model, stage } = context;
  const result: LayerResult = { linears: [], parameters: new Map(), activations: activationsFor(stage, index) };
  for (const site of inputSites) {
    const features = await layer.features.site(site);
    const clip = stage.options.clip ? await clipInputs(features, scaleOf(layer.scales, 'site', site)) : null;
    for (const name of siteModules[site]) {
      const module = full(index, name);
      const scheme = schemeOf(stage, module);
      if (!scheme) continue;
      context.onStep(module, 0.8 + (0.2 * layerLinears.indexOf(name as (typeof layerLinears)[number])) / layerLinears.length);
      const packed = await roundLinear(context, module, layer.scaled.get(`${module}.weight`)!, scheme, isClipped(name) ? clip : null);
      const error = await measure(packed, { module, name, scheme }, layer, features);
      result.linears.push({ module, packed, error, latents: null });
    }
  }
  for (const { module, packed } of result.linears) {
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    layer.scaled.delete(`${module}.weight`);
    context.onLinear(module);
  }
  for (const [name, values] of layer.scaled) {
    if (values === layer.original.get(name)) continue;
    const { shape } = model.parameter(name);
    model.setParameter(name, values, shape);
    result.parameters.set(name, { values, shape });
  }
  return result;
}

/** Queries and keys are multiplied with each other afterwards, so limits cannot be judged by their own outputs (llm-awq). */
function isClipped(name: string): boolean {
  return name !== 'self_attn.q_proj' && name !== 'self_attn.k_proj';
}

function scaleOf(scales: Scales, key: 'site' | 'producer', value: string): Float32Array | null {
  for (const [fold, t] of scales) if (fold[key] === value) return t;
  return null;
}

/** Strided tokens [tokens, in] of the sample, divided by t. */
async function clipInputs({ sample }: SiteFeatures, t: Float32Array | null): Promise<Float32Array> {
  const values = await sample.data<'float32'>();
  const [rows, inFeatures] = sample.shape;
  const stride = Math.max(1, Math.floor(rows / clipTokens));
  const inputs = new Float32Array(Math.ceil(rows / stride) * inFeatures);
  for (let row = 0, at = 0; row < rows; row += stride) {
    for (let i = 0; i < inFeatures; i++, at++) inputs[at] = values[row * inFeatures + i]! / (t?.[i] ?? 1);
  }
  return inputs;
}

async function roundLinear(
  { model, signal }: Context,
  module: string,
  weight: Float32Array,
  scheme: QuantizationScheme,
  inputs: Float32Array | null,
): Promise<PackedLinear> {
  const shape = shapeOf(model, module);
  const breathe = async () => {
    await setImmediate();
    throwIfCancelled(signal, 'Quantization');
  };
  return naming(module, async () => {
    await breathe();
    const limits = inputs && (await searchClip({ weight, shape, scheme, inputs, breathe }));
    return quantizeRtn(limits ? clampToLimits(weight, limits) : weight, shape, scheme, { grid: gridFor('awq', scheme) });
  });
}

/** Errors against the original weight and its outputs, and those of plain rounding to the same grid. */
async function measure(
  packed: PackedLinear,
  { module, name, scheme }: { module: string; name: string; scheme: QuantizationScheme },
  { original, scales }: ScaledLayer,
  { statistics }: SiteFeatures,
): Promise<LayerError> {
  const weight = original.get(`${module}.weight`)!;
  const delta = differences(weight, withoutScales(packed, name, scales));
  const shape = { outFeatures: packed.outFeatures, inFeatures: packed.inFeatures };
  const nearest = dequantizeLinear(quantizeRtn(weight, shape, scheme, { grid: gridFor('awq', scheme) }));
  const outputError = await statistics.meanSquaredOutput(delta);
  const rtnError = await statistics.meanSquaredOutput(differences(weight, nearest));
  return { name: module, weightError: meanSquare(delta), outputError, outputErrorVsRtn: rtnError > 0 ? outputError / rtnError : null };
}

/** The weights [out, in] that quantized ones stand for beside the original weight: scales of inputs and of rows undone. */
function withoutScales(packed: PackedLinear, name: string, scales: Scales): Float32Array {
  const columns = [...scales].find(([{ consumers }]) => consumers.includes(name))?.[1];
  const rows = scaleOf(scales, 'producer', name);
  const { inFeatures } = packed;
  return dequantizeLinear(packed).map((value, i) => (value * (rows?.[Math.floor(i / inFeatures)] ?? 1)) / (columns?.[i % inFeatures] ?? 1));
}
