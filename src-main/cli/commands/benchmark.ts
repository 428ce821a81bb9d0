/** `benchmark inspect`: what a benchmark file or folder holds, as it would be read, and every bad row. */
import type { Command } from 'commander';
import type { BenchmarkFacts, DatasetInspection } from '#contract/records.ts';
import { inspectBenchmark } from '../../engine/benchmarks/inspect.ts';
import { bytes, count } from '../../reports/format.ts';
import { addReferenceOptions, type ReferenceOptions, referenceDetails } from '../benchmark-options.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, positiveWholeNumber, userPath } from '../options.ts';
import { textTable } from '../terminal.ts';

interface InspectCommandOptions extends ReferenceOptions {
  findings: number;
  json?: boolean;
}

export function addBenchmark(program: Command, context: CliContext): void {
  const benchmark = program.command('benchmark').description('look at benchmark files');
  const inspect = benchmark
    .command('inspect <path>')
    .description(
      'layout, splits, columns, counts and the first problems of a file, a folder or a data set in Hugging Face’s cache; every bad row',
    )
    .option('--findings <n>', 'bad rows that are listed at most', positiveWholeNumber, 200);
  examples(addReferenceOptions(inspect).addOption(jsonOption()), [
    'benchmark inspect gpqa_diamond.csv',
    'benchmark inspect ~/.cache/huggingface/hub/datasets--openai--gsm8k --split main/test --json',
    'benchmark inspect mine.csv --map question=prompt,answer=target',
  ]).action(async (text: string, options: InspectCommandOptions) => {
    const path = userPath(text, context.resourcesDir);
    const reference = { path, ...referenceDetails(options, { name: '', names: [], resourcesDir: context.resourcesDir }) };
    const inspection = await inspectBenchmark(reference, { signal: context.signal, maxFindings: options.findings });
    context.print(options.json ?? false, inspection, () => describe(inspection));
    if (inspection.problems.some((problem) => problem.severity === 'error')) context.exitCode = 2;
  });
}

function describe(inspection: DatasetInspection): string {
  const { benchmark, rows, sizeBytes, preview } = inspection;
  const problems = inspection.problems.map(({ severity, where, message, hint }) => `${severity}: ${where}: ${message} ${hint}`);
  if (!benchmark) return problems.join('\n');
  const shown = preview.slice(0, 3).flatMap(({ prompt, answer }, index) => [`${index + 1}. ${prompt}`, `   → ${answer}`, '']);
  return [
    `${inspection.name}: ${benchmark.layout} (${benchmark.problemKind}), ${count(rows)} problems, ${bytes(sizeBytes)}`,
    ...facts(benchmark),
    `sha256 ${inspection.sha256}`,
    '',
    textTable(
      ['column', 'first value'],
      benchmark.columns.map(({ name, example }) => [name, example.replaceAll('\n', ' ').slice(0, 80)]),
      new Set(),
    ),
    '',
    ...shown,
    ...problems,
  ].join('\n');
}

function facts({ repository, split, splits, levels, subjects, withTolerance, floor }: BenchmarkFacts): string[] {
  const counts = (list: readonly { name: string; problems: number }[]) =>
    list.map(({ name, problems }) => `${name}: ${problems}`).join(', ');
  return [
    ...(repository === null ? [] : [`from ${repository}`]),
    ...(split === null ? [] : [`split ${split} of ${splits.join(', ')}`]),
    ...(levels.length === 0 ? [] : [`by level: ${counts(levels)}`]),
    ...(subjects.length === 0 ? [] : [`by subject: ${counts(subjects)}`]),
    ...(withTolerance === 0 ? [] : [`${withTolerance} allow an error`]),
    ...(floor === null ? [] : [`always the same letter scores ${(100 * floor).toFixed(2)} %: the floor`]),
  ];
}
