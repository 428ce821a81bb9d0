/** `study samples`: recorded completions by what they are and how they differ from the baseline's. */
import { type Command, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import type { ListedSample, SamplePage } from '#contract/records.ts';
import { agreements, finishReasons, flips, type SampleQuery, sampleQuerySchema, verdictNames } from '#contract/sample-query.ts';
import type { Connection } from '../../project/connection.ts';
import { listRuns } from '../../project/repositories/runs.ts';
import { querySamples } from '../../project/repositories/sample-query.ts';
import { count } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, positiveWholeNumber, wholeNumber } from '../options.ts';
import { readStudy } from '../read-study.ts';
import { textTable } from '../terminal.ts';

interface SamplesOptions {
  project: string;
  study?: number;
  run?: string;
  benchmark?: string;
  seed?: number;
  verdict?: SampleQuery['verdict'];
  flip?: SampleQuery['flip'];
  agreement?: SampleQuery['agreement'];
  finish?: SampleQuery['finishReason'];
  thinking?: 'ended' | 'open';
  minTokens?: number;
  maxTokens?: number;
  text?: string;
  limit: number;
  offset: number;
  json?: boolean;
}

export function addStudySamples(study: Command, context: CliContext): void {
  const command = study
    .command('samples')
    .description('list recorded completions; works while the project is open elsewhere')
    .requiredOption('--project <file>', 'project file')
    .option('--study <id>', 'which study; the newest without it', wholeNumber)
    .option('--run <name>', 'of this run alone, by its name or id')
    .option('--benchmark <name>', 'of this benchmark alone')
    .option('--seed <seed>', 'of this evaluation seed alone', wholeNumber)
    .addOption(new Option('--verdict <verdict>', 'judged so').choices(verdictNames))
    .addOption(new Option('--flip <direction>', 'lost: right in the baseline, wrong here; gained: the reverse').choices(flips))
    .addOption(new Option('--agreement <kind>', 'whether the extracted answer is the baseline’s').choices(agreements))
    .addOption(new Option('--finish <reason>', 'stop: came to an end; length: reached the token limit').choices(finishReasons))
    .addOption(new Option('--thinking <state>', 'whether the thinking came to its end').choices(['ended', 'open']))
    .option('--min-tokens <n>', 'at least this long', wholeNumber)
    .option('--max-tokens <n>', 'at most this long', wholeNumber)
    .option('--text <text>', 'with this text in prompt, completion or problem')
    .option('--limit <n>', 'list at most this many, up to 500', positiveWholeNumber, 50)
    .option('--offset <n>', 'leave out the first ones', wholeNumber, 0)
    .addOption(jsonOption());
  examples(command, [
    'study samples --project first.roundoff --run "RTN W2G32" --flip lost',
    'study samples --project first.roundoff --verdict truncated --min-tokens 150 --json',
  ]).action((options: SamplesOptions) => {
    const page = readStudy(options.project, options.study ?? null, (db, record) => querySamples(db, toQuery(db, record.id, options)));
    context.print(options.json ?? false, page, () => pageText(page, options.offset));
  });
}

function toQuery(db: Connection, studyId: number, options: SamplesOptions): SampleQuery {
  if (options.limit > 500)
    throw new RoundoffError('bad-input', `--limit ${options.limit} is more than 500.`, 'Page through them with --offset.');
  const { run, finish, thinking, project: _project, study: _study, json: _json, ...rest } = options;
  return sampleQuerySchema.parse({
    studyId,
    ...rest,
    ...(run === undefined ? {} : { runId: runIdOf(db, studyId, run) }),
    ...(finish === undefined ? {} : { finishReason: finish }),
    ...(thinking === undefined ? {} : { thinkingEnded: thinking === 'ended' }),
  });
}

function runIdOf(db: Connection, studyId: number, name: string): string {
  const runs = listRuns(db, studyId);
  const found = runs.filter((run) => run.id === name || run.name === name);
  if (found.length === 1) return found[0]!.id;
  const known = (found.length > 1 ? found : runs).map((run) => `${run.id} (${run.name})`).join(', ');
  throw new RoundoffError(
    found.length > 1 ? 'bad-input' : 'not-found',
    found.length > 1 ? `Several runs of the study are called "${name}".` : `The study has no run "${name}".`,
    `Give the id of one of: ${known}.`,
  );
}

function pageText({ total, rows }: SamplePage, offset: number): string {
  if (rows.length === 0) return total === 0 ? 'No completion fits.' : `${count(total)} completions fit; none after ${count(offset)}.`;
  const header = ['run', 'benchmark', 'problem', 'seed', 'verdict', 'baseline', 'extracted', 'gold', 'tokens'];
  const lines = rows.map((row) => [
    row.runName,
    row.benchmark,
    row.problemId,
    String(row.seed),
    row.verdict,
    row.baselineVerdict ?? '–',
    cut(row.extracted ?? '–'),
    cut(row.gold),
    tokens(row),
  ]);
  return [textTable(header, lines, new Set([3, 8])), '', `${offset + 1} to ${offset + rows.length} of ${count(total)}.`].join('\n');
}

const tokens = ({ completionTokens, finishReason }: ListedSample) =>
  `${count(completionTokens)}${finishReason === 'length' ? ', cut off' : ''}`;

function cut(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 24 ? `${line.slice(0, 23).toWellFormed()}…` : line;
}
