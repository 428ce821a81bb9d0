/**
 * Runs of a study that begin alike share what they begin with: the first to come makes the checkpoint (an RL training, say), the others go
 * on from it, each with its own quantization or training after it. Their lineage is a tree, and their results are those of runs on their own.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { canonicalJson } from '#contract/protocol.ts';
import type { RunRecord } from '#contract/records.ts';
import type { Connection } from '../project/connection.ts';
import { backendPreference, findRun, listRuns, setParentRun } from '../project/repositories/runs.ts';
import { adoptStage, listStages } from '../project/repositories/stages.ts';

/** Stages whose checkpoint later stages go on from. */
const makesCheckpoint = new Set(['quantize', 'train']);

/**
 * Takes over the longest beginning that another run of the study with the same model, seed and backend has finished; a run that has stages
 * of its own already keeps to them.
 * @returns the run it was taken from and how many stages, or null
 */
export function inheritStages(db: Connection, run: RunRecord, artifactsDir: string): { from: RunRecord; stages: number } | null {
  if (run.parentRunId !== null || listStages(db, run.id).some((stage) => stage.status !== 'pending')) return null;
  let best: { from: RunRecord; stages: number } | null = null;
  for (const candidate of listRuns(db, run.studyId)) {
    if (!isAlike(db, candidate, run)) continue;
    const stages = sharedStages(db, candidate, run, artifactsDir);
    if (stages > (best?.stages ?? 0)) best = { from: candidate, stages };
  }
  if (!best) return null;
  const { from, stages } = best;
  db.transaction(() => {
    setParentRun(db, run.id, from.id);
    for (let index = 0; index < stages; index++) adoptStage(db, run.id, from.id, index);
  })();
  return best;
}

/** Where the checkpoint of a finished stage lies: in the run's own folder, or in that of the run it was taken over from. */
export function checkpointFolder(db: Connection, runId: string, stage: number, artifactsDir: string): string | null {
  const seen = new Set<string>();
  for (let id: string | null = runId; id !== null && !seen.has(id); id = findRun(db, id)?.parentRunId ?? null) {
    seen.add(id);
    const dir = path.join(artifactsDir, id, `stage-${stage}`);
    if (existsSync(dir)) return dir;
  }
  return null;
}

function isAlike(db: Connection, candidate: RunRecord, run: RunRecord): boolean {
  return (
    candidate.id !== run.id &&
    candidate.modelId === run.modelId &&
    candidate.seed === run.seed &&
    backendPreference(db, candidate.id) === backendPreference(db, run.id)
  );
}

/** Finished stages at the beginning that are the same in both recipes, as far as a checkpoint is left to go on from. */
function sharedStages(db: Connection, candidate: RunRecord, run: RunRecord, artifactsDir: string): number {
  const finished = listStages(db, candidate.id);
  let shared = 0;
  for (const [index, stage] of run.recipe.stages.entries()) {
    const other = candidate.recipe.stages[index];
    if (!makesCheckpoint.has(stage.type) || !other || finished[index]?.status !== 'finished') break;
    if (canonicalJson(other) !== canonicalJson(stage)) break;
    shared = index + 1;
  }
  while (shared > 0 && !checkpointFolder(db, candidate.id, shared - 1, artifactsDir)) shared--;
  return shared;
}
