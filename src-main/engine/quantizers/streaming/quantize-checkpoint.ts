/**
 * Quantizes a model folder into a `roundoff` checkpoint, holding one decoder layer at a time. Every finished layer is kept in a folder beside
 * the target until all are done, so a run that was killed or cancelled goes on after the last finished layer and ends with the same bytes.
 */
import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import { canonicalJson } from '#contract/protocol.ts';
import { calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import type { CalibrationRecord, LayerError } from '#contract/worker.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import { checkFolderIsFree } from '../../formats/atomic-file.ts';
import type { SavedCheckpoint } from '../../formats/quantized-checkpoint.ts';
import { openCheckpoint } from '../../formats/safetensors.ts';
import { decoderLinears } from '../../model/language-model.ts';
import { loadModel } from '../../model/load.ts';
import type { ModelTokenizer } from '../../model/tokenizer.ts';
import { prepareCalibration } from '../calibration-samples.ts';
import { Calibrator } from '../calibrator.ts';
import { estimateGpuQuantizationMemory } from '../gpu-memory-estimate.ts';
import type { LayerQuantizer } from '../layer-quantizer.ts';
import { estimateQuantizationMemory } from '../memory-estimate.ts';
import { activeGpu, MemoryMeter } from '../memory-meter.ts';
import { createLayerQuantizer } from '../methods.ts';
import { resolveMixed } from '../resolve-mixed.ts';
import { schemeOf } from '../scheme-map.ts';
import { requireFittingStage, requireReadableSamples } from '../validation.ts';
import { assembleCheckpoint } from './assemble.ts';
import { LayeredModel } from './layered-model.ts';
import { restoreLayer, restoreParameters } from './restore-layer.ts';
import { type PartRecord, WorkFolder } from './work-folder.ts';

export interface QuantizeCheckpointOptions {
  /** A dense model folder. */
  sourceDir: string;
  outDir: string;
  stage: QuantizeStage;
  /** The run's seed; with the calibration's own seed it decides the order of documents. */
  seed: number;
  /** Asked for only by methods that calibrate. */
  tokenizer(): Promise<ModelTokenizer>;
  /** Calibration samples of equal length, instead of the stage's file. */
  samples?: readonly Int32Array[];
  /** Identifies the model's contents, for resuming. */
  modelHash: string;
  metadata?: Record<string, string>;
  /** Weights above this are written as shards. */
  shardBytes?: number;
  /** Replace an existing folder. */
  replace?: boolean;
  signal?: AbortSignal;
  onProgress?(progress: QuantizeProgress): void;
  onLog?(message: string): void;
}

export interface QuantizeProgress {
  /** What is counted. */
  unit: 'linears' | 'solutions' | 'units scanned';
  done: number;
  total: number;
  /** What was just done. */
  detail: string;
}

export interface QuantizedCheckpoint {
  saved: SavedCheckpoint;
  /** The stage as it was carried out: mixed precision resolved. */
  stage: QuantizeStage;
  layers: LayerError[];
  notes: string[];
  /** Stored bytes of the quantized linears, scales and zero points included. */
  quantizedBytes: number;
  /** Over the quantized linears. */
  bitsPerWeight: number;
  calibration: CalibrationRecord | null;
  /** Largest resident memory of the process while this ran, and what was estimated for the stage. */
  peakMemoryBytes: number;
  estimatedMemoryBytes: number;
  /** The same of the GPU's memory, on webgpu. */
  peakGpuMemoryBytes?: number;
  estimatedGpuMemoryBytes?: number;
}

/** Suffix of the folder that keeps finished layers. */
export const workSuffix = '.work';

/**
 * Throws `bad-input`, `calibration-too-short`, `dataset-invalid`, `model-invalid`, `numeric` naming the linear, `disk-full`, `cancelled`; the
 * target is then as it was, and finished layers are kept for the next attempt.
 */
export async function quantizeCheckpoint(options: QuantizeCheckpointOptions): Promise<QuantizedCheckpoint> {
  const { sourceDir, outDir, signal, onLog = () => undefined } = options;
  if (!options.replace) await checkFolderIsFree(outDir);
  const meter = new MemoryMeter();
  const layered = await LayeredModel.open(sourceDir).catch((error: unknown) => {
    meter.stop();
    throw error;
  });
  const notes: string[] = [];
  try {
    const { config } = layered.model;
    if (!options.stage.mixed) requireFittingStage(config, options.stage);
    const stage = await resolve(options, notes);
    requireFittingStage(config, stage);
    const { samples, record } = await calibrate(options, stage, layered);
    const gpu = activeGpu();
    const estimates = {
      estimatedMemoryBytes: estimateQuantizationMemory(config, stage),
      ...(gpu ? { estimatedGpuMemoryBytes: estimateGpuQuantizationMemory(config, stage, gpu.memory.budgetBytes) } : {}),
    };
    onLog(`About ${Math.ceil(estimates.estimatedMemoryBytes / 2 ** 20)} MiB of memory will be needed.`);
    const work = await WorkFolder.open(`${outDir}${workSuffix}`, keyOf(options, stage, samples), onLog);
    const run = new LayerRun(layered, stage, work, options, notes);
    const parts = await run.all(samples);
    const { metadata, replace, shardBytes } = options;
    const saved = await assembleCheckpoint(outDir, {
      sourceDir,
      ...parts,
      shardBytes,
      ...(metadata ? { metadata } : {}),
      ...(replace ? { replace } : {}),
      ...(signal ? { signal } : {}),
    });
    await work.remove();
    return { saved, stage, ...summarize(parts.layers, notes, config.layers), calibration: record, ...meter.peaks(), ...estimates };
  } finally {
    meter.stop();
    await layered.close();
  }
}

function resolve({ stage, sourceDir, tokenizer, seed, signal, onProgress, onLog }: QuantizeCheckpointOptions, notes: string[]) {
  return resolveMixed(stage, {
    model: () => loadModel(sourceDir, signal ? { signal } : {}),
    tokenizer,
    runSeed: seed,
    ...(signal ? { signal } : {}),
    onProgress: (done, total, detail) => onProgress?.({ unit: 'units scanned', done, total, detail }),
    onNote: (note) => {
      notes.push(note);
      onLog?.(note);
    },
  });
}

async function calibrate(
  options: QuantizeCheckpointOptions,
  stage: QuantizeStage,
  layered: LayeredModel,
): Promise<{ samples: readonly Int32Array[] | null; record: CalibrationRecord | null }> {
  const settings = calibrationOf(stage);
  if (!settings) return { samples: null, record: null };
  const { sourceDir, seed, signal, onProgress, onLog } = options;
  if (options.samples) {
    requireReadableSamples(layered.model.config, options.samples);
    return { samples: options.samples, record: null };
  }
  const whole: { model: Awaited<ReturnType<typeof loadModel>> | null } = { model: null };
  try {
    const { samples, record } = await prepareCalibration(settings, {
      tokenizer: await options.tokenizer(),
      model: async () => (whole.model = await loadModel(sourceDir, signal ? { signal } : {})),
      runSeed: seed,
      ...(signal ? { signal } : {}),
      onProgress: (done, total) => onProgress?.({ unit: 'solutions', done, total, detail: 'sampling the model’s own solutions' }),
    });
    requireReadableSamples(layered.model.config, samples);
    onLog?.(`Calibrating on ${samples.length} samples of ${samples[0]!.length} tokens`);
    return { samples, record };
  } finally {
    whole.model?.dispose();
  }
}

/** What must be the same for finished layers to be of use. */
function keyOf(
  { seed, modelHash, metadata }: QuantizeCheckpointOptions,
  stage: QuantizeStage,
  samples: readonly Int32Array[] | null,
): string {
  const { spillActivations: _, ...settings } = stage;
  const hash = createHash('sha256').update(
    canonicalJson({ stage: settings, seed, modelHash, metadata: metadata ?? {}, backend: tf.getBackend(), format: 2 }),
  );
  for (const sample of samples ?? []) hash.update(new Uint8Array(sample.buffer, sample.byteOffset, sample.byteLength));
  return hash.digest('hex');
}

function summarize(layers: readonly { record: PartRecord }[], notes: readonly string[], count: number) {
  const records = layers.map(({ record }) => record);
  const quantizedBytes = records.reduce((sum, record) => sum + record.quantizedBytes, 0);
  const weights = records.reduce((sum, record) => sum + record.quantizedWeights, 0);
  const errors = records.flatMap((record) => record.errors);
  const place = new Map(orderOf(count).map((name, index) => [name, index]));
  errors.sort((a, b) => place.get(a.name)! - place.get(b.name)!);
  return {
    layers: errors,
    notes: [...notes, ...records.flatMap((record) => record.notes)],
    quantizedBytes,
    bitsPerWeight: weights === 0 ? 0 : (8 * quantizedBytes) / weights,
  };
}

function orderOf(layers: number): string[] {
  return decoderLinears({ layers } as Parameters<typeof decoderLinears>[0]);
}

/** One quantization on its way through the layers. */
class LayerRun {
  private readonly layered: LayeredModel;
  private readonly stage: QuantizeStage;
  private readonly work: WorkFolder;
  private readonly options: QuantizeCheckpointOptions;
  private readonly quantizer: LayerQuantizer;
  private readonly total: number;
  private done = 0;
  private layerNotes: string[] | null = null;

  constructor(layered: LayeredModel, stage: QuantizeStage, work: WorkFolder, options: QuantizeCheckpointOptions, notes: string[]) {
    this.layered = layered;
    this.stage = stage;
    this.work = work;
    this.options = options;
    this.total = decoderLinears(layered.model.config).filter((module) => schemeOf(stage, module)).length;
    this.quantizer = createLayerQuantizer({
      model: layered.model,
      stage,
      ...(options.signal ? { signal: options.signal } : {}),
      onLinear: (module) => this.progress(module, 1),
      onStep: (detail) => this.progress(detail, 0),
      onNote: (note) => {
        (this.layerNotes ?? notes).push(note);
        options.onLog?.(note);
      },
    });
  }

  async all(samples: readonly Int32Array[] | null) {
    const last = await this.lastUnfinished();
    const globals = await this.globals(last >= 0);
    const calibrator = samples && last >= 0 ? await this.startCalibrator(samples, globals !== null) : null;
    if (globals) this.layered.releaseGlobals();
    const layers: { dir: string; record: PartRecord }[] = [];
    try {
      const count = this.layered.model.config.layers;
      for (let index = 0; index < count; index++) layers.push(await this.layer(index, index >= last, calibrator));
      return { globals, layers };
    } finally {
      await calibrator?.dispose();
      this.quantizer.dispose?.();
    }
  }

  /** Index of the last layer still to do, after which hidden states are of no use; −1 when an earlier run did all. */
  private async lastUnfinished(): Promise<number> {
    for (let index = this.layered.model.config.layers - 1; index >= 0; index--) {
      if (!(await this.work.read(this.work.layerDir(index)))) return index;
    }
    return -1;
  }

  private progress(detail: string, linears: number): void {
    this.done += linears;
    this.options.onProgress?.({ unit: 'linears', done: this.done, total: this.total, detail });
  }

  /** What lies outside the layers, changed on the model if that is needed; null for methods that change nothing there. */
  private async globals(isNeeded: boolean): Promise<{ dir: string; record: PartRecord } | null> {
    if (!this.quantizer.begin) return null;
    const dir = this.work.globalsDir;
    const finished = await this.work.read(dir);
    if (!finished) {
      await this.layered.loadGlobals();
      return { dir, record: await this.work.writeGlobals(await this.quantizer.begin()) };
    }
    if (finished.untied) this.layered.model.untie();
    if (!isNeeded) return { dir, record: finished };
    const part = await openCheckpoint(dir);
    try {
      await restoreParameters(this.layered.model, part);
    } finally {
      await part.close();
    }
    return { dir, record: finished };
  }

  private async startCalibrator(samples: readonly Int32Array[], ownEmbeddings: boolean): Promise<Calibrator> {
    const { signal } = this.options;
    const common = { ...(signal ? { signal } : {}), ...(this.stage.spillActivations ? { spillDir: this.work.dir } : {}) };
    if (ownEmbeddings) return Calibrator.start(this.layered.model, samples, common);
    const embed = (batch: readonly Int32Array[]) => this.layered.embed(batch);
    return Calibrator.start(this.layered.model, samples, { ...common, embed });
  }

  private async layer(index: number, isLast: boolean, calibrator: Calibrator | null) {
    throwIfCancelled(this.options.signal, 'Quantization');
    const { layered, quantizer, work } = this;
    const dir = work.layerDir(index);
    const finished = await work.read(dir);
    if (finished) {
      this.progress(`layer ${index} was finished before`, finished.errors.length);
      if (calibrator && !isLast) {
        await layered.loadLayer(index);
        if (quantizer.advance === 'quantized') await restoreLayer(layered.model, index, dir, finished);
        await calibrator.advance(index);
        layered.releaseLayer(index);
      }
      return { dir, record: finished };
    }
    await layered.loadLayer(index);
    this.layerNotes = [];
    if (calibrator && quantizer.advance === 'original') await calibrator.computeOutputs(index, quantizer.observe?.(index, calibrator));
    const result = await quantizer.layer(index, calibrator);
    const record = await work.writeLayer(
      index,
      result,
      this.layerNotes,
      this.stage.method === 'gptq' && this.stage.options.keepLatents === true,
    );
    this.layerNotes = null;
    if (quantizer.advance === 'original') calibrator?.acceptOutputs();
    else if (!isLast) await calibrator?.advance(index);
    layered.releaseLayer(index);
    return { dir, record };
  }
}
