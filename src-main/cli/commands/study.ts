/** `study run` and its results: `study show`, `study samples` and `study resolution`. */
import path from 'node:path';
import type { Command } from 'commander';
import type { StudyComparison } from '#contract/comparison.ts';
import { compareStudy } from '../../runs/compare-study.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, wholeNumber } from '../options.ts';
import { readStudy } from '../read-study.ts';
import { addStudyOptions, chosenSpec, findSpec, runStudy, type StudyOptions } from '../run-study.ts';
import { failuresResult, failuresText, studyResult, studyText } from '../study-result.ts';
import { addStudyResolution } from './study-resolution.ts';
import { addStudySamples } from './study-samples.ts';
import { addStudyTry } from './study-try.ts';

interface RunOptions extends StudyOptions {
  project: string;
  json?: boolean;
}

interface ShowOptions {
  project: string;
  study?: number;
  failures?: boolean;
  json?: boolean;
}

export function addStudy(program: Command, context: CliContext): void {
  const study = program.command('study').description('run studies and show their results');
  const run = study
    .command('run <study>')
    .description('run a study file or preset; on an existing project, continue the same study where it stopped')
    .requiredOption('--project <file>', 'project file, created when it does not exist');
  addStudyOptions(run).addOption(jsonOption());
  examples(run, [
    'study run first-study --project first.roundoff',
    'study run first-study --backend webgpu --problems 50 --project quick.roundoff',
    'study run my-study.json --project first.roundoff --json',
    'study run paper-b --model ~/models/Qwen3-1.7B --choose OpenR1-Math=openr1.jsonl --project b.roundoff',
  ]).action(async (name: string, { project, json = false, ...options }: RunOptions) => {
    const spec = chosenSpec(await findSpec(name, context.resourcesDir), options, context.resourcesDir);
    const comparison = await runStudy(context, spec, path.resolve(project));
    print(context, json, comparison);
    if (!comparison.complete) context.exitCode = 1;
  });
  addStudyTry(study, context);
  const show = study
    .command('show')
    .description('show the rows of a study; works while the project is open elsewhere')
    .requiredOption('--project <file>', 'project file')
    .option('--study <id>', 'which study; the newest without it', wholeNumber)
    .option('--failures', 'how completions failed and where answers flipped, instead of accuracies')
    .addOption(jsonOption());
  examples(show, ['study show --project first.roundoff', 'study show --project first.roundoff --failures']).action(
    ({ project, study: id, failures = false, json = false }: ShowOptions) => {
      const comparison = readStudy(project, id ?? null, compareStudy);
      if (failures) context.print(json, failuresResult(comparison), () => failuresText(comparison));
      else print(context, json, comparison);
    },
  );
  addStudySamples(study, context);
  addStudyResolution(study, context);
}

function print(context: CliContext, json: boolean, comparison: StudyComparison): void {
  context.print(json, studyResult(comparison), () => studyText(comparison));
}
