/** What a study will do, how long it will take and what stands against it, before anything is started. */
import { answersPerProblem, benchmarkKey, type ProblemKind } from '#contract/benchmarks.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import { canonicalJson, type EvaluationProtocol } from '#contract/protocol.ts';
import { calibrationOf, type StudySpec, stageTitle } from '#contract/recipe.ts';
import type { InspectionProblem, ModelInspection, StudyPlan } from '#contract/records.ts';
import { formatScheme } from '#contract/scheme.ts';
import type { TrainStage } from '#contract/training.ts';
import { estimateQuantizationMemory } from '../engine/quantizers/memory-estimate.ts';
import { estimateTrainingMemory } from '../engine/training/memory-estimate.ts';
import { gigabytes, usableMemoryBytes } from '../engine/usable-memory.ts';
import type { Project } from '../project/project.ts';
import { estimateTime, estimateTrainingTime, type Measurements } from './estimate.ts';
import { expandStudy, type PlannedRun } from './expand-study.ts';
import { gpuMemoryProblems, gpuNeeds, plannedGpuMemory } from './gpu-memory.ts';
import { askedBackend, type ProbeOptions } from './probe-backends.ts';
import { diskProblems, inspectStudyInputs, type StudyInputs } from './study-inputs.ts';
import { lengthKey, trainStagesOf } from './train-inputs.ts';

export interface PreparedStudy {
  plan: StudyPlan;
  runs: PlannedRun[];
  inputs: StudyInputs;
  /** The study's protocol with everything said that its benchmarks' kinds leave open: what is measured by, and hashed. */
  protocol: EvaluationProtocol;
}

export interface PrepareOptions extends ProbeOptions {
  resourcesDir: string;
}

/** Rough size of one recorded sample in the project file. */
const sampleBytes = 2000;
/** A calibrating method reads every token about twice and solves each layer; in tokens of generation this is about as much work. */
const quantizeTokensPerSample = 40;

export async function prepareStudy(project: Project, spec: StudySpec, options: PrepareOptions): Promise<PreparedStudy> {
  const [inputs, backend] = await Promise.all([inspectStudyInputs(spec, options.resourcesDir), askedBackend(spec.backend, options)]);
  const protocol = completeProtocol(spec.protocol, kindsOf(inputs));
  const runs = expandStudy({ ...spec, protocol });
  const perRun = completionsPerRun(spec, inputs);
  const measured = { db: project.db, backend: backend.status?.name ?? null };
  const time = estimateStudyTime(measured, spec, runs, inputs, perRun);
  const diskBytes = runs.length * perRun * sampleBytes + checkpointBytes(runs, inputs);
  const neededMemory = memoryBytes(spec, inputs);
  const { status } = backend;
  const isOnGpu = status?.name === 'webgpu' || spec.backend === 'webgpu';
  const needs = isOnGpu ? await gpuNeeds(runs, inputs, { status, resourcesDir: options.resourcesDir }) : [];
  const gpuMemory = plannedGpuMemory(needs, status);
  const plan: StudyPlan = {
    runs: runs.map(({ name, isBaseline, model, seed, recipe }) => ({
      name,
      variant: isBaseline ? null : recipe.name,
      model,
      seed,
      stages: recipe.stages.map(stageTitle),
    })),
    completions: runs.length * perRun,
    estimate: { elapsedMs: time.elapsedMs, memoryBytes: neededMemory, gpuMemory, diskBytes },
    basis: spec.protocol.precision ? `${time.basis}; less where benchmarks end early` : time.basis,
    computesOn: status?.available && status.device !== null ? { backend: status.name, device: status.device } : null,
    problems: [
      ...inputs.problems,
      ...backend.problems,
      ...(await diskProblems(project.info.artifactsDir, diskBytes)),
      ...memoryProblems(spec.name, neededMemory),
      ...gpuMemoryProblems(needs),
    ],
  };
  return { plan, runs, inputs, protocol };
}

function kindsOf(inputs: StudyInputs): ProblemKind[] {
  return [...inputs.benchmarks.values()].flatMap(({ benchmark }) => (benchmark ? [benchmark.problemKind] : []));
}

function completionsPerRun(spec: StudySpec, inputs: StudyInputs): number {
  const limit = spec.protocol.problemsPerBenchmark ?? Number.POSITIVE_INFINITY;
  return spec.benchmarks.reduce((sum, reference) => {
    const inspection = inputs.benchmarks.get(benchmarkKey(reference));
    const answers = answersPerProblem(inspection?.benchmark?.problemKind ?? 'maths', spec.protocol.seeds.length);
    return sum + answers * Math.min(limit, inspection?.rows ?? 0);
  }, 0);
}

function estimateStudyTime(measured: Measurements, spec: StudySpec, runs: PlannedRun[], inputs: StudyInputs, perRun: number) {
  const total = { elapsedMs: 0, basis: 'nothing to measure' };
  for (const [model, inspection] of inputs.models) {
    const own = runs.filter((run) => run.model === model);
    const completions = own.length * perRun + own.reduce((sum, run) => sum + calibrationSamples(run) * quantizeTokensPerSample, 0) / 100;
    const estimate = estimateTime(measured, inspection, completions, spec.protocol.maxNewTokens);
    total.elapsedMs += estimate.elapsedMs;
    total.basis = estimate.basis;
    for (const stage of distinctTraining(own)) {
      const tokens = inputs.lengths.get(lengthKey(model, stage))?.mean ?? stage.data.maxTokens;
      total.elapsedMs += estimateTrainingTime(measured, inspection, stage, tokens);
    }
  }
  return total;
}

/** Runs that begin alike share their stages: each is trained once. */
function distinctTraining(runs: readonly PlannedRun[]): TrainStage[] {
  const stages = new Map<string, TrainStage>();
  for (const { recipe, seed } of runs)
    for (const [index, stage] of recipe.stages.entries())
      if (stage.type === 'train') stages.set(canonicalJson([seed, recipe.stages.slice(0, index + 1)]), stage);
  return [...stages.values()];
}

function calibrationSamples(run: PlannedRun): number {
  return run.recipe.stages.reduce((sum, stage) => sum + (stage.type === 'quantize' ? (calibrationOf(stage)?.samples ?? 0) : 0), 0);
}

function checkpointBytes(runs: PlannedRun[], inputs: StudyInputs): number {
  return runs.reduce(
    (sum, run) => sum + run.recipe.stages.reduce((own, stage) => own + stageBytes(stage, inputs.models.get(run.model)), 0),
    0,
  );
}

function stageBytes(stage: PlannedRun['recipe']['stages'][number], model: ModelInspection | undefined): number {
  if (!model || stage.type === 'evaluate') return 0;
  if (stage.type === 'export') return model.sizeBytes;
  if (stage.type === 'train') return trainingDiskBytes(model.parameters, stage);
  const known = model.schemeSizes.find((entry) => entry.scheme === formatScheme(stage.scheme));
  return known?.sizeBytes ?? model.sizeBytes;
}

/** The most that evaluating a model, quantizing it by one of the variants' methods or training it takes. */
export function memoryBytes(spec: StudySpec, inputs: StudyInputs): number {
  const evaluating = [...inputs.models.values()].flatMap((model) => model.memory.filter((entry) => entry.task === 'evaluate'));
  const stages = spec.variants.flatMap((variant) => variant.stages.filter((stage) => stage.type === 'quantize'));
  const quantizing = [...inputs.configs.values()].flatMap((config) => stages.map((stage) => estimateQuantizationMemory(config, stage)));
  const training = [...inputs.configs].flatMap(([model, config]) =>
    trainStagesOf(spec).map(({ stage }) => estimateTrainingMemory(config, stage, inputs.lengths.get(lengthKey(model, stage))?.longest)),
  );
  return Math.max(0, ...evaluating.map((entry) => entry.bytes), ...quantizing, ...training);
}

/**
 * What training writes, in 32 bits: the model; while it trains parameters and two moments, once more while they are replaced; the same for
 * the best step, and its model.
 */
export function trainingDiskBytes(parameters: number, { evaluation }: TrainStage): number {
  return 4 * parameters * (1 + 2 * 3 + (evaluation ? 1 + 3 : 0));
}

/** Refuses what this machine could not hold. */
function memoryProblems(where: string, neededBytes: number): InspectionProblem[] {
  const usable = usableMemoryBytes();
  if (neededBytes <= usable) return [];
  const message = `The study takes about ${gigabytes(neededBytes)} of memory, and a process here may use ${gigabytes(usable)}.`;
  const hint = 'Choose a smaller model, shorter sequences or smaller batches, quantize with spilled activations, or train an adapter.';
  return [{ severity: 'error', where, message, hint }];
}
