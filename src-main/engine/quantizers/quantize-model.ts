/**
 * The quantize stage: round-to-nearest or GPTQ over all decoder linears, never the embeddings or the head. Each linear is replaced on
 * the model as soon as it is quantized, so the model can be evaluated or saved afterwards.
 */
import { setImmediate } from 'node:timers/promises';
import { RoundoffError } from '#contract/errors.ts';
import type { GptqOptions, QuantizeStage } from '#contract/recipe.ts';
import type { LayerError } from '#contract/worker.ts';
import { type CalibrationTokenizer, loadCalibration } from '../data/calibration.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { dequantizeLinear, type PackedLinear, packedLinearBytes } from '../formats/packed-linear.ts';
import { decoderLinears, type LanguageModel } from '../model/language-model.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { Calibrator } from './calibrator.ts';
import { type LayerContext, meanSquare, naming, type QuantizedLinear, quantizeLayerGptq, readWeight } from './gptq-layer.ts';
import { quantizeRtn } from './rtn.ts';
import { requireFittingGroups, requireReadableSamples } from './validation.ts';

export interface QuantizeProgress {
  /** Linears quantized so far, of `total`. */
  done: number;
  total: number;
  /** The linear just quantized. */
  detail: string;
}

export interface QuantizeOptions {
  /** Reads the calibration file of the stage; needed by methods that calibrate unless `samples` are given. */
  tokenizer?: CalibrationTokenizer;
  /** Calibration samples of equal length, instead of the stage's file. */
  samples?: readonly Int32Array[];
  /** The run's seed; with the stage's calibration seed it decides the order of calibration documents. */
  seed?: number;
  signal?: AbortSignal;
  onProgress?(progress: QuantizeProgress): void;
  onLog?(message: string): void;
  /** Also return GPTQ's compensated weights before rounding, from which quantization-aware training starts. */
  keepLatents?: boolean;
}

export interface QuantizedModel {
  /** By module; as `layers`, in execution order. */
  packed: Map<string, PackedLinear>;
  layers: LayerError[];
  notes: string[];
  /** Stored bytes of the quantized linears, scales and zero points included. */
  quantizedBytes: number;
  /** Over the quantized linears. */
  bitsPerWeight: number;
  /** [out, in] by module; null unless asked for and the method has them. */
  latents: Map<string, Float32Array> | null;
}

/**
 * Quantizes `model` in place. Everything is checked before work starts. Throws `bad-input` (group size, context), `calibration-too-short`,
 * `dataset-invalid`, `numeric` naming the linear, or `cancelled`; after an error the model may be partly quantized.
 */
export async function quantizeModel(model: LanguageModel, stage: QuantizeStage, options: QuantizeOptions = {}): Promise<QuantizedModel> {
  requireFittingGroups(model.config, stage.scheme);
  const result: QuantizedModel = { packed: new Map(), layers: [], notes: [], quantizedBytes: 0, bitsPerWeight: 0, latents: null };
  const context = recordInto(result, model, stage, options);
  if (stage.method === 'rtn') await runRtn(context, stage.options.mseSearch, options);
  else await runGptq(context, await calibrationSamples(model, stage, options), stage.options, options);
  return finished(result, decoderLinears(model.config));
}

function finished(result: QuantizedModel, modules: readonly string[]): QuantizedModel {
  const weights = [...result.packed.values()].reduce((sum, packed) => sum + packed.codes.length, 0);
  return {
    ...result,
    packed: new Map(modules.map((module) => [module, result.packed.get(module)!])),
    layers: result.layers.toSorted((a, b) => modules.indexOf(a.name) - modules.indexOf(b.name)),
    bitsPerWeight: (8 * result.quantizedBytes) / weights,
  };
}

function recordInto(result: QuantizedModel, model: LanguageModel, stage: QuantizeStage, options: QuantizeOptions): LayerContext {
  const total = decoderLinears(model.config).length;
  const latents = options.keepLatents && stage.method !== 'rtn' ? new Map<string, Float32Array>() : null;
  result.latents = latents;
  return {
    model,
    scheme: stage.scheme,
    onLinear(linear: QuantizedLinear) {
      result.packed.set(linear.module, linear.packed);
      result.layers.push(linear.error);
      result.quantizedBytes += packedLinearBytes(linear.packed);
      if (linear.latents) latents?.set(linear.module, linear.latents);
      options.onProgress?.({ done: result.packed.size, total, detail: linear.module });
    },
    onNote(note) {
      result.notes.push(note);
      options.onLog?.(note);
    },
  };
}

async function runRtn(context: LayerContext, mseSearch: boolean, options: QuantizeOptions): Promise<void> {
  const { model, scheme } = context;
  for (const module of decoderLinears(model.config)) {
    await setImmediate();
    throwIfCancelled(options.signal, 'Quantization');
    const { weight, shape } = await readWeight(model, module);
    const packed = await naming(module, () => quantizeRtn(weight, shape, scheme, { mseSearch }));
    const restored = dequantizeLinear(packed);
    const weightError = meanSquare(weight.map((value, index) => value - restored[index]!));
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    context.onLinear({ module, packed, error: { name: module, weightError, outputError: null, outputErrorVsRtn: null }, latents: null });
  }
}

async function runGptq(context: LayerContext, samples: readonly Int32Array[], gptq: GptqOptions, options: QuantizeOptions): Promise<void> {
  const { layers } = context.model.config;
  const calibrator = new Calibrator(context.model, samples, options);
  try {
    for (let index = 0; index < layers; index++) {
      await quantizeLayerGptq(index, calibrator, gptq, context);
      if (index + 1 < layers) await calibrator.advance(index);
    }
  } finally {
    calibrator.dispose();
  }
}

async function calibrationSamples(
  model: LanguageModel,
  stage: Extract<QuantizeStage, { method: 'gptq' }>,
  options: QuantizeOptions,
): Promise<readonly Int32Array[]> {
  const samples = options.samples ?? (await loadSamples(stage, options));
  requireReadableSamples(model.config, samples);
  options.onLog?.(`Calibrating on ${samples.length} samples of ${samples[0]!.length} tokens`);
  return samples;
}

async function loadSamples(stage: Extract<QuantizeStage, { method: 'gptq' }>, options: QuantizeOptions): Promise<Int32Array[]> {
  if (!options.tokenizer) {
    throw new RoundoffError(
      'tokenizer-invalid',
      'GPTQ reads calibration text, but the model brings no tokenizer.',
      'Add its tokenizer.json.',
    );
  }
  return loadCalibration(stage.calibration, options.tokenizer, { runSeed: options.seed ?? 0, signal: options.signal });
}
