/** Table `samples`: every evaluated completion, unique per run, benchmark, seed and problem. */
import { thinkingEnd } from '#contract/failures.ts';
import type { SampleRow } from '#contract/records.ts';
import {
  type ExpectedTokens,
  type FinishReason,
  type RecordedSample,
  type SampleResult,
  sampleKey,
  type Verdict,
} from '#contract/worker.ts';
import { allRows, type Connection, firstRow, statement } from '../connection.ts';

/** What a comparison needs of a sample. */
export type SampleOutcome = [
  runId: string,
  benchmark: string,
  seed: number,
  problemId: string,
  verdict: Verdict,
  completionTokens: number,
  finishReason: FinishReason,
  thinkingEnded: 0 | 1,
  extracted: string | null,
];

export const sampleSelection = `
  SELECT samples.id, samples.run_id AS runId, runs.name AS runName, benchmark, samples.seed, problem_id AS problemId, prompt, completion, gold,
    extracted, verdict, detail, completion_tokens AS completionTokens, finish_reason AS finishReason
  FROM samples JOIN runs ON runs.id = samples.run_id`;

/** Records a sample; one that is already there stands. */
export function insertSample(db: Connection, runId: string, stage: number, sample: SampleResult): void {
  statement(
    db,
    `INSERT INTO samples (run_id, stage, benchmark, seed, problem_id, prompt, completion, gold, extracted, verdict, detail, completion_tokens,
       finish_reason, thinking_ended)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  ).run(
    runId,
    stage,
    sample.benchmark,
    sample.seed,
    sample.problemId,
    sample.prompt,
    sample.completion,
    sample.gold,
    sample.extracted,
    sample.verdict,
    sample.detail,
    sample.completionTokens,
    sample.finishReason,
    sample.completion.includes(thinkingEnd) ? 1 : 0,
  );
}

/** What is taken over of another run's samples. */
export interface SampleSelection {
  fromRunId: string;
  benchmark: string;
  seeds: readonly number[];
  /** These problems alone; all when null. */
  problemIds: readonly string[] | null;
}

/** Records another run's samples as this one's own, but for those it has. The number of new ones. */
export function copySamples(
  db: Connection,
  runId: string,
  stage: number,
  { fromRunId, benchmark, seeds, problemIds }: SampleSelection,
): number {
  return statement(
    db,
    `INSERT INTO samples (run_id, stage, benchmark, seed, problem_id, prompt, completion, gold, extracted, verdict, detail, completion_tokens,
       finish_reason, thinking_ended)
     SELECT ?, ?, benchmark, seed, problem_id, prompt, completion, gold, extracted, verdict, detail, completion_tokens, finish_reason, thinking_ended
     FROM samples
     WHERE run_id = ? AND benchmark = ? AND seed IN (SELECT value FROM json_each(?))
       AND (? OR problem_id IN (SELECT value FROM json_each(?)))
     ORDER BY id ON CONFLICT DO NOTHING`,
  ).run(runId, stage, fromRunId, benchmark, JSON.stringify(seeds), problemIds === null ? 1 : 0, JSON.stringify(problemIds ?? [])).changes;
}

/** Removes what a run recorded of these problems. */
export function deleteProblemSamples(db: Connection, runId: string, benchmark: string, problemIds: readonly string[]): void {
  statement(db, 'DELETE FROM samples WHERE run_id = ? AND benchmark = ? AND problem_id IN (SELECT value FROM json_each(?))').run(
    runId,
    benchmark,
    JSON.stringify(problemIds),
  );
}

/** What a resume needs of a run's samples. */
export function recordedSamples(db: Connection, runId: string): RecordedSample[] {
  return allRows<{ benchmark: string; seed: number; problemId: string; verdict: Verdict; tokens: number }>(
    db,
    `SELECT benchmark, seed, problem_id AS problemId, verdict, completion_tokens AS tokens FROM samples WHERE run_id = ? ORDER BY id`,
    runId,
  ).map(({ benchmark, seed, problemId, verdict, tokens }) => [sampleKey(benchmark, seed, problemId), verdict, tokens]);
}

/** Mean lengths of the completions of a study's baseline of this model; empty before it has any. */
export function baselineTokens(db: Connection, { studyId, modelId }: { studyId: number; modelId: number }): ExpectedTokens {
  const rows = allRows<{ benchmark: string; problemId: string; tokens: number }>(
    db,
    `SELECT benchmark, problem_id AS problemId, avg(completion_tokens) AS tokens FROM samples JOIN runs ON runs.id = samples.run_id
     WHERE study_id = ? AND model_id = ? AND is_baseline = 1 GROUP BY benchmark, problem_id`,
    studyId,
    modelId,
  );
  const benchmarks = Map.groupBy(rows, ({ benchmark }) => benchmark);
  return new Map([...benchmarks].map(([name, own]) => [name, new Map(own.map(({ problemId, tokens }) => [problemId, tokens]))]));
}

/** Outcomes of all samples of a study, read from the index alone: completions are long. */
export function studyOutcomes(db: Connection, studyId: number): SampleOutcome[] {
  return statement(
    db,
    `SELECT run_id, benchmark, samples.seed, problem_id, verdict, completion_tokens, finish_reason, thinking_ended, extracted
     FROM runs JOIN samples INDEXED BY samples_by_outcome ON runs.id = samples.run_id WHERE study_id = ?
     ORDER BY runs.position, benchmark, problem_id, samples.seed`,
  )
    .raw(true)
    .all(studyId) as SampleOutcome[];
}

/** The same problem and seed in every run of a study, in the runs' order. */
export function compareSamples(db: Connection, at: { studyId: number; benchmark: string; problemId: string; seed: number }): SampleRow[] {
  return allRows<SampleRow>(
    db,
    `${sampleSelection} WHERE runs.study_id = ? AND benchmark = ? AND problem_id = ? AND samples.seed = ? ORDER BY runs.position`,
    at.studyId,
    at.benchmark,
    at.problemId,
    at.seed,
  );
}

/** Mean generated tokens of a model's samples in this project, or null without any. */
export function meanCompletionTokens(db: Connection, modelHash: string): number | null {
  return (
    firstRow<{ mean: number | null }>(
      db,
      `SELECT avg(completion_tokens) AS mean FROM samples JOIN runs ON runs.id = samples.run_id JOIN models ON models.id = runs.model_id
       WHERE models.hash = ?`,
      modelHash,
    )?.mean ?? null
  );
}

/** How often each right answer occurs among a run's samples of a benchmark. */
export function goldCounts(db: Connection, runId: string, benchmark: string): number[] {
  return allRows<{ samples: number }>(
    db,
    'SELECT count(*) AS samples FROM samples WHERE run_id = ? AND benchmark = ? GROUP BY gold ORDER BY gold',
    runId,
    benchmark,
  ).map(({ samples }) => samples);
}
