/** The GPU check's one table, as `docs/performance.md` takes it. */
import type { DeviceDescription } from '../peers/environment.ts';
import type { PeersResult } from '../peers/index.ts';
import type { Failure } from '../peers/messages.ts';
import { environmentLines, tableLines } from '../peers/table.ts';
import type { ChecksReport } from './checks-part.ts';
import type { CheckAnswer } from './run-checks.ts';
import type { StudyReport } from './study-part.ts';

export interface GpuReport {
  date: string;
  command: string;
  device: DeviceDescription;
  system: string;
  notes: string[];
  /** Null for parts that were not asked for. */
  checks: ChecksReport | null;
  study: StudyReport | Failure | null;
  peers: PeersResult | null;
  elapsedMs: number;
}

/** Whether a check failed or could not be made, or the study differs; a missing figure is no failure. */
export function reportFailed({ checks, study }: GpuReport): boolean {
  const checksFailed = checks !== null && (checks.notRun !== null || checks.answers.some(isBad));
  return checksFailed || (study !== null && !studyAgrees(study));
}

export function reportMarkdown(report: GpuReport): string {
  const { date, command, system, notes, checks, study, peers, elapsedMs } = report;
  const [header, rule, ...rows] = peers ? tableLines(peers) : [];
  const columns = (header?.split(' | ').length ?? 1) - 2;
  const row = (title: string, said: string) => `| ${[title, said, ...Array.from({ length: columns }, () => '–')].join(' | ')} |`;
  return [
    `${date}, \`${command}\`, ${system}, ${Math.round(elapsedMs / 1000)} s in all.`,
    '',
    ...(header ? [header, rule!] : []),
    ...(checks ? [row('Reference checks of the kernels', checksText(checks))] : []),
    ...(study ? [row('The study of the sample model, beside the processor', studyText(study))] : []),
    ...rows,
    '',
    ...(peers ? environmentLines(peers) : []),
    ...notes.flatMap((note) => ['', note]),
    ...(checks ? failedChecks(checks) : []),
  ].join('\n');
}

const isBad = ({ outcome }: CheckAnswer) => outcome === 'failed' || outcome === 'deviates';

function checksText({ total, answers, notRun }: ChecksReport): string {
  const count = (outcome: CheckAnswer['outcome']) => answers.filter((answer) => answer.outcome === outcome).length;
  const elsewhere = count('not on this device');
  return [
    `${count('passed')} of ${total ?? '?'} passed`,
    ...(elsewhere > 0 ? [`${elsewhere} need what the device lacks`] : []),
    ...(answers.some(isBad) ? [`**${answers.filter(isBad).length} failed**`] : []),
    ...(notRun ? [`**${notRun.names.length} not run: ${notRun.reason}**`] : []),
  ].join(', ');
}

function failedChecks({ answers, notRun }: ChecksReport): string[] {
  const lines = answers.flatMap((answer) => {
    if (answer.outcome === 'deviates')
      return [`- ${answer.check}: off by ${answer.maxError.toExponential(2)}, allowed ${answer.tolerance}`];
    return answer.outcome === 'failed' ? [`- ${answer.check}: ${answer.reason.replaceAll(/\s+/g, ' ')}`] : [];
  });
  const missed = notRun && notRun.names.length > 0 ? [`- not run (${notRun.reason}): ${notRun.names.join('; ')}`] : [];
  return lines.length + missed.length > 0 ? ['', 'Checks that failed:', '', ...lines, ...missed] : [];
}

function studyAgrees(study: NonNullable<GpuReport['study']>): study is StudyReport {
  return 'rows' in study && study.rows.every(({ gpu, processor }) => Math.abs(gpu - processor) <= study.tolerance);
}

function studyText(study: NonNullable<GpuReport['study']>): string {
  if (!('rows' in study)) return `**failed: ${study.reason}**`.replaceAll(/\s+/g, ' ').replaceAll('|', '/');
  const percent = (share: number) => (100 * share).toFixed(1);
  const rows = study.rows.map(({ recipe, gpu, processor }) => `${recipe} ${percent(gpu)} % against ${percent(processor)} %`);
  const times = `${(study.milliseconds.gpu / 1000).toFixed(0)} s against ${(study.milliseconds.processor / 1000).toFixed(0)} s`;
  return `${studyAgrees(study) ? 'the same' : '**not the same**'} within ${percent(study.tolerance)} points over ${study.problems} problems: ${rows.join(', ')}; ${times}`;
}
