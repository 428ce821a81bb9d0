/**
 * One run from request to recorded end: checks that its data are what they were, starts a worker, records its events, and turns however
 * the process ended into a status the user can act on.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { mapStagePaths } from '#contract/choices.ts';
import { type ErrorInfo, RoundoffError, toErrorInfo } from '#contract/errors.ts';
import { stageTitle } from '#contract/recipe.ts';
import type { RunRecord } from '#contract/records.ts';
import { type RunEvent, type RunRequest, windowKey } from '#contract/worker.ts';
import { fingerprintSource, resolveDataSource } from '../engine/data/data-source.ts';
import { fingerprint } from '../engine/data/fingerprint.ts';
import { sqliteError } from '../project/connection.ts';
import type { Project } from '../project/project.ts';
import { listStudyDatasets } from '../project/repositories/datasets.ts';
import { listRunBenchmarks } from '../project/repositories/evaluations.ts';
import { findModel } from '../project/repositories/models.ts';
import { backendPreference, findRun, updateRun } from '../project/repositories/runs.ts';
import { baselineTokens, recordedSamples } from '../project/repositories/samples.ts';
import { endRunningStage, listStages } from '../project/repositories/stages.ts';
import { listWindows } from '../project/repositories/windows.ts';
import { crashError, wasKilledFromOutside } from './crash-error.ts';
import { checkpointFolder, inheritStages } from './inherit-stages.ts';
import { RunRecorder } from './recorder.ts';
import { resolvePath, resolveRecipe } from './resources.ts';
import { reuseSamples } from './reuse-samples.ts';
import { type SupervisorTimeouts, type WorkerExit, WorkerSupervisor } from './supervisor.ts';

export interface ExecutionOptions {
  resourcesDir: string;
  nodeFile: string;
  workerEntry: string;
  timeouts?: Partial<SupervisorTimeouts>;
}

export class RunExecution {
  readonly runId: string;
  /** Settles when the run is over: null, or what kept its end from being recorded. Never rejects. */
  readonly done: Promise<ErrorInfo | null>;
  private readonly project: Project;
  private readonly options: ExecutionOptions & { onEvents(events: RunEvent[]): void };
  private supervisor: WorkerSupervisor | null = null;
  private ending: 'cancel' | 'stop' | null = null;
  private recordingFailure: ErrorInfo | null = null;
  /** What this side found wrong while the worker ran. */
  private failure: ErrorInfo | null = null;

  constructor(project: Project, runId: string, options: ExecutionOptions & { onEvents(events: RunEvent[]): void }) {
    this.project = project;
    this.runId = runId;
    this.options = options;
    this.done = this.execute();
  }

  end(how: 'cancel' | 'stop'): void {
    this.ending ??= how;
    this.supervisor?.requestEnd(how);
  }

  private async execute(): Promise<ErrorInfo | null> {
    try {
      const recorder = new RunRecorder(this.project.db, this.runId, this.options.onEvents);
      try {
        const request = await this.prepare(recorder);
        if (this.ending) return this.conclude(recorder, null);
        return this.conclude(recorder, await this.supervise(request, recorder));
      } catch (error) {
        recorder.append({ type: 'failed', error: toErrorInfo(error) });
        return null;
      }
    } catch (error) {
      return toErrorInfo(sqliteError(this.project.info.path, error));
    }
  }

  private supervise(request: RunRequest, recorder: RunRecorder): Promise<WorkerExit> {
    const { nodeFile, workerEntry, timeouts } = this.options;
    this.supervisor = new WorkerSupervisor(request, {
      nodeFile,
      workerEntry,
      timeouts,
      onEvents: (events) => {
        try {
          if (this.recordingFailure) return;
          recorder.record(events);
          this.checkModel(events);
        } catch (error) {
          this.recordingFailure = toErrorInfo(error);
          throw error;
        }
      },
    });
    return this.supervisor.done;
  }

  private async prepare(recorder: RunRecorder): Promise<RunRequest> {
    const { db, info } = this.project;
    const run = findRun(db, this.runId);
    const model = run && findModel(db, run.modelId);
    if (!run || !model) throw new RoundoffError('not-found', `There is no run ${this.runId} in this project.`, 'Reload the list of runs.');
    const { resourcesDir } = this.options;
    for (const benchmark of listRunBenchmarks(db, run.id)) await this.checkUnchanged(benchmark, splitOf(run, benchmark.name));
    const outputDir = path.join(info.artifactsDir, run.id);
    mkdirSync(outputDir, { recursive: true });
    const inherited = inheritStages(db, run, info.artifactsDir);
    if (inherited) {
      const titles = run.recipe.stages.slice(0, inherited.stages).map(stageTitle).join(', ');
      recorder.append({ type: 'log', level: 'info', message: `${titles}: taken over from "${inherited.from.name}", which began alike.` });
    }
    for (const { from, samples } of await reuseSamples(db, run, resourcesDir)) {
      const study = from.studyId === run.studyId ? 'this study' : `study ${from.studyId}`;
      const message = `${samples} completions taken over from "${from.name}" of ${study}: the same weights, problems, seeds and sampling.`;
      recorder.append({ type: 'log', level: 'info', message });
    }
    const finishedStages = listStages(db, run.id).flatMap((stage) => (stage.status === 'finished' ? [stage.index] : []));
    await this.checkStageFiles(run, finishedStages);
    return {
      runId: run.id,
      recipe: resolveRecipe(run.recipe, resourcesDir),
      modelDir: resolvePath(model.path, resourcesDir),
      outputDir,
      seed: run.seed,
      backend: run.backend ?? backendPreference(db, run.id),
      expectedTokens: baselineTokens(db, run),
      resume: {
        lastSeq: recorder.lastSeq,
        finishedStages,
        checkpoints: finishedStages.flatMap((stage) => {
          const dir = checkpointFolder(db, run.id, stage, info.artifactsDir);
          return dir ? [{ stage, dir }] : [];
        }),
        recordedSamples: recordedSamples(db, run.id),
        recordedWindows: listWindows(db, run.id).map(({ benchmark, window }) => windowKey(benchmark, window)),
      },
    };
  }

  private async checkUnchanged(benchmark: { name: string; path: string; sha256: string }, split?: string): Promise<void> {
    const file = resolvePath(benchmark.path, this.options.resourcesDir);
    const { sha256 } = await fingerprintSource(await resolveDataSource(file, split));
    if (sha256 !== benchmark.sha256)
      throw new RoundoffError(
        'dataset-invalid',
        `${file} (benchmark "${benchmark.name}") has changed since this study was made.`,
        'Restore the file, or make a new study with the changed one: scores on different problems cannot be compared.',
      );
  }

  /** Calibration and training files of the stages still to come are what they were when the study was made, where that was noted. */
  private async checkStageFiles(run: RunRecord, finishedStages: readonly number[]): Promise<void> {
    const noted = new Map(listStudyDatasets(this.project.db, run.studyId).map(({ path, sha256 }) => [path, sha256]));
    const read = new Set<string>();
    for (const [index, stage] of run.recipe.stages.entries())
      if (stage.type !== 'evaluate' && !finishedStages.includes(index)) mapStagePaths(stage, (file) => read.add(file) && file);
    for (const written of read) {
      const expected = noted.get(written);
      if (expected === undefined) continue;
      const file = resolvePath(written, this.options.resourcesDir);
      if ((await fingerprint(file)).sha256 !== expected)
        throw new RoundoffError(
          'dataset-invalid',
          `${file} (calibration or training data) has changed since this study was made.`,
          'Restore the file, or make a new study with the changed one: its runs cannot be compared with those already made.',
        );
    }
  }

  /** A model whose files changed since the study was made would give numbers that belong to another model. */
  private checkModel(events: readonly RunEvent[]): void {
    const started = events.find((event) => event.type === 'started');
    const run = started && findRun(this.project.db, this.runId);
    const model = run && findModel(this.project.db, run.modelId);
    if (!model || model.hash === started.modelHash) return;
    this.failure = {
      code: 'model-invalid',
      message: `The files of the model ${model.path} have changed since this study was made.`,
      hint: 'Restore them, or make a new study with the changed model.',
    };
    this.supervisor?.kill('the model has changed');
  }

  /** Records an end that the worker did not record itself. */
  private conclude(recorder: RunRecorder, exit: WorkerExit | null): ErrorInfo | null {
    if (this.recordingFailure) return this.recordingFailure;
    if (recorder.ending) return null;
    if (this.failure) {
      recorder.append({ type: 'failed', error: this.failure });
      return null;
    }
    if (this.ending) recorder.append({ type: this.ending === 'cancel' ? 'cancelled' : 'stopped' });
    else if (exit) this.recordCrash(recorder, exit);
    return null;
  }

  private recordCrash(recorder: RunRecorder, exit: WorkerExit): void {
    const error = crashError(exit);
    if (!wasKilledFromOutside(exit)) {
      recorder.append({ type: 'failed', error });
      return;
    }
    recorder.append({ type: 'log', level: 'error', message: error.message });
    endRunningStage(this.project.db, this.runId, 'pending');
    updateRun(this.project.db, this.runId, { status: 'interrupted', error, finishedAt: Date.now() });
  }
}

/** Which part of its folder a benchmark of a run is. */
function splitOf({ recipe }: RunRecord, name: string): string | undefined {
  const references = recipe.stages.flatMap((stage) => (stage.type === 'evaluate' ? stage.benchmarks : []));
  return references.find((reference) => reference.name === name)?.split;
}
