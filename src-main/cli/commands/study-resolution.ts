/** `study resolution`: what differences a study could have seen, or what a planned one would need. */
import { type Command, InvalidArgumentError } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { resolutionLevel } from '#contract/resolution.ts';
import { independentDisagreement, requiredProblems } from '../../engine/statistics/index.ts';
import { count, percent } from '../../reports/format.ts';
import { studyResolution } from '../../reports/index.ts';
import { resolutionTable } from '../../reports/resolution-table.ts';
import { compareStudy } from '../../runs/compare-study.ts';
import type { CliContext } from '../context.ts';
import { decimal, examples, jsonOption, wholeNumber } from '../options.ts';
import { readStudy } from '../read-study.ts';
import { textTable } from '../terminal.ts';

interface ResolutionOptions {
  project?: string;
  study?: number;
  difference: number;
  power: number;
  accuracy?: number;
  disagreement?: number;
  json?: boolean;
}

/** Differences in points that a plan lists, with the wanted one. */
const listedPoints = [0.5, 1, 2, 3, 5, 10];

export function addStudyResolution(study: Command, context: CliContext): void {
  const command = study
    .command('resolution')
    .description('what differences a study could have seen; without a project, how many problems a planned one needs')
    .option('--project <file>', 'project file')
    .option('--study <id>', 'which study; the newest without it', wholeNumber)
    .option('--difference <points>', 'difference in accuracy that is wanted', share, 0.02)
    .option('--power <percent>', 'chance of finding it when it is there', powerShare, 0.8)
    .option('--accuracy <percent>', 'to plan: the baseline’s accuracy; both are taken to err independently', share)
    .option('--disagreement <percent>', 'to plan: share of problems that only one of the two solves, when it is known', share)
    .addOption(jsonOption());
  examples(command, [
    'study resolution --project first.roundoff --difference 1',
    'study resolution --accuracy 80 --difference 2',
    'study resolution --disagreement 8 --power 90 --json',
  ]).action((options: ResolutionOptions) => {
    if (options.project === undefined) plan(context, options);
    else measured(context, options, options.project);
  });
}

function measured(context: CliContext, { study, difference, power, json = false }: ResolutionOptions, project: string): void {
  const comparison = readStudy(project, study ?? null, compareStudy);
  const resolution = studyResolution(comparison, { difference, power });
  context.print(json, resolution, () => {
    const { header, lines, note } = resolutionTable(
      resolution,
      comparison.benchmarks.map(({ name }) => name),
    );
    return [textTable(header, lines, new Set(header.map((_, column) => column).slice(2))), '', note].join('\n');
  });
}

function plan(context: CliContext, { accuracy, disagreement, difference, power, json = false }: ResolutionOptions): void {
  if ((accuracy === undefined) === (disagreement === undefined))
    throw new RoundoffError(
      'bad-input',
      'A plan needs the baseline’s accuracy or the disagreement, one of the two.',
      'Give --accuracy or --disagreement; or --project for a study that has been run.',
    );
  const differences = [...new Set([...listedPoints.map((points) => points / 100), difference])].sort((a, b) => a - b);
  const lines = differences.flatMap((wanted) => {
    // A variant that is worse by more than the baseline's accuracy cannot be.
    if (accuracy !== undefined && wanted > accuracy) return [];
    const spread = disagreement ?? independentDisagreement(accuracy!, accuracy! - wanted);
    return [{ difference: wanted, disagreement: spread, problems: requiredProblems(wanted, spread, { level: resolutionLevel, power }) }];
  });
  context.print(json, { power, level: resolutionLevel, plans: lines }, () => {
    const header = ['difference, points', 'disagreement', 'problems'];
    const cells = lines.map((line) => [percent(line.difference), `${percent(line.disagreement)} %`, count(line.problems)]);
    return [textTable(header, cells, new Set([0, 1, 2])), '', planNote(power, disagreement === undefined)].join('\n');
  });
}

function planNote(power: number, isAssumed: boolean): string {
  const assumption = isAssumed
    ? ' The disagreement is that of independent answers, the most to be expected: a close variant shares most of the baseline’s errors and needs fewer.'
    : '';
  return `Problems with one seed, for a paired test at the 5 % level that finds the difference with ${percent(power)} % probability.${assumption}`;
}

/** A percentage or points as a share in (0, 1]. */
function share(text: string): number {
  const value = decimal(text) / 100;
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('Give a number above 0, up to 100.');
  return value;
}

function powerShare(text: string): number {
  const value = share(text);
  if (value < 0.5 || value > 0.999) throw new InvalidArgumentError('Give a percentage from 50 to 99.9.');
  return value;
}
