/**
 * Builds a study's comparison from plain recorded data: one row per run with accuracies, intervals, and paired differences
 * against the baseline of the same model. Pure, so that the workbench, the command line and every report show the same numbers.
 */
import type { ProblemKind } from '#contract/benchmarks.ts';
import type {
  ComparisonRow,
  LineageNode,
  LoadsIn,
  PerplexityResult,
  SignificanceTest,
  StudyComparison,
  TrainingRecord,
} from '#contract/comparison.ts';
import { runtimesAfter } from '#contract/loads-in.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { type CalibrationSettings, calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import type { ArtifactRecord, ModelRecord, RunRecord, StageRecord } from '#contract/records.ts';
import { lastQuantizeStage, methodOfStages, schemeOfStages, trainingTitle } from '#contract/training-chain.ts';
import type { CalibrationRecord, QuantizeSummary, StageSummary, TrainSummary } from '#contract/worker.ts';
import { averageDrop, averageIntervals } from '../engine/statistics/index.ts';
import { type BenchmarkSamples, benchmarkResult, type CompactSample, groupSamples, type RunSamples } from './comparison-samples.ts';
import { adjustTests, averageDropTest } from './comparison-tests.ts';
import { completeSamples, stopNotes, stopsOf } from './early-stops.ts';
import { bytes, count, percent } from './format.ts';
import { perplexityResult, type RunWindows } from './perplexity.ts';
import { elapsedMs, peakMemory, totalElapsedMs } from './run-cost.ts';

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
  benchmarks: readonly { name: string; path: string; sha256: string; problems: number; kind?: ProblemKind; floor?: number }[];
  models: readonly Pick<ModelRecord, 'id' | 'name' | 'path' | 'hash' | 'parameters' | 'sizeBytes'>[];
  /** In table order. */
  runs: readonly ComparisonRun[];
  /** Of all runs, in any order. */
  samples: Iterable<CompactSample>;
  /** Of all runs: what is measured of texts. */
  windows?: RunWindows;
  /** Versions and hardware, shown as given. */
  environment: Readonly<Record<string, string>>;
}

/** The comparison of everything recorded so far; unfinished runs give rows with what they have. */
export function buildComparison(input: ComparisonInput): StudyComparison {
  const samples = groupSamples(input.samples);
  const asked = { ...input, benchmarks: input.benchmarks.filter(({ kind }) => kind !== 'text') };
  const texts = input.benchmarks.filter(({ kind }) => kind === 'text');
  return {
    studyId: input.study.id,
    name: input.study.name,
    description: input.study.description,
    protocol: input.study.protocol,
    protocolHash: input.study.protocolHash,
    benchmarks: asked.benchmarks.map(({ name, path, sha256, problems, kind = 'maths', floor }) => ({
      ...{ name, path, sha256, problems },
      ...(kind === 'maths' ? {} : { kind }),
      ...(floor === undefined ? {} : { floor }),
    })),
    texts: texts.map(({ name, path, sha256 }) => ({ name, path, sha256 })),
    models: input.models.map(({ name, path, hash, parameters, sizeBytes }) => ({ name, path, hash, parameters, sizeBytes })),
    rows: adjustTests(
      input.runs.map((run) => ({ ...comparisonRow(run, asked, samples), perplexities: perplexitiesOf(run, texts, input) })),
    ),
    lineage: input.runs.map(lineageNode),
    elapsedMs: totalElapsedMs(input.runs),
    complete: input.runs.every((run) => run.status === 'finished'),
    environment: { ...input.environment },
    createdAt: input.study.createdAt,
  };
}

type MeasuredRow = Omit<ComparisonRow, 'dropTest' | 'perplexities'> & { dropTest: SignificanceTest | null };

function comparisonRow(run: ComparisonRun, input: ComparisonInput, samples: RunSamples): MeasuredRow {
  const model = input.models.find((candidate) => candidate.id === run.modelId);
  const baseline = baselineOf(run, input.runs);
  const own = samples.get(run.id);
  const measuredBy = protocolOf(run, input);
  const isAlike = baseline !== undefined && protocolOf(baseline, input) === measuredBy;
  const reference = isAlike ? samples.get(baseline.id) : undefined;
  const benchmarks = input.benchmarks.flatMap(({ name }) => {
    const recorded = own?.get(name);
    return recorded ? [benchmarkResult(name, recorded, run.isBaseline ? undefined : reference?.get(name))] : [];
  });
  const complete = isComplete(run, own, input);
  const average = complete ? averageIntervals(benchmarks.map((result) => result.accuracy)) : null;
  const differences = benchmarks.map((result) => result.versusBaseline).filter((item) => item !== null);
  const comparable = complete && baseline !== undefined && !run.isBaseline && isComplete(baseline, reference, input);
  const drop = comparable ? averageDrop(differences) : null;
  const names = input.benchmarks.map(({ name }) => name);
  const quantization = lastQuantization(run);
  const made = lastCheckpoint(run);
  const stages = run.recipe.stages;
  const stage = lastQuantizeStage(stages);
  return {
    runId: run.id,
    name: run.name,
    isBaseline: run.isBaseline,
    status: run.status,
    model: model?.name ?? '',
    modelId: run.modelId,
    seed: run.seed,
    method: methodOfStages(stages),
    scheme: schemeOfStages(stages),
    overrides: stage?.overrides ?? [],
    calibration: quantization?.calibration ?? plannedCalibration(stage),
    training: trainingOf(run),
    loadsIn: loadsIn(run),
    sizeBytes: made?.totalBytes ?? (run.isBaseline ? (model?.sizeBytes ?? null) : null),
    bitsPerWeight: bitsOf(run, made, model),
    benchmarks,
    otherProtocol: measuredBy === input.study.protocolHash ? null : measuredBy,
    average,
    drop,
    dropTest: comparable && own && reference ? averageDropTest(names, own, reference) : null,
    recovery: average && drop && average.value + drop.value > 0 ? average.value / (average.value + drop.value) : null,
    elapsedMs: elapsedMs(run),
    peakMemoryBytes: peakMemory(run, 'peakMemoryBytes'),
    peakGpuMemoryBytes: peakMemory(run, 'peakGpuMemoryBytes'),
    backend: run.backend,
    device: run.device,
    notes: [
      ...notesOf(run, own, expectedSamples(run, input)),
      ...(complete ? stopNotes(stopsOf(run.stages), own, comparable ? reference : undefined) : []),
      ...protocolNotes(measuredBy, isAlike || run.isBaseline, input),
    ],
  };
}

/** The baseline run of the same model, of the same seed where there is one. */
function baselineOf(run: ComparisonRun, runs: readonly ComparisonRun[]): ComparisonRun | undefined {
  const candidates = runs.filter((candidate) => candidate.isBaseline && candidate.modelId === run.modelId);
  return candidates.find((candidate) => candidate.seed === run.seed) ?? candidates[0];
}

function isComplete(run: ComparisonRun, recorded: Map<string, BenchmarkSamples> | undefined, input: ComparisonInput): boolean {
  const seeds = input.study.protocol.seeds.length;
  const stops = stopsOf(run.stages);
  const isWhole = (benchmark: ComparisonInput['benchmarks'][number]) =>
    (recorded?.get(benchmark.name)?.count ?? 0) >= completeSamples(benchmark, stops, seeds);
  return input.benchmarks.length > 0 && input.benchmarks.every(isWhole);
}

function expectedSamples(run: ComparisonRun, { benchmarks, study }: ComparisonInput): number {
  const stops = stopsOf(run.stages);
  return benchmarks.reduce((sum, benchmark) => sum + completeSamples(benchmark, stops, study.protocol.seeds.length), 0);
}

/** Hash of the protocol a run was measured by; what has not ended yet is measured by the study's. */
function protocolOf(run: ComparisonRun, { study }: ComparisonInput): string {
  const summary = run.stages.map((stage) => stage.summary).findLast((each) => each?.type === 'evaluate');
  return summary?.type === 'evaluate' ? summary.protocolHash : study.protocolHash;
}

function protocolNotes(measuredBy: string, isPaired: boolean, { study }: ComparisonInput): string[] {
  const other = `Measured by another protocol (${measuredBy.slice(0, 12)}) than the study's (${study.protocolHash.slice(0, 12)})`;
  if (measuredBy !== study.protocolHash)
    return [`${other}: not comparable with the other rows${isPaired ? '' : ', and not paired with the baseline'}.`];
  return isPaired ? [] : ['The baseline was measured by another protocol: there is no difference from it.'];
}

function perplexitiesOf(run: ComparisonRun, texts: ComparisonInput['benchmarks'], input: ComparisonInput): PerplexityResult[] {
  const baseline = baselineOf(run, input.runs);
  const isAlike = baseline !== undefined && !run.isBaseline && protocolOf(baseline, input) === protocolOf(run, input);
  const isFinished = ({ stages }: ComparisonRun) => stages.some(({ summary }) => summary?.type === 'evaluate');
  return texts.flatMap(({ name }) => {
    const windows = input.windows?.get(run.id)?.get(name) ?? [];
    const reference = isAlike && isFinished(baseline) ? input.windows?.get(baseline.id)?.get(name) : undefined;
    return perplexityResult(name, windows, reference, isFinished(run)) ?? [];
  });
}

function lastQuantization(run: ComparisonRun): QuantizeSummary | null {
  const summaries = run.stages.map((stage) => stage.summary).filter((summary): summary is QuantizeSummary => summary?.type === 'quantize');
  return summaries.at(-1) ?? null;
}

/** What the last finished stage that makes a checkpoint says of it, as long as no later one is still to come. */
function lastCheckpoint(run: ComparisonRun): QuantizeSummary | TrainSummary | null {
  const last = run.recipe.stages.findLastIndex((stage) => stage.type === 'quantize' || stage.type === 'train');
  const summary = run.stages.find((stage) => stage.index === last)?.summary;
  return summary?.type === 'quantize' || summary?.type === 'train' ? summary : null;
}

/** Of the quantized linears; of a float checkpoint the width its size points to. */
function bitsOf(
  run: ComparisonRun,
  made: QuantizeSummary | TrainSummary | null,
  model: { parameters: number; sizeBytes: number } | undefined,
) {
  if (made?.bitsPerWeight != null) return made.bitsPerWeight;
  if (!model || !(made || run.isBaseline)) return null;
  return storedBits({ parameters: model.parameters, sizeBytes: made?.totalBytes ?? model.sizeBytes });
}

/** What the recipe asks for, and what finished stages have learnt from. */
function trainingOf(run: ComparisonRun): TrainingRecord[] {
  return run.recipe.stages.flatMap((stage, index) => {
    if (stage.type !== 'train') return [];
    const summary = run.stages.find((record) => record.index === index)?.summary;
    const done = summary?.type === 'train' ? summary : null;
    const { path, domain } = stage.data;
    return [
      { title: trainingTitle(stage), domain: domain ?? nameOfFile(path), path, steps: stage.steps, examples: done?.examples ?? null },
    ];
  });
}

/** What the recipe asks for, until the run has recorded what it did. */
function plannedCalibration(stage: QuantizeStage | null): CalibrationRecord | null {
  const settings: CalibrationSettings | null = stage && calibrationOf(stage);
  if (!settings) return null;
  const { path, domain, samples, sequenceLength, seed, solutions } = settings;
  return { path, domain: domain ?? nameOfFile(path), source: solutions ? 'solutions' : 'text', samples, sequenceLength, seed };
}

function nameOfFile(path: string): string {
  return path
    .split(/[\\/:]/)
    .at(-1)!
    .replace(/\.[^.]+$/, '');
}

/** From the files the run exported, else from what its scheme can be written in. */
function loadsIn(run: ComparisonRun): LoadsIn | null {
  const exports = run.stages.flatMap(({ summary }) => (summary?.type === 'export' && summary.loadsIn ? [summary.loadsIn] : []));
  const exported = exports.length > 0;
  if (exported) return { runtimes: [...new Set(exports.flat())], exported };
  const runtimes = runtimesAfter(run.recipe.stages);
  return runtimes && { runtimes: runtimes.map(({ name }) => name), exported };
}

/** Bits per weight of an unquantized checkpoint: its width when the file size points to one clearly, else null. */
function storedBits(model: { parameters: number; sizeBytes: number }): number | null {
  const bits = (8 * model.sizeBytes) / model.parameters;
  return [8, 16, 32].find((width) => Math.abs(bits / width - 1) < 0.1) ?? null;
}

function notesOf(run: ComparisonRun, recorded: Map<string, BenchmarkSamples> | undefined, expected: number): string[] {
  const notes = run.stages.flatMap(({ summary }) => (summary?.type === 'quantize' || summary?.type === 'train' ? summary.notes : []));
  if (run.error) notes.push(`${run.error.message} ${run.error.hint}`);
  const count = [...(recorded?.values() ?? [])].reduce((sum, benchmark) => sum + benchmark.count, 0);
  if (count < expected) notes.push(`${count} of ${expected} samples recorded; until all are, short completions weigh more.`);
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
  if (summary.type === 'train') return describeTraining(summary);
  return `${summary.format}, ${bytes(summary.sizeBytes)}`;
}

function describeTraining({ steps, examples, domain, last, best, bitsPerWeight, totalBytes }: TrainSummary): string {
  const reward = last['reward-mean'];
  const parts = [
    `${count(steps)} steps on ${count(examples)} rows of ${domain}`,
    ...(last.loss === undefined ? [] : [`loss ${last.loss.toPrecision(3)}`]),
    ...(reward === undefined ? [] : [`reward ${reward.toPrecision(3)}`]),
    ...(best ? [`best after step ${count(best.step)} with ${percent(best.accuracy)} %`] : []),
    ...(bitsPerWeight === null ? [] : [`${bitsPerWeight.toFixed(2)} bits per weight`]),
    bytes(totalBytes),
  ];
  return parts.join(', ');
}
