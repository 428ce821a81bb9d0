/** `findings`: the papers' studies on the sample models, run or continued, and each claim with what was measured. */
import path from 'node:path';
import { Argument, type Command } from 'commander';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import {
  findingsMarkdown,
  findingsStudy,
  findingsText,
  judge,
  MeasuredStudy,
  measureFurther,
  type PaperKey,
  papers,
} from '../../findings/index.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption } from '../options.ts';
import { readStudy } from '../read-study.ts';
import { runStudy } from '../run-study.ts';

interface FindingsOptions {
  project: string;
  quick?: boolean;
  out?: string;
  json?: boolean;
}

export function addFindings(program: Command, context: CliContext): void {
  const command = program
    .command('findings')
    .description('replay a paper’s findings on the sample models: claim, the paper’s figures, ours with intervals, holds or not')
    .addArgument(new Argument('<paper>', 'a: quantization in RL (2511.15694); b: Reasoning-QAT (2601.14888)').choices(['a', 'b']))
    .requiredOption('--project <file>', 'project file, created when it does not exist; the same command continues where it stopped')
    .option('--quick', 'a few minutes: tests the command, says nothing of the claims')
    .option('--out <file>', 'also write the findings to this Markdown file')
    .addOption(jsonOption());
  examples(command, ['findings a --project findings-a.roundoff', 'findings b --quick --project quick.roundoff --json']).action(
    async (paper: PaperKey, { project, quick = false, out, json = false }: FindingsOptions) => {
      const spec = findingsStudy(paper, quick);
      const file = path.resolve(project);
      const comparison = await runStudy(context, spec, file);
      const { results, further } = readStudy(file, comparison.studyId, (db, study) => {
        const measured = new MeasuredStudy(db, study);
        return {
          results: papers[paper].claims.map((claim) => judge(claim, measured)),
          further: papers[paper].further.map((measurement) => measureFurther(measurement, measured)),
        };
      });
      const { elapsedMs } = comparison;
      if (out) {
        const header = { title: papers[paper].title, command: commandLine(paper, project, quick), quick, minutes: elapsedMs / 60_000 };
        const seeds = { seeds: spec.seeds, evaluationSeeds: spec.protocol.seeds };
        await writeWholeFile(path.resolve(out), findingsMarkdown(results, further, { ...header, ...seeds }));
      }
      const environment = {
        elapsedMs,
        seeds: spec.seeds,
        evaluationSeeds: spec.protocol.seeds,
        quick,
        environment: comparison.environment,
      };
      context.print(json, { paper, title: papers[paper].title, claims: results, further, ...environment }, () =>
        findingsText(results, further),
      );
    },
  );
}

function commandLine(paper: PaperKey, project: string, quick: boolean): string {
  return `npm run -s roundoff -- findings ${paper} --project ${path.basename(project)}${quick ? ' --quick' : ''}`;
}
