/**
 * GPTQ of one decoder layer: linears in stages {k, v, q} → {o} → {up, gate} → {down}, each on what the ones before give (true-sequential), or
 * captured once for all. The linears of a stage read the same input and share one Hessian and one factor.
 */
import type { GptqOptions } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { LayerError } from '#contract/worker.ts';
import { dequantizeLinear, type PackedLinear } from '../formats/packed-linear.ts';
import type { InputSite } from '../model/layer-activations.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import type { Grid } from '../observers/grid.ts';
import { groupSizeOf, observeWeight, type QParams, type WeightShape } from '../observers/weight-observer.ts';
import type { Calibrator } from './calibrator.ts';
import { type GptqResult, type GptqSettings, solveGptq } from './gptq.ts';
import { factorHessian, type GptqFactor, IndefiniteHessian } from './gptq-factor.ts';
import type { InputStatistics } from './input-statistics.ts';
import {
  differences,
  type LayerQuantizer,
  type MethodContext,
  meanSquare,
  naming,
  type QuantizedLinear,
  readWeight,
} from './layer-quantizer.ts';
import { encodeOnGrid } from './rtn.ts';
import { activationsFor, type SchemeMap, schemeOf } from './scheme-map.ts';

const stages: readonly { site: InputSite; names: readonly string[] }[] = [
  { site: 'attentionInput', names: ['self_attn.k_proj', 'self_attn.v_proj', 'self_attn.q_proj'] },
  { site: 'attentionOutput', names: ['self_attn.o_proj'] },
  { site: 'mlpInput', names: ['mlp.up_proj', 'mlp.gate_proj'] },
  { site: 'mlpOutput', names: ['mlp.down_proj'] },
];

export function gptqQuantizer(context: MethodContext<'gptq'>): LayerQuantizer {
  const { stage } = context;
  return {
    advance: 'quantized',
    async layer(index, calibrator) {
      const linears = await quantizeLayerGptq(index, calibrator!, { ...context, map: stage, options: stage.options });
      return { linears, parameters: new Map(), activations: activationsFor(stage, index) };
    },
  };
}

type GptqSolution = Omit<GptqResult, 'loss'>;

/** What GPTQ of a layer needs, for methods that round their own weights with it too. */
export interface GptqLayerContext extends Pick<MethodContext, 'model' | 'onLinear' | 'onNote'> {
  map: SchemeMap;
  options: Omit<GptqOptions, 'keepLatents'>;
  /** The symmetric grid; GPTQ's own is `mirrored`. */
  symmetricGrid?: Grid;
}

/**
 * Quantizes the linears of layer `index` on the model. True-sequential takes the calibrator's hidden states with it through the layer, which
 * `advance` then completes.
 */
export async function quantizeLayerGptq(index: number, calibrator: Calibrator, context: GptqLayerContext): Promise<QuantizedLinear[]> {
  const done: QuantizedLinear[] = [];
  const quantize = async (modules: readonly string[], statistics: InputStatistics) => {
    const chosen = modules.filter((module) => schemeOf(context.map, module));
    if (chosen.length > 0) done.push(...(await quantizeGroup(chosen, statistics, context)));
  };
  const groups = stages.map(({ names }) => names.map((name) => `model.layers.${index}.${name}`));
  if (context.options.trueSequential) {
    for (const [position, { site }] of stages.entries()) {
      if (!groups[position]!.some((module) => schemeOf(context.map, module))) continue;
      const statistics = await calibrator.captureStep(index, site);
      try {
        await quantize(groups[position]!, statistics);
      } finally {
        statistics.dispose();
      }
    }
    return done;
  }
  const all = await calibrator.capture(index, groups);
  try {
    for (const [position, statistics] of all.entries()) await quantize(groups[position]!, statistics);
  } finally {
    for (const statistics of all) statistics.dispose();
  }
  return done;
}

async function quantizeGroup(
  modules: readonly string[],
  statistics: InputStatistics,
  context: GptqLayerContext,
): Promise<QuantizedLinear[]> {
  const { options } = context;
  const factor = await factorFor(modules, await statistics.hessian(), context);
  const done: QuantizedLinear[] = [];
  for (const module of modules) {
    const scheme = schemeOf(context.map, module)!;
    const { weight, shape } = await readWeight(context.model, module);
    const settings = settingsFor(context, scheme, shape, options);
    const result = await naming(module, () => (factor ? solveGptq(weight, shape, factor, settings) : nearest(weight, shape, settings)));
    const packed = pack(result, shape, settings, scheme);
    const error = await measure(module, weight, packed, settings, statistics);
    context.model.setLinear(module, new PackedLinearOp(context.model.parameters, module, packed));
    context.onLinear(module);
    done.push({ module, packed, error, latents: result.latents });
  }
  return done;
}

/** Null where no damping helps, which is noted: those linears are rounded to nearest. */
async function factorFor(modules: readonly string[], hessian: Float64Array, context: GptqLayerContext): Promise<GptqFactor | null> {
  const { options } = context;
  const names = modules.join(', ');
  const factor = await naming(names, () => factorOrNull(hessian, options));
  if (!factor) {
    context.onNote(`${names}: rounded to nearest, because no damping below 100 % makes the Hessian positive definite`);
  } else if (factor.dampPercent !== options.dampPercent) {
    const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;
    context.onNote(
      `${names}: damping raised from ${percent(options.dampPercent)} to ${percent(factor.dampPercent)}, the Hessian was not positive definite`,
    );
  }
  return factor;
}

function factorOrNull(hessian: Float64Array, options: GptqLayerContext['options']): GptqFactor | null {
  try {
    return factorHessian(hessian, Math.sqrt(hessian.length), options);
  } catch (error) {
    if (error instanceof IndefiniteHessian) return null;
    throw error;
  }
}

function settingsFor(
  { symmetricGrid = 'mirrored' }: GptqLayerContext,
  scheme: QuantizationScheme,
  shape: WeightShape,
  options: GptqLayerContext['options'],
): GptqSettings {
  return {
    bits: scheme.bits,
    grid: scheme.symmetric ? symmetricGrid : 'affine',
    mseSearch: options.mseSearch,
    scaleType: 'float16',
    groupSize: groupSizeOf(scheme, shape.inFeatures),
    staticGroups: options.staticGroups,
    blockSize: options.blockSize,
  };
}

/** What GPTQ would give if inputs were uncorrelated: no weight is compensated. */
function nearest(weight: Float32Array, shape: WeightShape, settings: GptqSettings): GptqSolution {
  const qparams = observeWeight(weight, shape, settings.groupSize, settings);
  const codes = encodeOnGrid(weight, shape, settings.groupSize, qparams, settings.bits);
  return { ...qparams, codes, groupIndex: null, latents: weight };
}

function pack(result: GptqSolution, shape: WeightShape, settings: GptqSettings, scheme: QuantizationScheme): PackedLinear {
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
