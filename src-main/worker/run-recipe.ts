/**
 * Executes one run: takes the complete request from its port, runs the recipe's stages in order and reports everything as events. The port
 * is a pair of functions, so that tests drive a run in memory; nothing here knows of processes.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { toErrorInfo } from '#contract/errors.ts';
import { type Stage, stageTitle } from '#contract/recipe.ts';
import type { MainToWorker, RunRequest, StageSummary, WorkerToMain } from '#contract/worker.ts';
import { explainGpuError, selectBackend } from '../engine/backends/select.ts';
import { throwIfCancelled } from '../engine/data/cancellation.ts';
import { inspectModel, requireUsable } from '../engine/model/inspect.ts';
import { runEvaluateStage } from './evaluate-stage.ts';
import { EventEmitter } from './event-emitter.ts';
import { runExportStage } from './export-stage.ts';
import { runQuantizeStage } from './quantize-stage.ts';
import { RunContext } from './run-context.ts';
import { runTrainStage } from './train-stage.ts';
import { libraryVersions } from './versions.ts';

export interface WorkerPort {
  post(message: WorkerToMain): void;
  on(listener: (message: MainToWorker) => void): void;
}

const heartbeatMs = 5_000;

/** Serves one run from the port. Resolves when its last event has been posted, or when it was ended before a request came. */
export async function serveRun(port: WorkerPort): Promise<void> {
  const controller = new AbortController();
  const request = await new Promise<RunRequest | null>((resolve) => {
    port.on((message) => {
      if (message.type === 'run') resolve(message.request);
      else {
        controller.abort(message.type);
        resolve(null);
      }
    });
    port.post({ type: 'ready', pid: process.pid, node: process.version });
  });
  if (!request) return;
  const heartbeat = setInterval(() => port.post({ type: 'heartbeat' }), heartbeatMs);
  const events = new EventEmitter((message) => port.post(message), request.runId, request.resume.lastSeq);
  try {
    await runStages(request, events, controller.signal);
    events.emit({ type: 'finished' });
  } catch (error) {
    if (controller.signal.aborted) events.emit({ type: controller.signal.reason === 'stop' ? 'stopped' : 'cancelled' });
    else events.emit({ type: 'failed', error: toErrorInfo(await explainGpuError(error)) });
  } finally {
    events.flush();
    clearInterval(heartbeat);
  }
}

async function runStages(request: RunRequest, events: EventEmitter, signal: AbortSignal): Promise<void> {
  await prepareOutput(request.outputDir);
  const backend = await selectBackend(request.backend);
  const inspection = await inspectModel(request.modelDir, { signal });
  events.emit({
    type: 'started',
    backend: backend.name,
    device: backend.device,
    skippedBackends: backend.skipped,
    versions: libraryVersions(),
    modelHash: inspection.hash,
    modelBytes: inspection.sizeBytes,
  });
  const skipped = backend.skipped.map((item) => `; ${item.backend} passed over: ${item.reason}`);
  events.log('info', `Computing on ${backend.name} (${backend.device})${skipped.join('')}`);
  const context = new RunContext(request, events, signal, inspection.hash);
  try {
    for (const [index, stage] of request.recipe.stages.entries()) {
      throwIfCancelled(signal, 'The run');
      if (await isDone(context, index, stage)) continue;
      if ((stage.type === 'quantize' || stage.type === 'train') && context.modelDir === request.modelDir) requireUsable(inspection);
      events.emit({ type: 'stage-started', stage: index, title: stageTitle(stage) });
      const startedAt = performance.now();
      const summary = await runStage(context, index, stage);
      events.emit({ type: 'stage-finished', stage: index, summary, elapsedMs: performance.now() - startedAt });
    }
  } finally {
    context.dispose();
  }
}

/** What a killed execution had begun to write is of no use. */
async function prepareOutput(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const unfinished = (await readdir(dir)).filter((name) => name.endsWith('.partial'));
  for (const name of unfinished) await rm(path.join(dir, name), { recursive: true, force: true });
}

/** A stage that an earlier execution finished is not repeated; later stages go on from its checkpoint. */
async function isDone(context: RunContext, index: number, stage: Stage): Promise<boolean> {
  if (!context.request.resume.finishedStages.includes(index)) return false;
  if (stage.type !== 'quantize' && stage.type !== 'train') return true;
  const dir = context.request.resume.checkpoints.find((checkpoint) => checkpoint.stage === index)?.dir;
  if (!dir || !(await stat(dir).catch(() => null))) {
    context.events.log('warning', `The checkpoint of ${stageTitle(stage)} is gone; the stage is repeated.`);
    return false;
  }
  context.events.log('info', `${stageTitle(stage)} was finished before; going on from its checkpoint.`);
  context.continueFrom(dir);
  return true;
}

function runStage(context: RunContext, index: number, stage: Stage): Promise<StageSummary> {
  if (stage.type === 'quantize') return runQuantizeStage(context, index, stage);
  if (stage.type === 'train') return runTrainStage(context, index, stage);
  if (stage.type === 'evaluate') return runEvaluateStage(context, index, stage);
  return runExportStage(context, index, stage);
}
