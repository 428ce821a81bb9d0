/** Collects what is recorded of a study and builds its comparison. */
import type { StudyComparison } from '#contract/comparison.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { RunRecord, StudyRecord } from '#contract/records.ts';
import type { Connection } from '../project/connection.ts';
import { listArtifacts } from '../project/repositories/artifacts.ts';
import { listStudyBenchmarks } from '../project/repositories/evaluations.ts';
import { lastEvent } from '../project/repositories/events.ts';
import { listModels } from '../project/repositories/models.ts';
import { listRuns } from '../project/repositories/runs.ts';
import { goldCounts, studyOutcomes } from '../project/repositories/samples.ts';
import { listStages } from '../project/repositories/stages.ts';
import { readStudyEnvironment } from '../project/repositories/studies.ts';
import { listWindows } from '../project/repositories/windows.ts';
import { buildComparison, type ComparisonInput } from '../reports/comparison.ts';

export function compareStudy(db: Connection, study: StudyRecord): StudyComparison {
  const runs = listRuns(db, study.id);
  const modelIds = new Set(runs.map((run) => run.modelId));
  return buildComparison({
    study: {
      id: study.id,
      name: study.name,
      description: study.spec.description,
      protocol: measuredProtocol(runs) ?? study.protocol,
      protocolHash: study.protocolHash,
      createdAt: study.createdAt,
    },
    benchmarks: benchmarksOf(db, study.id, runs),
    models: listModels(db).filter((model) => modelIds.has(model.id)),
    runs: runs.map((run) => ({ ...run, stages: listStages(db, run.id), artifacts: listArtifacts(db, run.id) })),
    samples: studyOutcomes(db, study.id),
    windows: new Map(runs.map(({ id }) => [id, Map.groupBy(listWindows(db, id), ({ benchmark }) => benchmark)])),
    environment: {
      ...readStudyEnvironment(db, study.id),
      ...workerVersions(
        db,
        runs.map((run) => run.id),
      ),
    },
  });
}

/** Where answers are letters, with what giving the same one throughout would score on the problems and seeds of the first run. */
function benchmarksOf(db: Connection, studyId: number, runs: readonly RunRecord[]): ComparisonInput['benchmarks'] {
  return listStudyBenchmarks(db, studyId).map((benchmark) => {
    const hasLetters = benchmark.kind === 'choice' || benchmark.kind === 'likelihood';
    const counts = hasLetters && runs[0] ? goldCounts(db, runs[0].id, benchmark.name) : [];
    const total = counts.reduce((sum, count) => sum + count, 0);
    return total === 0 ? benchmark : { ...benchmark, floor: Math.max(...counts) / total };
  });
}

/** The protocol the runs carry out: the study's, with what its benchmarks' kinds left open. */
function measuredProtocol(runs: readonly RunRecord[]): EvaluationProtocol | null {
  return runs.flatMap(({ recipe }) => recipe.stages).find((stage) => stage.type === 'evaluate')?.protocol ?? null;
}

/** Versions the first started worker reported: libraries the numbers depend on. */
function workerVersions(db: Connection, runIds: readonly string[]): Record<string, string> {
  for (const runId of runIds) {
    const started = lastEvent(db, runId, 'started');
    if (started) return started.versions;
  }
  return {};
}
