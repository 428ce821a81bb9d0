/** `report`: the comparison of a study as one file. Only reads, so it works while the project is open elsewhere. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { type ReportFormat, reportFormats } from '#contract/commands.ts';
import { RoundoffError } from '#contract/errors.ts';
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
    .option('--out <file>', 'where to write it; stdout without it, which a workbook (xlsx) is not for')
    .addOption(jsonOption());
  examples(command, [
    'report --project study.roundoff --format html --out study.html',
    'report --project study.roundoff --format csv',
    'report --project study.roundoff --format xlsx --out study.xlsx',
  ]).action(async (options: ReportOptions) => {
    const { project, study: id = null, format, out, json = false } = options;
    if (out !== undefined) {
      const content = await readStudy(project, id, (db, study) => renderStudyReport(db, study, format));
      const written = await writeWholeFile(path.resolve(out), content);
      context.print(json, written, () => `${written.path}, ${bytes(written.sizeBytes)}`);
      return;
    }
    if (format === 'xlsx')
      throw new RoundoffError(
        'bad-input',
        'A workbook (xlsx) is not text and cannot be printed.',
        'Say where to write it: `--out FILE.xlsx`.',
      );
    const text = readStudy(project, id, (db, study) => renderStudyReport(db, study, format));
    context.print(json, { format, text }, () => text.trimEnd());
  });
}
