/** `study try`: executes a while of each kind of run of a study and says what all of it takes. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Command } from 'commander';
import { fromErrorInfo } from '#contract/errors.ts';
import type { StudyTrial } from '#contract/preflight.ts';
import type { StudySpec } from '#contract/recipe.ts';
import { createServices } from '../../ipc/services.ts';
import { bytes, duration } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption } from '../options.ts';
import { addStudyOptions, chosenSpec, findSpec, type StudyOptions } from '../run-study.ts';
import { textTable } from '../terminal.ts';

interface TryOptions extends StudyOptions {
  json?: boolean;
}

export function addStudyTry(study: Command, context: CliContext): void {
  const command = study
    .command('try <study>')
    .description(
      'execute a while of each kind of run and say how long the study takes and in how much memory; exit code 1 when it does not fit',
    );
  addStudyOptions(command).addOption(jsonOption());
  examples(command, ['study try first-study', 'study try my-study.json --json']).action(
    async (name: string, { json = false, ...options }: TryOptions) => {
      const spec = chosenSpec(await findSpec(name, context.resourcesDir), options, context.resourcesDir);
      const trial = await tryInFreshProject(context, spec);
      context.print(json, trial, () => trialText(trial));
      if (trial.problems.length > 0) context.exitCode = 1;
    },
  );
}

/** A trial leaves nothing behind: its project lies in the system's temporary folder as long as it goes on. */
async function tryInFreshProject(context: CliContext, spec: StudySpec): Promise<StudyTrial> {
  const { version, resourcesDir, workerEntry, signal, progress } = context;
  const dir = await mkdtemp(path.join(os.tmpdir(), 'roundoff-trial-'));
  const services = createServices({ host: 'cli', version, resourcesDir, workerEntry });
  const cancel = () => void services.dispatch('studies.cancelTrial', {});
  signal.addEventListener('abort', cancel);
  services.onEvent((event) => {
    if (event.type !== 'trial-progress') return;
    const { done, total, name, detail } = event.progress;
    progress.update(`[${done + 1}/${total}] ${name}`, detail);
  });
  try {
    const created = await services.dispatch('project.create', { path: path.join(dir, 'trial.roundoff') });
    if (!created.ok) throw fromErrorInfo(created.error);
    const result = await services.dispatch('studies.try', { spec });
    if (!result.ok) throw fromErrorInfo(result.error);
    return result.value;
  } finally {
    signal.removeEventListener('abort', cancel);
    progress.clear();
    await services.close();
    await rm(dir, { recursive: true, force: true });
  }
}

export function trialText(trial: StudyTrial): string {
  const rows = trial.rows.flatMap(({ name, runs, openMs, stages }) => [
    [name, `${runs} ${runs === 1 ? 'run' : 'runs'}`, 'open', duration(openMs), '', ''],
    ...stages.map((stage) => [
      ...['', '', stage.title, duration(stage.elapsedMs), bytes(stage.peakMemoryBytes)],
      stage.tokensPerSecond === null ? '' : `${Math.round(stage.tokensPerSecond)} tokens/s`,
    ]),
  ]);
  const bases = trial.rows.flatMap(({ name, stages }) => stages.map(({ title, basis }) => `${name}, ${title}: ${basis}.`));
  return [
    textTable(['like', 'runs', 'stage', 'time each', 'memory', 'rate'], rows, new Set([3, 4, 5])),
    '',
    ...bases,
    '',
    `All runs in turn: ${duration(trial.elapsedMs)}, at most ${bytes(trial.peakMemoryBytes)} of memory (a process here may use ${bytes(trial.usableMemoryBytes)}).`,
    ...trial.problems.map(({ where, message, hint }) => `${where}: ${message} ${hint}`),
  ].join('\n');
}
