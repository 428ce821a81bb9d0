/** `report`: the comparison of a study as one file. Only reads, so it works while the project is open elsewhere. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { type ReportFormat, reportFormats } from '#contract/commands.ts';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import { renderStudyReport } from '../../ipc/study-report.ts';
import { bytes } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, wholeNumber } from '../options.ts';
import { readStudy } from '../read-study.ts';

interface ReportOptions {
  project: string;
  study?: number;
  format: ReportFormat;
  out?: string;
  json?: boolean;
}

export function addReport(program: Command, context: CliContext): void {
  const command = program
    .command('report')
    .description('write the comparison report of a study')
    .requiredOption('--project <file>', 'project file')
    .option('--study <id>', 'which study; the newest without it', wholeNumber)
    .addOption(new Option('--format <name>', 'kind of file').choices(reportFormats).default('html'))
    .option('--out <file>', 'where to write it; stdout without it')
    .addOption(jsonOption());
  examples(command, [
    'report --project study.roundoff --format html --out study.html',
    'report --project study.roundoff --format csv',
  ]).action(async (options: ReportOptions) => {
    const text = readStudy(options.project, options.study ?? null, (db, study) => renderStudyReport(db, study, options.format));
    if (options.out === undefined) {
      context.print(options.json ?? false, { format: options.format, text }, () => text.trimEnd());
      return;
    }
    const written = await writeWholeFile(path.resolve(options.out), text);
    context.print(options.json ?? false, written, () => `${written.path}, ${bytes(written.sizeBytes)}`);
  });
}
