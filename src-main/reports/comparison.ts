/**
 * Builds a study's comparison from plain recorded data: one row per run with accuracies, intervals, and paired differences
 * against the baseline of the same model. Pure, so that the workbench, the command line and every report show the same numbers.
 */
import type { ComparisonRow, LineageNode, LoadsIn, PairedDifference, StudyComparison } from '#contract/comparison.ts';
import { runtimesOf } from '#contract/loads-in.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { type CalibrationSettings, calibrationOf, type QuantizeStage, stageScheme } from '#contract/recipe.ts';
import type { ArtifactRecord, ModelRecord, RunRecord, StageRecord } from '#contract/records.ts';
import { formatScheme } from '#contract/scheme.ts';
import type { CalibrationRecord, QuantizeSummary, StageSummary } from '#contract/worker.ts';
import { averageDrop, averageIntervals } from '../engine/statistics/index.ts';
import { type BenchmarkSamples, benchmarkResult, type CompactSample, groupSamples, type RunSamples } from './comparison-samples.ts';
import { bytes } from './format.ts';

export type { CompactSample } from './comparison-samples.ts';

export interface ComparisonRun
  extends Pick<
    RunRecord,
    'id' | 'name' | 'isBaseline' | 'status' | 'modelId' | 'seed' | 'parentRunId' | 'recipe' | 'backend' | 'device' | 'error'
  > {
  stages: readonly StageRecord[];
  artifacts: readonly ArtifactRecord[];
}

export interface ComparisonInput {
  study: { id: number; name: string; description: string; protocol: EvaluationProtocol; protocolHash: string; createdAt: number };
  /** In table order. `problems` counts what the protocol evaluates, after its limit. */
  benchmarks: readonly { name: string; path: string; sha256: string; problems: number }[];
  models: readonly Pick<ModelRecord, 'id' | 'name' | 'path' | 'hash' | 'parameters' | 'sizeBytes'>[];
  /** In table order. */
  runs: readonly ComparisonRun[];
  /** Of all runs, in any order. */
  samples: Iterable<CompactSample>;
  /** Versions and hardware, shown as given. */
  environment: Readonly<Record<string, string>>;
}

/** The comparison of everything recorded so far; unfinished runs give rows with what they have. */
export function buildComparison(input: ComparisonInput): StudyComparison {
  const samples = groupSamples(input.samples);
  return {
    studyId: input.study.id,
    name: input.study.name,
    description: input.study.description,
    protocol: input.study.protocol,
    protocolHash: input.study.protocolHash,
    benchmarks: input.benchmarks.map(({ name, path, sha256, problems }) => ({ name, path, sha256, problems })),
    models: input.models.map(({ name, path, hash, parameters, sizeBytes }) => ({ name, path, hash, parameters, sizeBytes })),
    rows: input.runs.map((run) => comparisonRow(run, input, samples)),
    lineage: input.runs.map(lineageNode),
    complete: input.runs.every((run) => run.status === 'finished'),
    environment: { ...input.environment },
    createdAt: input.study.createdAt,
  };
}

function comparisonRow(run: ComparisonRun, input: ComparisonInput, samples: RunSamples): ComparisonRow {
  const { protocol } = input.study;
  const model = input.models.find((candidate) => candidate.id === run.modelId);
  const baseline = baselineOf(run, input.runs);
  const own = samples.get(run.id);
  const reference = baseline ? samples.get(baseline.id) : undefined;
  const benchmarks = input.benchmarks.flatMap(({ name }) => {
    const recorded = own?.get(name);
    return recorded ? [benchmarkResult(name, recorded, run.isBaseline ? undefined : reference?.get(name))] : [];
  });
  const complete = isComplete(own, input);
  const average = complete ? averageIntervals(benchmarks.map((result) => result.accuracy)) : null;
  const differences = benchmarks.map((result) => result.versusBaseline).filter((item): item is PairedDifference => item !== null);
  const comparable = complete && !run.isBaseline && isComplete(reference, input);
  const drop = comparable ? averageDrop(differences) : null;
  const quantization = lastQuantization(run);
  const stage = run.recipe.stages.findLast((candidate) => candidate.type === 'quantize') ?? null;
  return {
    runId: run.id,
    name: run.name,
    isBaseline: run.isBaseline,
    status: run.status,
    model: model?.name ?? '',
    modelId: run.modelId,
    seed: run.seed,
    method: methodOf(run),
    scheme: stage ? (stage.mixed ? stageScheme(stage) : formatScheme(stage.scheme)) : 'none',
    overrides: stage?.overrides ?? [],
    calibration: quantization?.calibration ?? plannedCalibration(stage),
    loadsIn: stage && loadsIn(run, stage),
    sizeBytes: quantization?.totalBytes ?? (run.isBaseline ? (model?.sizeBytes ?? null) : null),
    bitsPerWeight: quantization?.bitsPerWeight ?? (run.isBaseline && model ? storedBits(model) : null),
    benchmarks,
    average,
    drop,
    recovery: average && drop && average.value + drop.value > 0 ? average.value / (average.value + drop.value) : null,
    elapsedMs: elapsed(run),
    backend: run.backend,
    device: run.device,
    notes: notesOf(run, own, protocol.seeds.length * input.benchmarks.reduce((sum, { problems }) => sum + problems, 0)),
  };
}

/** The baseline run of the same model, of the same seed where there is one. */
function baselineOf(run: ComparisonRun, runs: readonly ComparisonRun[]): ComparisonRun | undefined {
  const candidates = runs.filter((candidate) => candidate.isBaseline && candidate.modelId === run.modelId);
  return candidates.find((candidate) => candidate.seed === run.seed) ?? candidates[0];
}

function isComplete(recorded: Map<string, BenchmarkSamples> | undefined, input: ComparisonInput): boolean {
  const seeds = input.study.protocol.seeds.length;
  return (
    input.benchmarks.length > 0 && input.benchmarks.every(({ name, problems }) => (recorded?.get(name)?.count ?? 0) >= problems * seeds)
  );
}

function lastQuantization(run: ComparisonRun): QuantizeSummary | null {
  const summaries = run.stages.map((stage) => stage.summary).filter((summary): summary is QuantizeSummary => summary?.type === 'quantize');
  return summaries.at(-1) ?? null;
}

function methodOf(run: ComparisonRun): string {
  const methods = run.recipe.stages.flatMap((stage) => (stage.type === 'quantize' ? [stage.method] : []));
  return methods.length > 0 ? methods.join(' + ') : 'none';
}

/** What the recipe asks for, until the run has recorded what it did. */
function plannedCalibration(stage: QuantizeStage | null): CalibrationRecord | null {
  const settings: CalibrationSettings | null = stage && calibrationOf(stage);
  if (!settings) return null;
  const { path, domain, samples, sequenceLength, seed, solutions } = settings;
  const name = path.split(/[\\/:]/).at(-1)!;
  return { path, domain: domain ?? name.replace(/\.[^.]+$/, ''), source: solutions ? 'solutions' : 'text', samples, sequenceLength, seed };
}

/** From the files the run exported, else from what its scheme can be written in. */
function loadsIn(run: ComparisonRun, stage: QuantizeStage): LoadsIn {
  const exports = run.stages.flatMap(({ summary }) => (summary?.type === 'export' && summary.loadsIn ? [summary.loadsIn] : []));
  const exported = exports.length > 0;
  return { runtimes: exported ? [...new Set(exports.flat())] : runtimesOf(stage).map(({ name }) => name), exported };
}

/** Bits per weight of an unquantized checkpoint: its width when the file size points to one clearly, else null. */
function storedBits(model: { parameters: number; sizeBytes: number }): number | null {
  const bits = (8 * model.sizeBytes) / model.parameters;
  return [8, 16, 32].find((width) => Math.abs(bits / width - 1) < 0.1) ?? null;
}

function elapsed(run: ComparisonRun): number | null {
  const known = run.stages.filter((stage) => stage.elapsedMs !== null);
  return known.length > 0 ? known.reduce((sum, stage) => sum + (stage.elapsedMs ?? 0), 0) : null;
}

function notesOf(run: ComparisonRun, recorded: Map<string, BenchmarkSamples> | undefined, expected: number): string[] {
  const notes = run.stages.flatMap((stage) => (stage.summary?.type === 'quantize' ? stage.summary.notes : []));
  if (run.error) notes.push(`${run.error.message} ${run.error.hint}`);
  const count = [...(recorded?.values() ?? [])].reduce((sum, benchmark) => sum + benchmark.count, 0);
  if (count < expected) notes.push(`${count} of ${expected} samples recorded.`);
  return notes;
}

function lineageNode(run: ComparisonRun): LineageNode {
  return {
    runId: run.id,
    name: run.name,
    parentRunId: run.parentRunId,
    stages: run.stages.map((stage) => ({ title: stage.title, summary: stage.summary ? describe(stage.summary) : stage.status })),
    artifacts: run.artifacts.map(({ kind, path, sha256, sizeBytes }) => ({ kind, path, sha256, sizeBytes })),
  };
}

function describe(summary: StageSummary): string {
  if (summary.type === 'quantize') return `${summary.bitsPerWeight.toFixed(2)} bits per weight, ${bytes(summary.totalBytes)}`;
  if (summary.type === 'evaluate') return `${summary.samples} samples at ${summary.tokensPerSecond.toFixed(0)} tokens/s`;
  if (summary.type === 'train') return `${summary.steps} steps, ${bytes(summary.totalBytes)}`;
  return `${summary.format}, ${bytes(summary.sizeBytes)}`;
}
