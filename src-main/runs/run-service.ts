/**
 * Studies and their runs in one open project: plan, create, follow, cancel, resume, compare, delete. Whatever changes is emitted after
 * it is recorded.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { StudyComparison } from '#contract/comparison.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { StudyTrial, TrialProgress } from '#contract/preflight.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { parseStudySpec, type StudySpec } from '#contract/recipe.ts';
import type { HostEvent, RunRecord, RunSnapshot, StudyPlan, StudyRecord } from '#contract/records.ts';
import { protocolHash } from '../engine/benchmarks/protocol-hash.ts';
import type { Project } from '../project/project.ts';
import { listArtifacts } from '../project/repositories/artifacts.ts';
import { listLog } from '../project/repositories/events.ts';
import { listMetrics } from '../project/repositories/metrics.ts';
import { deleteUnusedRecipes } from '../project/repositories/recipes.ts';
import { findRun, listRuns, markInterrupted, updateRun } from '../project/repositories/runs.ts';
import { listStages } from '../project/repositories/stages.ts';
import { deleteStudy, findStudy } from '../project/repositories/studies.ts';
import { compareStudy } from './compare-study.ts';
import { insertStudyWithRuns } from './insert-study.ts';
import { prepareStudy } from './plan-study.ts';
import type { ExecutionOptions } from './run-execution.ts';
import { RunQueue } from './run-queue.ts';
import { tryStudy } from './try-study.ts';

export interface RunServiceOptions extends ExecutionOptions {
  version: string;
  emit(event: HostEvent): void;
}

const maxLogLines = 2000;

export class RunService {
  readonly project: Project;
  private readonly options: RunServiceOptions;
  private readonly queue: RunQueue;
  /** Of the trial that is going on. */
  private trial: AbortController | null = null;

  /** Runs that an earlier process left unfinished become `interrupted` here. */
  constructor(project: Project, options: RunServiceOptions) {
    this.project = project;
    this.options = options;
    if (!project.info.readOnly) markInterrupted(project.db);
    this.queue = new RunQueue(project, { ...options, emit: (event) => this.emit(event) });
  }

  get activeRuns(): number {
    return this.queue.active;
  }

  async plan(spec: StudySpec): Promise<StudyPlan> {
    const prepared = await prepareStudy(this.project, spec, this.options);
    return prepared.plan;
  }

  /**
   * Executes a while of each kind of run, to tell what the study takes. Refused while runs are queued or running: beside them nothing would be
   * measured rightly.
   */
  async tryStudy(input: StudySpec): Promise<StudyTrial> {
    this.requireWritable();
    if (this.trial || this.queue.active > 0)
      throw new RoundoffError(
        'bad-input',
        this.trial ? 'A study is being tried already.' : 'Runs are queued or running; a trial beside them would measure too little.',
        'Wait until that has ended, or cancel it.',
      );
    const controller = new AbortController();
    this.trial = controller;
    const onProgress = (progress: TrialProgress) => this.emit({ type: 'trial-progress', progress });
    try {
      return await tryStudy(this.project, parseStudySpec(input, `"${input.name}"`), {
        ...this.options,
        signal: controller.signal,
        onProgress,
      });
    } finally {
      this.trial = null;
    }
  }

  cancelTrial(): void {
    this.trial?.abort();
  }

  /** Records the study with all its runs and queues them. Throws `recipe-invalid` with every problem, before anything is recorded. */
  async createStudy(input: StudySpec): Promise<StudyRecord> {
    this.requireWritable();
    if (this.trial) throw new RoundoffError('bad-input', 'A study is being tried.', 'Wait until the trial has ended, or cancel it.');
    const spec = parseStudySpec(input, `"${input.name}"`);
    const prepared = await prepareStudy(this.project, spec, this.options);
    const errors = prepared.plan.problems.filter((problem) => problem.severity === 'error');
    if (errors[0])
      throw new RoundoffError(
        'recipe-invalid',
        `"${spec.name}" cannot start: ${errors[0].where}: ${errors[0].message}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''}`,
        errors[0].hint,
        { problems: errors.map((problem) => `${problem.where}: ${problem.message} ${problem.hint}`) },
      );
    const studyId = insertStudyWithRuns(this.project.db, prepared, {
      spec,
      specHash: createHash('sha256').update(canonicalJson(spec)).digest('hex'),
      protocolHash: protocolHash(prepared.protocol),
      environment: this.environment(),
    });
    this.queue.add(listRuns(this.project.db, studyId).map((run) => run.id));
    this.emitStudy(studyId);
    return this.study(studyId);
  }

  study(id: number): StudyRecord {
    const study = findStudy(this.project.db, id);
    if (!study) throw new RoundoffError('not-found', `There is no study ${id} in this project.`, 'Reload the list of studies.');
    return study;
  }

  run(id: string): RunRecord {
    const run = findRun(this.project.db, id);
    if (!run) throw new RoundoffError('not-found', `There is no run "${id}" in this project.`, 'Reload the list of runs.');
    return run;
  }

  snapshot(id: string): RunSnapshot {
    const { db } = this.project;
    const run = this.run(id);
    return {
      run,
      stages: listStages(db, id),
      metrics: listMetrics(db, id),
      log: listLog(db, id, maxLogLines),
      artifacts: listArtifacts(db, id),
      lastSeq: run.lastSeq,
    };
  }

  compare(studyId: number): StudyComparison {
    return compareStudy(this.project.db, this.study(studyId));
  }

  cancel(id: string): RunRecord {
    this.run(id);
    this.queue.cancel(id);
    return this.run(id);
  }

  /** Queues a run that ended without finishing; what it recorded is kept and not computed again. */
  resume(id: string): RunRecord {
    this.requireWritable();
    const run = this.run(id);
    if (run.status === 'finished' || this.queue.isActive(id))
      throw new RoundoffError(
        'bad-input',
        `Run "${run.name}" is ${run.status}.`,
        'Only interrupted, failed and cancelled runs can be resumed.',
      );
    updateRun(this.project.db, id, { status: 'queued', error: null, finishedAt: null });
    this.emit({ type: 'run-changed', run: this.run(id) });
    this.queue.add([id]);
    return this.run(id);
  }

  /** Removes a study, cancelling what runs of it, with its records and files. */
  async deleteStudy(id: number): Promise<void> {
    this.requireWritable();
    this.study(id);
    const runs = listRuns(this.project.db, id);
    for (const run of runs.toReversed()) this.queue.cancel(run.id);
    for (const run of runs) await this.queue.settled(run.id);
    this.project.db.transaction(() => {
      deleteStudy(this.project.db, id);
      deleteUnusedRecipes(this.project.db);
    })();
    for (const run of runs) await rm(path.join(this.project.info.artifactsDir, run.id), { recursive: true, force: true });
  }

  /** Stops the running run at a checkpoint; then the project may be closed. */
  close(): Promise<void> {
    this.cancelTrial();
    return this.queue.close();
  }

  private emit(event: HostEvent): void {
    this.options.emit(event);
    if (event.type === 'run-changed') this.emitStudy(event.run.studyId);
  }

  private emitStudy(studyId: number): void {
    const study = findStudy(this.project.db, studyId);
    if (study) this.options.emit({ type: 'study-changed', study });
  }

  private requireWritable(): void {
    if (this.project.info.readOnly)
      throw new RoundoffError('read-only', `${this.project.info.path} is open for reading only.`, 'Open it where it can be written.');
  }

  private environment(): Record<string, string> {
    return {
      roundoff: this.options.version,
      node: process.version,
      platform: `${os.type()} ${os.release().split('-')[0]} ${os.arch()}`,
      processor: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${os.availableParallelism()} cores`,
      memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`,
    };
  }
}
