/**
 * The quantize stage: one method over all decoder linears, layer after layer, never the embeddings or the head. Each linear is replaced on
 * the model as soon as it is quantized, so the model can be evaluated or saved afterwards.
 */
import { RoundoffError } from '#contract/errors.ts';
import { calibrationOf, methodTitle, type QuantizeStage } from '#contract/recipe.ts';
import type { LayerError } from '#contract/worker.ts';
import { type CalibrationTokenizer, loadCalibration } from '../data/calibration.ts';
import type { DenseParameter } from '../formats/quantized-checkpoint.ts';
import { type StoredLinear, storedLinearBytes } from '../formats/stored-linear.ts';
import { decoderLinears, type LanguageModel } from '../model/language-model.ts';
import { isPlain, type LayerActivations } from '../model/layer-activations.ts';
import { Calibrator } from './calibrator.ts';
import type { GlobalResult, LayerQuantizer, LayerResult } from './layer-quantizer.ts';
import { createLayerQuantizer } from './methods.ts';
import { schemeOf } from './scheme-map.ts';
import { requireFittingStage, requireReadableSamples } from './validation.ts';

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
  /** Also return GPTQ's compensated weights before rounding, from which quantization-aware training starts; a stage can ask for it too. */
  keepLatents?: boolean;
}

export interface QuantizedModel {
  /** By module; as `layers`, in execution order. */
  packed: Map<string, StoredLinear>;
  /** Dense parameters that changed, by Hugging Face name. */
  parameters: Map<string, DenseParameter>;
  /** By layer; null where activations are plain. */
  activations: (LayerActivations | null)[];
  /** The output head got weights of its own. */
  untied: boolean;
  layers: LayerError[];
  notes: string[];
  /** Stored bytes of the quantized linears, scales and zero points included. */
  quantizedBytes: number;
  /** Over the quantized linears. */
  bitsPerWeight: number;
  /** [out, in] by module; null unless asked for and the method has them. */
  latents: Map<string, Float32Array> | null;
  /** What the method learnt and folding hides, by tensor name; empty for methods that learn nothing. */
  trained: Map<string, DenseParameter>;
}

/**
 * Quantizes `model` in place. Everything is checked before work starts. Throws `bad-input` (group size, context), `calibration-too-short`,
 * `dataset-invalid`, `numeric` naming the linear, or `cancelled`; after an error the model may be partly quantized.
 */
export async function quantizeModel(model: LanguageModel, stage: QuantizeStage, options: QuantizeOptions = {}): Promise<QuantizedModel> {
  requireFittingStage(model.config, stage);
  const samples = calibrationOf(stage) ? await calibrationSamples(model, stage, options) : null;
  const modules = decoderLinears(model.config).filter((module) => schemeOf(stage, module));
  const notes: string[] = [];
  let done = 0;
  const report = (detail: string) => options.onProgress?.({ done, total: modules.length, detail });
  const quantizer = createLayerQuantizer({
    model,
    stage,
    ...(options.signal ? { signal: options.signal } : {}),
    onLinear(module) {
      done++;
      report(module);
    },
    onStep: (detail) => report(detail),
    onNote(note) {
      notes.push(note);
      options.onLog?.(note);
    },
  });
  try {
    const globals = await quantizer.begin?.();
    const layers = await quantizeLayers(model, quantizer, samples, options);
    for (const [index, { activations }] of layers.entries()) model.setActivations(index, activations);
    return collectResult(layers, globals ?? null, modules, notes, options.keepLatents || asksForLatents(stage));
  } finally {
    quantizer.dispose?.();
  }
}

async function quantizeLayers(
  model: LanguageModel,
  quantizer: LayerQuantizer,
  samples: readonly Int32Array[] | null,
  options: QuantizeOptions,
): Promise<LayerResult[]> {
  const calibrator = samples ? new Calibrator(model, samples, options) : null;
  const results: LayerResult[] = [];
  try {
    for (let index = 0; index < model.config.layers; index++) {
      if (calibrator && quantizer.advance === 'original') await calibrator.computeOutputs(index, quantizer.observe?.(index, calibrator));
      results.push(await quantizer.layer(index, calibrator));
      if (quantizer.advance === 'original') calibrator?.acceptOutputs();
      else if (index + 1 < model.config.layers) await calibrator?.advance(index);
    }
    return results;
  } finally {
    calibrator?.dispose();
  }
}

function collectResult(
  layers: readonly LayerResult[],
  globals: GlobalResult | null,
  modules: readonly string[],
  notes: string[],
  keepLatents: boolean,
): QuantizedModel {
  const linears = layers.flatMap((layer) => layer.linears);
  const byModule = new Map(linears.map((linear) => [linear.module, linear]));
  const ordered = modules.map((module) => byModule.get(module)!);
  const weights = ordered.reduce((sum, { packed }) => sum + packed.codes.length, 0);
  const quantizedBytes = ordered.reduce((sum, { packed }) => sum + storedLinearBytes(packed), 0);
  const latents = ordered.filter((linear) => linear.latents !== null).map(({ module, latents }) => [module, latents!] as const);
  return {
    packed: new Map(ordered.map(({ module, packed }) => [module, packed])),
    parameters: new Map([...(globals?.parameters ?? []), ...layers.flatMap((layer) => [...layer.parameters])]),
    activations: layers.map(({ activations }) => (activations && !isPlain(activations) ? activations : null)),
    untied: globals?.untied ?? false,
    layers: ordered.map(({ error }) => error),
    notes,
    quantizedBytes,
    bitsPerWeight: (8 * quantizedBytes) / weights,
    latents: keepLatents && latents.length > 0 ? new Map(latents) : null,
    trained: new Map(layers.flatMap(({ trained }) => [...(trained ?? [])])),
  };
}

function asksForLatents(stage: QuantizeStage): boolean {
  return stage.method === 'gptq' && (stage.options.keepLatents ?? false);
}

async function calibrationSamples(model: LanguageModel, stage: QuantizeStage, options: QuantizeOptions): Promise<readonly Int32Array[]> {
  const samples = options.samples ?? (await loadSamples(stage, options));
  requireReadableSamples(model.config, samples);
  options.onLog?.(`Calibrating on ${samples.length} samples of ${samples[0]!.length} tokens`);
  return samples;
}

async function loadSamples(stage: QuantizeStage, options: QuantizeOptions): Promise<Int32Array[]> {
  if (!options.tokenizer) {
    throw new RoundoffError(
      'tokenizer-invalid',
      `${methodTitle(stage.method)} reads calibration text, but the model brings no tokenizer.`,
      'Add its tokenizer.json.',
    );
  }
  return loadCalibration(calibrationOf(stage)!, options.tokenizer, { runSeed: options.seed ?? 0, signal: options.signal });
}
