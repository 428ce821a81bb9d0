/**
 * The pre-flight of a study: one run of each kind is tried in a process of its own, as runs are executed, and what that took is added up over
 * the study. Runs are of a kind when they do the same work: the same methods on the same data, at whatever weight bits.
 */

import { rm } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { StagePrediction, StudyTrial, TrialOutcome, TrialProgress, TrialRow } from '#contract/preflight.ts';
import { canonicalJson } from '#contract/protocol.ts';
import type { Stage, StudySpec } from '#contract/recipe.ts';
import type { InspectionProblem } from '#contract/records.ts';
import type { BackendPreference } from '#contract/worker.ts';
import { gigabytes, usableMemoryBytes } from '../engine/usable-memory.ts';
import type { Project } from '../project/project.ts';
import { expandStudy, type PlannedRun } from './expand-study.ts';
import { type PrepareOptions, prepareStudy } from './plan-study.ts';
import { resolvePath, resolveRecipe } from './resources.ts';
import { runTrialProcess } from './trial-process.ts';

export interface TryOptions extends PrepareOptions {
  signal: AbortSignal;
  onProgress(progress: TrialProgress): void;
}

/** @throws RoundoffError `recipe-invalid` with everything that stands against the study, `cancelled`, and what a stage throws */
export async function tryStudy(project: Project, spec: StudySpec, options: TryOptions): Promise<StudyTrial> {
  const startedAt = performance.now();
  await requireSound(project, spec, options);
  const runs = expandStudy(spec);
  const kinds = new Map<string, PlannedRun[]>();
  for (const run of runs) kinds.set(kindOf(run), [...(kinds.get(kindOf(run)) ?? []), run]);
  const rows = new Map<string, TrialRow>();
  const problems: InspectionProblem[] = [];
  for (const [kind, own] of kinds) {
    const report = (detail: string) =>
      options.onProgress({ done: rows.size + problems.length, total: kinds.size, name: own[0]!.name, detail });
    report('starting');
    try {
      const outcome = await tryRun(own[0]!, spec.backend, project, { ...options, onProgress: report });
      rows.set(kind, toRow(own, outcome));
    } catch (error) {
      const problem = memoryProblem(error, own[0]!.name);
      if (!problem) throw error;
      problems.push(problem);
    }
  }
  const peakMemoryBytes = Math.max(0, ...[...rows.values()].map((row) => row.peakMemoryBytes));
  const usable = usableMemoryBytes();
  for (const row of rows.values()) if (row.peakMemoryBytes > usable) problems.push(tooLarge(row, usable));
  return {
    rows: [...rows.values()],
    elapsedMs: studyMs(runs, (run) => rows.get(kindOf(run))),
    ...{ peakMemoryBytes, usableMemoryBytes: usable, triedMs: performance.now() - startedAt, problems },
  };
}

async function requireSound(project: Project, spec: StudySpec, options: TryOptions): Promise<void> {
  const { plan } = await prepareStudy(project, spec, options);
  const errors = plan.problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first)
    throw new RoundoffError('recipe-invalid', `"${spec.name}" cannot be tried: ${first.where}: ${first.message}`, first.hint, {
      problems: errors.map(({ where, message, hint }) => `${where}: ${message} ${hint}`),
    });
}

async function tryRun(
  run: PlannedRun,
  backend: BackendPreference,
  project: Project,
  options: Omit<TryOptions, 'onProgress'> & { onProgress(detail: string): void },
): Promise<TrialOutcome> {
  const { resourcesDir } = options;
  const { stages } = resolveRecipe(run.recipe, resourcesDir);
  const scratchDir = path.join(project.info.artifactsDir, 'trial.partial');
  const modelDir = resolvePath(run.model, resourcesDir);
  try {
    return await runTrialProcess({ modelDir, stages, seed: run.seed, backend, scratchDir }, options);
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

/** Equal for runs that do the same work. */
function kindOf(run: PlannedRun): string {
  return canonicalJson([run.model, run.recipe.stages.map(workOf)]);
}

/** A stage without what its time does not depend on: on how many bits weights are rounded to, and what exports follow. */
function workOf(stage: Stage): unknown {
  if (stage.type === 'export') return 'export';
  if (stage.type !== 'quantize') return stage;
  const { activationBits, kvBits, coding } = stage.scheme;
  return { ...stage, scheme: { activationBits, kvBits, coding }, overrides: stage.overrides?.length };
}

function toRow(runs: readonly PlannedRun[], outcome: TrialOutcome): TrialRow {
  const { model, name } = runs[0]!;
  return {
    ...outcome,
    ...{ model, name, runs: runs.length },
    elapsedMs: outcome.openMs + outcome.stages.reduce((sum, stage) => sum + stage.elapsedMs, 0),
    peakMemoryBytes: Math.max(0, ...outcome.stages.map((stage) => stage.peakMemoryBytes)),
  };
}

/** All runs in turn; a beginning that several share is made once. */
function studyMs(runs: readonly PlannedRun[], rowOf: (run: PlannedRun) => TrialRow | undefined): number {
  const made = new Set<string>();
  let total = 0;
  for (const run of runs) {
    const row = rowOf(run);
    if (!row) continue;
    total += row.openMs;
    for (const stage of row.stages) if (isNew(made, run, stage)) total += stage.elapsedMs;
  }
  return total;
}

function isNew(made: Set<string>, run: PlannedRun, { stage }: StagePrediction): boolean {
  if (run.recipe.stages[stage]!.type === 'evaluate') return true;
  const key = canonicalJson([run.model, run.seed, run.recipe.stages.slice(0, stage + 1)]);
  if (made.has(key)) return false;
  made.add(key);
  return true;
}

const remedy = 'Lower the token limit, quantize with spilled activations, choose shorter or fewer calibration samples, or a smaller model.';

/** A process that was refused memory, or killed for want of it, tells that such runs cannot fit. */
function memoryProblem(error: unknown, name: string): InspectionProblem | null {
  if (!(error instanceof RoundoffError) || error.code !== 'out-of-memory') return null;
  return { severity: 'error', where: name, message: `It does not fit: ${error.message}`, hint: error.hint || remedy };
}

function tooLarge({ name, peakMemoryBytes }: TrialRow, usable: number): InspectionProblem {
  const message = `It takes ${gigabytes(peakMemoryBytes)} of memory, and a process here may use ${gigabytes(usable)}.`;
  return { severity: 'error', where: name, message, hint: remedy };
}
