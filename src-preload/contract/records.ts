/**
 * What main hands to the renderer and the command line: domain types, apart from SQLite's row types.
 */

import type { ProblemKind } from './benchmarks.ts';
import type { ErrorInfo } from './errors.ts';
import type { GpuDescription } from './gpu.ts';
import type { MemoryTask } from './memory-tasks.ts';
import type { TrialProgress } from './preflight.ts';
import type { EvaluationProtocol } from './protocol.ts';
import type { Recipe, StudySpec } from './recipe.ts';
import type { RuntimeProgress, RuntimeStatus } from './runtime.ts';
import type { ArtifactKind, BackendName, BenchmarkProgress, RunEvent, SampleResult, StageSummary, Verdict } from './worker.ts';

export interface ProjectInfo {
  path: string;
  name: string;
  artifactsDir: string;
  createdAt: number;
  schemaVersion: number;
  /** Set when the file could only be opened for reading. */
  readOnly: boolean;
}

export interface RecentProject {
  path: string;
  name: string;
  openedAt: number;
  exists: boolean;
}

export type ProblemSeverity = 'error' | 'warning';
export interface InspectionProblem {
  severity: ProblemSeverity;
  /** File or tensor, and place in it. */
  where: string;
  message: string;
  hint: string;
}

/** Everything `model inspect` knows. `problems` with severity `error` mean the model cannot be used. */
export interface ModelInspection {
  path: string;
  name: string;
  architecture: string;
  parameters: number;
  layers: number;
  hiddenSize: number;
  intermediateSize: number;
  attentionHeads: number;
  keyValueHeads: number;
  headDim: number;
  vocabSize: number;
  contextLength: number;
  tiedEmbeddings: boolean;
  dtype: string;
  files: { name: string; sizeBytes: number }[];
  sizeBytes: number;
  /** sha256 over the sorted names, and sizes and contents of config, tokenizer and weight files. */
  hash: string;
  /** Checkpoint size by scheme. */
  schemeSizes: { scheme: string; sizeBytes: number; bitsPerWeight: number; unsupported: string | null }[];
  /** Estimated peak memory by task; `gpu-…` of the GPU's, on webgpu. */
  memory: { task: MemoryTask; bytes: number }[];
  chatTemplate: boolean;
  problems: InspectionProblem[];
}

export interface ModelRecord {
  id: number;
  path: string;
  name: string;
  architecture: string;
  parameters: number;
  sizeBytes: number;
  hash: string;
  addedAt: number;
}

export type DatasetKind = 'benchmark' | 'calibration' | 'training';
/** What a benchmark's file is, beside its problems. */
export interface BenchmarkFacts {
  /** As its publisher's layout is known: `GPQA`, `OlympiadBench`, `written answers`. */
  layout: string;
  problemKind: ProblemKind;
  /** `openai/gsm8k` and the revision, for what lies in Hugging Face's cache. */
  repository: string | null;
  /** Of a folder: the split that was read, and all there are. */
  split: string | null;
  splits: string[];
  /** As they are in the file, with the first value that is not empty. */
  columns: { name: string; example: string }[];
  levels: { name: string; problems: number }[];
  subjects: { name: string; problems: number }[];
  /** Problems that allow an error. */
  withTolerance: number;
  /** What always giving the same letter would score; null where answers are no letters. */
  floor: number | null;
}

export interface DatasetInspection {
  path: string;
  name: string;
  kind: DatasetKind;
  rows: number;
  sizeBytes: number;
  sha256: string;
  preview: { prompt: string; answer: string }[];
  problems: InspectionProblem[];
  /** Of benchmarks that could be read. */
  benchmark?: BenchmarkFacts;
}

export type RunStatus = 'queued' | 'running' | 'stopping' | 'finished' | 'failed' | 'cancelled' | 'interrupted';
export const finalRunStatuses: readonly RunStatus[] = ['finished', 'failed', 'cancelled', 'interrupted'];

export interface RunProgress {
  stage: number;
  stageTitle: string;
  done: number;
  total: number;
  unit: string;
  ratePerSecond: number | null;
  remainingMs: number | null;
  detail: string;
  /** While benchmarks are evaluated. */
  benchmarks?: BenchmarkProgress[];
}

export interface RunRecord {
  id: string;
  studyId: number;
  name: string;
  isBaseline: boolean;
  /** The run whose checkpoint this one starts from; null for runs on the original model. */
  parentRunId: string | null;
  modelId: number;
  seed: number;
  recipe: Recipe;
  status: RunStatus;
  backend: BackendName | null;
  device: string | null;
  progress: RunProgress | null;
  error: ErrorInfo | null;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  lastSeq: number;
}

export interface StageRecord {
  index: number;
  type: 'quantize' | 'train' | 'evaluate' | 'export';
  title: string;
  status: 'pending' | 'running' | 'finished' | 'failed';
  startedAt: number | null;
  elapsedMs: number | null;
  summary: StageSummary | null;
}

export interface MetricSeries {
  stage: number;
  name: string;
  points: { step: number; value: number }[];
}

export interface LogLine {
  seq: number;
  at: number;
  level: 'info' | 'warning' | 'error';
  message: string;
}

export interface ArtifactRecord {
  stage: number;
  kind: ArtifactKind;
  /** Relative to the project's artifacts folder. */
  path: string;
  sha256: string;
  sizeBytes: number;
}

/** A run as recorded up to `lastSeq`; newer events continue from there. */
export interface RunSnapshot {
  run: RunRecord;
  stages: StageRecord[];
  metrics: MetricSeries[];
  log: LogLine[];
  artifacts: ArtifactRecord[];
  lastSeq: number;
}

export interface StudyRecord {
  id: number;
  name: string;
  spec: StudySpec;
  protocol: EvaluationProtocol;
  protocolHash: string;
  createdAt: number;
  runCount: number;
  finishedCount: number;
  failedCount: number;
  activeCount: number;
}

export interface StudyPlan {
  /** `variant` is the name of the study's variant; null for the baseline. */
  runs: { name: string; variant: string | null; model: string; seed: number; stages: string[] }[];
  /** Completions to generate in all. */
  completions: number;
  estimate: {
    elapsedMs: number;
    memoryBytes: number;
    /** Of a study on webgpu; `budgetBytes`, what a process may hold there, is null where nothing says. */
    gpuMemory: { neededBytes: number; budgetBytes: number | null } | null;
    diskBytes: number;
  };
  /** How the time was estimated. */
  basis: string;
  /** What the study computes on here; null where that cannot be said. */
  computesOn: { backend: BackendName; device: string } | null;
  problems: InspectionProblem[];
}

export interface SampleRow extends SampleResult {
  id: number;
  runId: string;
  runName: string;
}

/** With what became of the same problem and seed in the baseline; null for the baseline itself and where it has no such sample. */
export interface ListedSample extends SampleRow {
  baselineVerdict: Verdict | null;
}

export interface SamplePage {
  total: number;
  rows: ListedSample[];
}

export interface Preset {
  id: string;
  name: string;
  description: string;
  spec: StudySpec;
}

export interface SampleCatalog {
  /** Absolute folder of the bundled sample model. */
  modelDir: string;
  benchmarks: { name: string; path: string; title: string; problems: number }[];
  calibration: { name: string; path: string; title: string }[];
  /** To train on: problems with worked solutions and answers. */
  training: { name: string; path: string; title: string }[];
}

export interface BackendStatus {
  name: BackendName;
  available: boolean;
  device: string | null;
  /** Why it is not available, with the remedy. */
  reason: string | null;
  /** Of webgpu's adapter. */
  gpu?: GpuDescription;
}

export interface DoctorReport {
  version: string;
  node: string;
  platform: string;
  cpu: string;
  cores: number;
  memoryBytes: number;
  freeMemoryBytes: number;
  freeDiskBytes: number;
  electron: string | null;
  backends: BackendStatus[];
  problems: InspectionProblem[];
}

export interface FileListing {
  path: string;
  parent: string | null;
  entries: { name: string; path: string; kind: 'folder' | 'file'; sizeBytes: number; isModel: boolean; isProject: boolean }[];
}

export interface AppInfo {
  version: string;
  host: 'electron' | 'browser' | 'cli';
  node: string;
  platform: string;
  homeDir: string;
  defaultProjectDir: string;
}

export type HostEvent =
  | { type: 'run-events'; runId: string; events: RunEvent[] }
  | { type: 'run-changed'; run: RunRecord }
  | { type: 'study-changed'; study: StudyRecord }
  | { type: 'trial-progress'; progress: TrialProgress }
  | { type: 'runtime-progress'; progress: RuntimeProgress }
  /** Installed, removed, cancelled or failed. */
  | { type: 'runtime-changed'; status: RuntimeStatus }
  | { type: 'project-changed'; project: ProjectInfo | null };
