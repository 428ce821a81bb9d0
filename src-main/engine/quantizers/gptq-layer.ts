/**
 * GPTQ of one decoder layer: linears in stages {k, v, q} → {o} → {up, gate} → {down}, the layer re-run after each (true-sequential) or
 * captured once for all. The linears of a stage read the same input and share one Hessian and one factor.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { GptqOptions, QuantizationMethod } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { LayerError } from '#contract/worker.ts';
import { dequantizeLinear, type PackedLinear } from '../formats/packed-linear.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { gridFor } from '../observers/grid.ts';
import { groupSizeOf, observeWeight, type QParams, type WeightShape } from '../observers/weight-observer.ts';
import type { Calibrator } from './calibrator.ts';
import { type GptqResult, type GptqSettings, solveGptq } from './gptq.ts';
import { factorHessian, type GptqFactor } from './gptq-factor.ts';
import type { InputStatistics } from './input-statistics.ts';
import { encodeOnGrid } from './rtn.ts';

const stages = [
  ['self_attn.k_proj', 'self_attn.v_proj', 'self_attn.q_proj'],
  ['self_attn.o_proj'],
  ['mlp.up_proj', 'mlp.gate_proj'],
  ['mlp.down_proj'],
] as const;

/** One linear, quantized and already set on the model. */
export interface QuantizedLinear {
  module: string;
  packed: PackedLinear;
  error: LayerError;
  /** [out, in], compensated weights before rounding (GPTQ only). */
  latents: Float32Array | null;
}

export interface LayerContext {
  model: LanguageModel;
  scheme: QuantizationScheme;
  onLinear(linear: QuantizedLinear): void;
  onNote(note: string): void;
}

/** Quantizes layer `index` and leaves the calibrator's hidden states at its input. */
export async function quantizeLayerGptq(index: number, calibrator: Calibrator, options: GptqOptions, context: LayerContext): Promise<void> {
  const groups = stages.map((names) => names.map((name) => `model.layers.${index}.${name}`));
  const passes = options.trueSequential ? groups.map((modules) => [modules]) : [groups];
  for (const pass of passes) {
    const statistics = await calibrator.capture(index, pass);
    try {
      for (const [position, modules] of pass.entries()) await quantizeGroup(modules, statistics[position]!, options, context);
    } finally {
      for (const item of statistics) item.dispose();
    }
  }
}

async function quantizeGroup(modules: string[], statistics: InputStatistics, options: GptqOptions, context: LayerContext): Promise<void> {
  const factor = await factorFor(modules, await statistics.hessian(), options, context);
  for (const module of modules) {
    const { weight, shape } = await readWeight(context.model, module);
    const settings = settingsFor('gptq', context.scheme, shape, options);
    const result = await naming(module, () => solveGptq(weight, shape, factor, settings));
    const packed = pack(result, shape, settings, context.scheme);
    const error = await measure(module, weight, packed, settings, statistics);
    context.model.setLinear(module, new PackedLinearOp(context.model.parameters, module, packed));
    context.onLinear({ module, packed, error, latents: result.latents });
  }
}

async function factorFor(modules: string[], hessian: Float64Array, options: GptqOptions, context: LayerContext): Promise<GptqFactor> {
  const names = modules.join(', ');
  const factor = await naming(names, () => factorHessian(hessian, Math.sqrt(hessian.length), options));
  if (factor.dampPercent !== options.dampPercent) {
    const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;
    context.onNote(
      `${names}: damping raised from ${percent(options.dampPercent)} to ${percent(factor.dampPercent)}, the Hessian was not positive definite`,
    );
  }
  return factor;
}

/** Runs `work`; an expected error gets the module's name in front. */
export async function naming<T>(module: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    throw new RoundoffError(error.code, `${module}: ${error.message}`, error.hint, { problems: error.problems, cause: error });
  }
}

/** The dense weight [out, in] a linear computes with now. */
export async function readWeight(model: LanguageModel, module: string): Promise<{ weight: Float32Array; shape: WeightShape }> {
  const tensor = model.linear(module).weight();
  const weight = (await tensor.data<'float32'>()).slice();
  const [outFeatures, inFeatures] = tensor.shape;
  tensor.dispose();
  return { weight, shape: { outFeatures, inFeatures } };
}

function settingsFor(method: QuantizationMethod, scheme: QuantizationScheme, shape: WeightShape, options: GptqOptions): GptqSettings {
  return {
    bits: scheme.bits,
    grid: gridFor(method, scheme),
    mseSearch: options.mseSearch,
    scaleType: 'float16',
    groupSize: groupSizeOf(scheme, shape.inFeatures),
    staticGroups: options.staticGroups,
    blockSize: options.blockSize,
  };
}

function pack(result: GptqResult, shape: WeightShape, settings: GptqSettings, scheme: QuantizationScheme): PackedLinear {
  const { codes, scales, zeros, groupIndex } = result;
  return { bits: scheme.bits, symmetric: scheme.symmetric, ...shape, groupSize: settings.groupSize, codes, scales, zeros, groupIndex };
}

async function measure(
  module: string,
  weight: Float32Array,
  packed: PackedLinear,
  settings: GptqSettings,
  statistics: InputStatistics,
): Promise<LayerError> {
  const delta = differences(weight, dequantizeLinear(packed));
  const outputError = await statistics.meanSquaredOutput(delta);
  const nearest = dequantizeLinear({ ...packed, ...roundToNearest(weight, packed, settings), groupIndex: null });
  const rtnError = await statistics.meanSquaredOutput(differences(weight, nearest));
  return { name: module, weightError: meanSquare(delta), outputError, outputErrorVsRtn: rtnError > 0 ? outputError / rtnError : null };
}

/** Round-to-nearest with GPTQ's grid and range search, for comparison: on GPTQ's own groups where those come from the untouched weight. */
function roundToNearest(weight: Float32Array, packed: PackedLinear, settings: GptqSettings): QParams & { codes: Uint8Array } {
  const isUntouched = settings.staticGroups || packed.groupSize >= packed.inFeatures;
  const { scales, zeros } = isUntouched ? packed : observeWeight(weight, packed, packed.groupSize, settings);
  return { scales, zeros, codes: encodeOnGrid(weight, packed, packed.groupSize, { scales, zeros }, packed.bits) };
}

function differences(a: Float32Array, b: Float32Array): Float32Array {
  const result = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i]! - b[i]!;
  return result;
}

export function meanSquare(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum / values.length;
}
