/** Table `evaluations`: which benchmark files a run is measured on, and with how many problems. */
import type { ProblemKind } from '#contract/benchmarks.ts';
import { allRows, type Connection, statement } from '../connection.ts';

export interface EvaluationRecord {
  stage: number;
  position: number;
  benchmark: string;
  datasetId: number;
  protocolHash: string;
  problems: number;
  kind: ProblemKind;
}

export interface StudyBenchmark {
  name: string;
  path: string;
  sha256: string;
  problems: number;
  kind: ProblemKind;
}

export function insertEvaluation(db: Connection, runId: string, evaluation: EvaluationRecord): void {
  statement(
    db,
    'INSERT INTO evaluations (run_id, stage, position, benchmark, dataset_id, protocol_hash, problems, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  ).run(
    runId,
    evaluation.stage,
    evaluation.position,
    evaluation.benchmark,
    evaluation.datasetId,
    evaluation.protocolHash,
    evaluation.problems,
    evaluation.kind,
  );
}

/** The benchmarks every run of a study is measured on, in the study's order. */
export function listStudyBenchmarks(db: Connection, studyId: number): StudyBenchmark[] {
  return allRows<StudyBenchmark>(
    db,
    `SELECT evaluations.benchmark AS name, datasets.path, datasets.sha256, evaluations.problems, evaluations.kind
     FROM evaluations JOIN datasets ON datasets.id = evaluations.dataset_id
     WHERE run_id = (SELECT id FROM runs WHERE study_id = ? ORDER BY position LIMIT 1) ORDER BY stage, evaluations.position`,
    studyId,
  );
}

/** Files a run reads, to be checked against what they were when the study was made. */
export function listRunBenchmarks(db: Connection, runId: string): StudyBenchmark[] {
  return allRows<StudyBenchmark>(
    db,
    `SELECT evaluations.benchmark AS name, datasets.path, datasets.sha256, evaluations.problems, evaluations.kind
     FROM evaluations JOIN datasets ON datasets.id = evaluations.dataset_id WHERE run_id = ? ORDER BY stage, evaluations.position`,
    runId,
  );
}
