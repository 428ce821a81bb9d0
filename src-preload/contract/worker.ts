/**
 * What main and a run's worker process say to each other: one complete request, `cancel` / `stop` afterwards, events back.
 */
import type { Interval } from './comparison.ts';
import type { ErrorInfo } from './errors.ts';
import type { Recipe } from './recipe.ts';

export type BackendName = 'wasm' | 'webgpu' | 'tensorflow';
export type BackendPreference = BackendName | 'auto';
export type Verdict = 'correct' | 'incorrect' | 'unparsed' | 'truncated';
export type FinishReason = 'stop' | 'length';

/** Everything a run needs; paths are absolute and `sample:` is resolved. The worker never asks back. */
export interface RunRequest {
  runId: string;
  recipe: Recipe;
  modelDir: string;
  outputDir: string;
  seed: number;
  backend: BackendPreference;
  /** Of the baseline's completions, where there are any: what is long is generated first. */
  expectedTokens: ExpectedTokens;
  /** What an earlier, interrupted execution already recorded. */
  resume: ResumeState;
}

export interface ResumeState {
  /** Continue numbering after this. 0 for a fresh run. */
  lastSeq: number;
  /** Indices of stages that finished. */
  finishedStages: number[];
  /** Folders of their checkpoints, which may lie with another run of the study that began alike. */
  checkpoints: { stage: number; dir: string }[];
  recordedSamples: RecordedSample[];
  /** Keys (`windowKey`) of text windows that are recorded. */
  recordedWindows: string[];
}

/** What an evaluation that goes on needs to know of a completion that is already recorded; the key is its `sampleKey`. */
export type RecordedSample = readonly [key: string, verdict: Verdict, completionTokens: number];

/** Mean tokens of a problem's completions, by benchmark and problem. */
export type ExpectedTokens = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** `benchmark\u0000seed\u0000problemId` */
export function sampleKey(benchmark: string, seed: number, problemId: string): string {
  return `${benchmark}\u0000${seed}\u0000${problemId}`;
}

export type MainToWorker = { type: 'run'; request: RunRequest } | { type: 'cancel' } | { type: 'stop' };

export type ArtifactKind = 'checkpoint' | 'quantization-report' | 'training-report' | 'export';

export interface ArtifactInfo {
  kind: ArtifactKind;
  /** Relative to the project's artifacts folder once recorded; relative to the run's output folder in events. */
  path: string;
  sha256: string;
  sizeBytes: number;
}

/** One evaluated completion. */
export interface SampleResult {
  benchmark: string;
  seed: number;
  problemId: string;
  prompt: string;
  completion: string;
  gold: string;
  extracted: string | null;
  verdict: Verdict;
  /** Why the verdict is what it is, in short, where the verifier says more than the answer shows. */
  detail: string | null;
  completionTokens: number;
  finishReason: FinishReason;
}

/** One window of a text whose perplexity is measured. */
export interface TextWindow {
  benchmark: string;
  /** Counted from 0. */
  window: number;
  /** Tokens scored in it. */
  tokens: number;
  /** Their negative log-probabilities together. */
  nats: number;
}

export function windowKey(benchmark: string, window: number): string {
  return `${benchmark}\u0000${window}`;
}

/** How far one benchmark of a running evaluation is. */
export interface BenchmarkProgress {
  benchmark: string;
  /** Completions. */
  done: number;
  total: number;
  /** Problems from the beginning of the seeded order whose completions have all ended; only these are counted in `accuracy`. */
  problems: number;
  /** Problems of the benchmark under the protocol. */
  of: number;
  accuracy: Interval | null;
  /** Over the completions so far; null without any. */
  meanTokens: number | null;
  /** The wanted precision is reached and no more problems follow. */
  stopped: boolean;
}

/** A benchmark that ended before its last problem because the protocol's precision was reached. */
export interface BenchmarkStop {
  benchmark: string;
  /** The first so many of the seeded order count. */
  problems: number;
  of: number;
  /** From the accuracy to the farther limit of its 95 % interval, as a share. */
  margin: number;
}

export interface LayerError {
  name: string;
  /** Mean squared error of the weights. */
  weightError: number;
  /** Mean squared error of the layer's outputs on calibration data; null without calibration. */
  outputError: number | null;
  /** Output error divided by round-to-nearest's on the same grid; null without calibration. */
  outputErrorVsRtn: number | null;
}

/** What a finished quantize stage reports. */
export interface QuantizeSummary {
  type: 'quantize';
  method: string;
  scheme: string;
  /** Stored bytes of all quantized linears, scales and zero points included. */
  quantizedBytes: number;
  /** Stored bytes of the whole checkpoint's tensors. */
  totalBytes: number;
  /** Over the quantized linears. */
  bitsPerWeight: number;
  layers: LayerError[];
  /** Recorded deviations from what was asked, e.g. a damping that had to be raised. */
  notes: string[];
  /** What the calibration text was; absent without calibration. */
  calibration?: CalibrationRecord;
  /** Largest resident memory of the process during the stage, and what was estimated before it. */
  peakMemoryBytes?: number;
  estimatedMemoryBytes?: number;
  /** Most bytes of GPU buffers in use at once, and what was estimated before; on webgpu only. */
  peakGpuMemoryBytes?: number;
  estimatedGpuMemoryBytes?: number;
}
/** What a method calibrated on, recorded with its result. */
export interface CalibrationRecord {
  path: string;
  /** What the text is about, as the recipe says or the file is named. */
  domain: string;
  source: 'text' | 'solutions';
  samples: number;
  sequenceLength: number;
  seed: number;
}
/** What a finished train stage reports. */
export interface TrainSummary {
  type: 'train';
  /** `KD`, `GRPO`, …, and `QAT`, `QLoRA`, … as titles. */
  objective: string;
  trains: string;
  steps: number;
  /** Tokens learnt from. */
  tokens: number;
  trainableParameters: number;
  /** Examples (or problems) learnt from, and those left out as too long. */
  examples: number;
  tooLong: number;
  domain: string;
  /** Means over the last tenth of the steps, by the metric's name. */
  last: Record<string, number>;
  /** The evaluated step with the highest accuracy. */
  best: { step: number; accuracy: number } | null;
  /** Stored bytes of the trained checkpoint's tensors; bits per weight of its quantized linears, if it has any. */
  totalBytes: number;
  quantizedBytes: number | null;
  bitsPerWeight: number | null;
  notes: string[];
  /** Largest resident memory of the process during the stage, and what was estimated before it. */
  peakMemoryBytes: number;
  estimatedMemoryBytes?: number;
  /** Most bytes of GPU buffers in use at once, and what was estimated before; on webgpu only. */
  peakGpuMemoryBytes?: number;
  estimatedGpuMemoryBytes?: number;
}
export interface EvaluateSummary {
  type: 'evaluate';
  protocolHash: string;
  samples: number;
  tokensPerSecond: number;
  /** Largest resident memory of the process during the stage; absent in files of earlier versions. */
  peakMemoryBytes?: number;
  /** Most bytes of GPU buffers in use at once; on webgpu only. */
  peakGpuMemoryBytes?: number;
  /** Benchmarks that ended early; absent where none did. */
  stopped?: BenchmarkStop[];
}
export interface ExportSummary {
  type: 'export';
  format: string;
  path: string;
  sizeBytes: number;
  /** Names of runtimes that load the files; empty when only Roundoff computes this scheme. */
  loadsIn?: string[];
  /** Our own reader's check of the written files against the model they were written from. */
  smokeLoad?: SmokeLoad;
}
/** Logits of the reloaded export beside those of the model it was made from, on the same tokens. */
export interface SmokeLoad {
  tokens: number;
  largestDifference: number;
  /** What the format's own rounding may cost (half-precision scales, coarser types); a larger difference fails the export. */
  allowedDifference: number;
}
export type StageSummary = QuantizeSummary | TrainSummary | EvaluateSummary | ExportSummary;

/** The body of an event, before the worker's emitter numbers it. `stage` is the index into the recipe's stages. */
export type RunEventBody =
  | {
      type: 'started';
      backend: BackendName;
      device: string;
      skippedBackends: { backend: BackendName; reason: string }[];
      versions: Record<string, string>;
      modelHash: string;
      modelBytes: number;
    }
  | { type: 'stage-started'; stage: number; title: string }
  | {
      type: 'progress';
      stage: number;
      done: number;
      total: number;
      unit: string;
      ratePerSecond: number | null;
      remainingMs: number | null;
      detail: string;
      /** Of an evaluation. */
      benchmarks?: BenchmarkProgress[];
    }
  | { type: 'metric'; stage: number; name: string; step: number; value: number }
  | { type: 'log'; level: 'info' | 'warning' | 'error'; message: string }
  | { type: 'sample'; stage: number; sample: SampleResult }
  | { type: 'window'; stage: number; window: TextWindow }
  /** `surplus`: later problems of the seeded order of which samples came before the stop was decided; they do not count and are removed. */
  | { type: 'benchmark-stopped'; stage: number; stop: BenchmarkStop; surplus: string[] }
  | { type: 'artifact'; stage: number; artifact: ArtifactInfo }
  | { type: 'stage-finished'; stage: number; summary: StageSummary; elapsedMs: number }
  | { type: 'finished' }
  | { type: 'failed'; error: ErrorInfo }
  | { type: 'cancelled' }
  | { type: 'stopped' };

/** `seq` rises by one per event of a run, also across a resume. `at` is Unix time in ms. */
export type RunEvent = RunEventBody & { runId: string; seq: number; at: number };

/** `heartbeat` says that a worker without news is alive. */
export type WorkerToMain = { type: 'ready'; pid: number; node: string } | { type: 'events'; events: RunEvent[] } | { type: 'heartbeat' };
