/**
 * Looks at everything a study uses before anything starts (models, scheme against model, benchmark and calibration files, disk), and
 * gathers all problems rather than the first.
 */
import { statfs } from 'node:fs/promises';
import { benchmarkKey } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import { exportProblems, exportWarnings } from '#contract/loadability.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import { type CalibrationSettings, calibrationOf, type QuantizeStage, type StudySpec } from '#contract/recipe.ts';
import type { DatasetInspection, InspectionProblem, ModelInspection } from '#contract/records.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { trainedScheme } from '#contract/training.ts';
import { inspectBenchmark } from '../engine/benchmarks/inspect.ts';
import { type ModelConfig, readModelConfig } from '../engine/model/config.ts';
import { inspectModel } from '../engine/model/inspect.ts';
import { groupSizeProblems, requireFittingStage } from '../engine/quantizers/validation.ts';
import { getVerifier } from '../engine/verifiers/index.ts';
import { inspectDataset, inspectQuestions } from './inspect-dataset.ts';
import { resolvePath } from './resources.ts';
import { type Collect, inspectTraining, inspectTrainingFiles, type TrainingInputs, trainStagesOf } from './train-inputs.ts';

export interface StudyInputs extends TrainingInputs {
  /** By the path written in the study. */
  models: Map<string, ModelInspection>;
  /** Of the models without errors. */
  configs: Map<string, ModelConfig>;
  /** By `benchmarkKey`. */
  benchmarks: Map<string, DatasetInspection>;
  calibrations: Map<string, DatasetInspection>;
  problems: InspectionProblem[];
}

/** Inspects all files of a study. Never throws for a bad one. */
export async function inspectStudyInputs(spec: StudySpec, resourcesDir: string): Promise<StudyInputs> {
  const inputs: StudyInputs = {
    ...{ models: new Map(), configs: new Map(), benchmarks: new Map(), calibrations: new Map(), trainings: new Map() },
    ...{ lengths: new Map(), problems: [] },
  };
  const gather: Collect = (where, inspect) => collect(inputs, where, inspect);
  await collect(inputs, 'protocol', async () => void getVerifier(spec.protocol.verifier));
  inputs.problems.push(...exportFindings(spec));
  await inspectTrainingFiles(spec, resourcesDir, inputs, gather);
  for (const model of spec.models) await collect(inputs, model, () => addModel(inputs, model, spec, resourcesDir));
  for (const reference of spec.benchmarks)
    await collect(inputs, reference.path, async () => {
      const inspection = await inspectBenchmark({ ...reference, path: resolvePath(reference.path, resourcesDir) });
      inputs.benchmarks.set(benchmarkKey(reference), inspection);
      inputs.problems.push(...inspection.problems, ...tooFewProblems(spec, inspection), ...toleranceProblems(spec, inspection));
      for (const verifier of verifiersOf(spec, inspection)) getVerifier(verifier);
    });
  for (const { path: file, solutions } of calibrationFiles(spec))
    await collect(inputs, file, async () => {
      const path = resolvePath(file, resourcesDir);
      const inspection = solutions ? await inspectQuestions(path) : await inspectDataset(path, 'calibration');
      inputs.calibrations.set(file, inspection);
      inputs.problems.push(...inspection.problems);
    });
  return inputs;
}

/** Warns, or refuses, when the project's disk cannot hold what the study writes. */
export async function diskProblems(dir: string, neededBytes: number): Promise<InspectionProblem[]> {
  const { bavail, bsize } = await statfs(dir);
  const freeBytes = bavail * bsize;
  if (freeBytes > neededBytes) return [];
  const message = `The study writes about ${megabytes(neededBytes)}, but only ${megabytes(freeBytes)} are free.`;
  return [{ severity: 'error', where: dir, message, hint: 'Free some disk space, or keep the project on another disk.' }];
}

async function addModel(inputs: StudyInputs, model: string, spec: StudySpec, resourcesDir: string): Promise<void> {
  const dir = resolvePath(model, resourcesDir);
  const inspection = await inspectModel(dir);
  inputs.models.set(model, inspection);
  inputs.problems.push(...inspection.problems.map((problem) => ({ ...problem, where: placeInModel(dir, problem.where) })));
  if (inspection.problems.some((problem) => problem.severity === 'error')) return;
  const config = await readModelConfig(dir);
  inputs.configs.set(model, config);
  for (const scheme of schemesOf(spec)) {
    const [first, ...others] = groupSizeProblems(config, scheme);
    if (first === undefined) continue;
    const more = others.length > 0 ? ` (and ${others.length} more modules)` : '';
    inputs.problems.push({
      severity: 'error',
      where: `${inspection.name}, ${formatScheme(scheme)}`,
      message: `${first}${more}.`,
      hint: 'Choose a group size that divides the inputs of every linear, or one scale per channel.',
    });
  }
  for (const stage of quantizeStages(spec))
    if (stage.overrides) await collect(inputs, inspection.name, async () => requireFittingStage(config, stage));
  const trained = { path: model, dir, inspection, config };
  await inspectTraining(spec, trained, resourcesDir, inputs, (where, inspect) => collect(inputs, where, inspect));
  if (spec.protocol.maxNewTokens >= inspection.contextLength)
    inputs.problems.push({
      severity: 'error',
      where: `protocol, ${inspection.name}`,
      message: `${spec.protocol.maxNewTokens} new tokens leave no room for a prompt in the model's context of ${inspection.contextLength}.`,
      hint: `Lower maxNewTokens below ${inspection.contextLength}.`,
    });
}

/** Exports that cannot, or may not be able to, hold what their variant quantizes. */
function exportFindings(spec: StudySpec): InspectionProblem[] {
  const hint = 'Choose another export format or scheme.';
  return spec.variants.flatMap(({ name, stages }) => {
    const where = `variants, ${name}`;
    return [
      ...exportProblems(stages).map(
        (problem): InspectionProblem => ({
          severity: 'error',
          where,
          message: `Its export cannot express what it quantizes: ${problem}.`,
          hint,
        }),
      ),
      ...exportWarnings(stages).map(
        (warning): InspectionProblem => ({ severity: 'warning', where, message: `Its export may fail: ${warning}.`, hint }),
      ),
    ];
  });
}

/** A study may have several models: which one is part of the place. */
function placeInModel(dir: string, where: string): string {
  return where.startsWith(dir) ? where : `${dir}: ${where}`;
}

function quantizeStages(spec: StudySpec): QuantizeStage[] {
  return spec.variants.flatMap((variant) => variant.stages.filter((stage) => stage.type === 'quantize'));
}

/** Schemes that all modules get. */
function schemesOf(spec: StudySpec): QuantizationScheme[] {
  const schemes = new Map<string, QuantizationScheme>();
  for (const { scheme, overrides, mixed } of quantizeStages(spec))
    for (const candidate of mixed ? mixed.candidates : overrides ? [] : [scheme]) schemes.set(formatScheme(candidate), candidate);
  for (const { stage } of trainStagesOf(spec)) {
    const scheme = trainedScheme(stage.trains);
    if (scheme) schemes.set(formatScheme(scheme), scheme);
  }
  return [...schemes.values()];
}

/** Calibration files by path, and whether they hold problems that the model itself solves. */
function calibrationFiles(spec: StudySpec): CalibrationSettings[] {
  const all = quantizeStages(spec)
    .flatMap((stage) => [calibrationOf(stage), stage.mixed?.calibration ?? null])
    .filter((settings) => settings !== null);
  return [...new Map(all.map((settings) => [settings.path, settings])).values()];
}

function tooFewProblems(spec: StudySpec, inspection: DatasetInspection): InspectionProblem[] {
  const wanted = spec.protocol.problemsPerBenchmark;
  if (wanted === null || inspection.rows === 0 || inspection.rows >= wanted) return [];
  const message = `The file has ${inspection.rows} problems, fewer than the ${wanted} of the protocol; all of them are used.`;
  return [{ severity: 'warning', where: inspection.path, message, hint: 'Lower the number of problems, or choose a larger file.' }];
}

/** `maths-1` compares exactly, whatever error a problem allows. */
function toleranceProblems(spec: StudySpec, { path, benchmark }: DatasetInspection): InspectionProblem[] {
  if (!benchmark || benchmark.withTolerance === 0 || spec.protocol.verifier !== 'maths-1') return [];
  const message = `${benchmark.withTolerance} of its problems allow an error, but maths-1 compares answers exactly.`;
  return [{ severity: 'warning', where: path, message, hint: 'Read the score with that in mind, or use a newer verifier.' }];
}

function verifiersOf(spec: StudySpec, { benchmark }: DatasetInspection): string[] {
  const { verifiers } = completeProtocol(spec.protocol, benchmark ? [benchmark.problemKind] : []);
  return Object.values(verifiers ?? {});
}

/** Turns what `inspect` throws into problems. */
export async function collect(inputs: StudyInputs, where: string, inspect: () => Promise<void>): Promise<void> {
  try {
    await inspect();
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    const messages = error.problems.length > 0 ? error.problems : [error.message];
    for (const message of messages) inputs.problems.push({ severity: 'error', where, message, hint: error.hint });
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}
