/**
 * Searches table `samples`. Rows are found, counted and ordered in the index `samples_by_outcome`, which holds all but the long texts; only
 * those of the page asked for are then read. A search for text has to read them all.
 */
import type { ListedSample, SamplePage, SampleRow } from '#contract/records.ts';
import type { SampleQuery } from '#contract/sample-query.ts';
import type { Verdict } from '#contract/worker.ts';
import { allRows, type Connection, firstRow } from '../connection.ts';
import { sampleSelection } from './samples.ts';

/** Each run of the study with the baseline it is compared with: of its model, of the same seed where there is one. */
const listedRuns = `
  WITH listed AS MATERIALIZED (
    SELECT id, position, (
      SELECT baseline.id FROM runs AS baseline
      WHERE baseline.study_id = runs.study_id AND baseline.is_baseline = 1 AND baseline.model_id = runs.model_id AND runs.is_baseline = 0
      ORDER BY baseline.seed = runs.seed DESC, baseline.position LIMIT 1
    ) AS baseline_id
    FROM runs WHERE study_id = ?
  )`;

const foundSamples = `
  FROM listed JOIN samples INDEXED BY samples_by_outcome ON samples.run_id = listed.id
  LEFT JOIN samples AS reference INDEXED BY samples_by_outcome ON reference.run_id = listed.baseline_id
    AND reference.benchmark = samples.benchmark AND reference.problem_id = samples.problem_id AND reference.seed = samples.seed`;

type Condition = [sql: string, ...values: unknown[]];

export function querySamples(db: Connection, query: SampleQuery): SamplePage {
  const conditions = conditionsOf(query);
  const where = conditions.length > 0 ? `WHERE ${conditions.map(([sql]) => sql).join(' AND ')}` : '';
  const values = [query.studyId, ...conditions.flatMap(([, ...rest]) => rest)];
  const counted = firstRow<{ total: number }>(db, `${listedRuns} SELECT count(*) AS total ${foundSamples} ${where}`, ...values);
  const found = allRows<{ id: number; baselineVerdict: Verdict | null }>(
    db,
    `${listedRuns} SELECT samples.id, reference.verdict AS baselineVerdict ${foundSamples} ${where}
     ORDER BY listed.position, samples.stage, samples.benchmark, length(samples.problem_id), samples.problem_id, samples.seed LIMIT ? OFFSET ?`,
    ...values,
    query.limit,
    query.offset,
  );
  const rows = found.map(({ id, baselineVerdict }): ListedSample => {
    const sample = firstRow<SampleRow>(db, `${sampleSelection} WHERE samples.id = ?`, id);
    return { ...sample!, baselineVerdict };
  });
  return { total: counted?.total ?? 0, rows };
}

function conditionsOf(query: SampleQuery): Condition[] {
  const conditions: Condition[] = [];
  if (query.runId !== null) conditions.push(['samples.run_id = ?', query.runId]);
  if (query.benchmark !== null) conditions.push(['samples.benchmark = ?', query.benchmark]);
  if (query.seed !== null) conditions.push(['samples.seed = ?', query.seed]);
  if (query.verdict !== null) conditions.push(['samples.verdict = ?', query.verdict]);
  if (query.finishReason !== null) conditions.push(['samples.finish_reason = ?', query.finishReason]);
  if (query.thinkingEnded !== null) conditions.push(['samples.thinking_ended = ?', query.thinkingEnded ? 1 : 0]);
  if (query.minTokens !== null) conditions.push(['samples.completion_tokens >= ?', query.minTokens]);
  if (query.maxTokens !== null) conditions.push(['samples.completion_tokens <= ?', query.maxTokens]);
  if (query.flip !== null) conditions.push([flipConditions[query.flip]]);
  if (query.agreement !== null) conditions.push([agreementConditions[query.agreement]]);
  if (query.text !== '') conditions.push(textCondition(query.text));
  return conditions;
}

const flipConditions = {
  any: `(reference.verdict = 'correct') <> (samples.verdict = 'correct')`,
  lost: `reference.verdict = 'correct' AND samples.verdict <> 'correct'`,
  gained: `reference.verdict <> 'correct' AND samples.verdict = 'correct'`,
} as const;

const agreementConditions = {
  same: 'reference.extracted = samples.extracted',
  other: 'reference.id IS NOT NULL AND reference.extracted IS NOT samples.extracted',
} as const;

function textCondition(text: string): Condition {
  const places = ['prompt', 'completion', 'problem_id'].map((column) => `instr(lower(samples.${column}), ?)`);
  return [`(${places.join(' OR ')})`, ...places.map(() => text.toLowerCase())];
}
