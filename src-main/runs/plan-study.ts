/** What a study will do, how long it will take and what stands against it, before anything is started. */
import { calibrationOf, type StudySpec, stageTitle } from '#contract/recipe.ts';
import type { ModelInspection, StudyPlan } from '#contract/records.ts';
import { formatScheme } from '#contract/scheme.ts';
import { estimateQuantizationMemory } from '../engine/quantizers/memory-estimate.ts';
import type { Project } from '../project/project.ts';
import { estimateTime } from './estimate.ts';
import { expandStudy, type PlannedRun } from './expand-study.ts';
import { backendProblems, type ProbeOptions } from './probe-backends.ts';
import { diskProblems, inspectStudyInputs, type StudyInputs } from './study-inputs.ts';

export interface PreparedStudy {
  plan: StudyPlan;
  runs: PlannedRun[];
  inputs: StudyInputs;
}

export interface PrepareOptions extends ProbeOptions {
  resourcesDir: string;
}

/** Rough size of one recorded sample in the project file. */
const sampleBytes = 2000;
/** A calibrating method reads every token about twice and solves each layer; in tokens of generation this is about as much work. */
const quantizeTokensPerSample = 40;

export async function prepareStudy(project: Project, spec: StudySpec, options: PrepareOptions): Promise<PreparedStudy> {
  const inputs = await inspectStudyInputs(spec, options.resourcesDir);
  const runs = expandStudy(spec);
  const perRun = completionsPerRun(spec, inputs);
  const time = estimateStudyTime(project, spec, runs, inputs, perRun);
  const diskBytes = runs.length * perRun * sampleBytes + checkpointBytes(runs, inputs);
  const plan: StudyPlan = {
    runs: runs.map(({ name, isBaseline, model, seed, recipe }) => ({
      name,
      variant: isBaseline ? null : recipe.name,
      model,
      seed,
      stages: recipe.stages.map(stageTitle),
    })),
    completions: runs.length * perRun,
    estimate: { elapsedMs: time.elapsedMs, memoryBytes: memoryBytes(spec, inputs), diskBytes },
    basis: time.basis,
    problems: [
      ...inputs.problems,
      ...(await backendProblems(spec.backend, options)),
      ...(await diskProblems(project.info.artifactsDir, diskBytes)),
    ],
  };
  return { plan, runs, inputs };
}

function completionsPerRun(spec: StudySpec, inputs: StudyInputs): number {
  const limit = spec.protocol.problemsPerBenchmark ?? Number.POSITIVE_INFINITY;
  const problems = spec.benchmarks.reduce((sum, { path }) => sum + Math.min(limit, inputs.benchmarks.get(path)?.rows ?? 0), 0);
  return problems * spec.protocol.seeds.length;
}

function estimateStudyTime(project: Project, spec: StudySpec, runs: PlannedRun[], inputs: StudyInputs, perRun: number) {
  const total = { elapsedMs: 0, basis: 'nothing to measure' };
  for (const [model, inspection] of inputs.models) {
    const own = runs.filter((run) => run.model === model);
    const completions = own.length * perRun + own.reduce((sum, run) => sum + calibrationSamples(run) * quantizeTokensPerSample, 0) / 100;
    const estimate = estimateTime(project.db, inspection, completions, spec.protocol.maxNewTokens);
    total.elapsedMs += estimate.elapsedMs;
    total.basis = estimate.basis;
  }
  return total;
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
  // While it trains: parameters, gradients of two moments and the best step, in 32 bits.
  if (stage.type === 'train') return 4 * 4 * model.parameters;
  const known = model.schemeSizes.find((entry) => entry.scheme === formatScheme(stage.scheme));
  return known?.sizeBytes ?? model.sizeBytes;
}

/** The most that evaluating a model or quantizing it by one of the variants' methods takes. */
export function memoryBytes(spec: StudySpec, inputs: StudyInputs): number {
  const evaluating = [...inputs.models.values()].flatMap((model) => model.memory.filter((entry) => entry.task === 'evaluate'));
  const stages = spec.variants.flatMap((variant) => variant.stages.filter((stage) => stage.type === 'quantize'));
  const quantizing = [...inputs.configs.values()].flatMap((config) => stages.map((stage) => estimateQuantizationMemory(config, stage)));
  return Math.max(0, ...evaluating.map((entry) => entry.bytes), ...quantizing);
}
