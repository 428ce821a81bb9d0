/** Runs a study through the same services as the workbench, or continues it where an earlier execution stopped. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { makeChoices, openChoices } from '#contract/choices.ts';
import type { CommandName, CommandOutput } from '#contract/commands.ts';
import type { StudyComparison } from '#contract/comparison.ts';
import { fromErrorInfo, RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { parseStudySpec, type StudySpec, stageTitle } from '#contract/recipe.ts';
import type { HostEvent, RunRecord } from '#contract/records.ts';
import type { BackendPreference } from '#contract/worker.ts';
import { readJsonObject } from '../engine/data/json-file.ts';
import { findPreset } from '../ipc/presets.ts';
import { createServices, type Services } from '../ipc/services.ts';
import { duration } from '../reports/format.ts';
import { anchorPaths } from '../runs/resources.ts';
import type { CliContext } from './context.ts';
import { accuracySoFar } from './evaluation-progress.ts';
import { backendChoices, collect, positiveWholeNumber, userPath } from './options.ts';

/** A study file, or the preset of this name. Throws `recipe-invalid` or `not-found`. */
export async function findSpec(name: string, resourcesDir: string): Promise<StudySpec> {
  const file = path.resolve(name);
  if (!existsSync(file)) return (await findPreset(resourcesDir, name)).spec;
  const json = await readJsonObject(file, { code: 'recipe-invalid', hint: 'Correct the file, or start from a preset.' });
  return anchorPaths(parseStudySpec(json, file), path.dirname(file));
}

export interface StudyOptions {
  /** Instead of the study's. */
  model?: readonly string[];
  /** As `NAME=PATH`, of benchmarks also `NAME=FOLDER#SPLIT`. */
  choose?: readonly string[];
  /** Names of benchmarks that are left out. */
  leaveOut?: readonly string[];
  /** First problems of each benchmark, where the study has more. */
  problems?: number;
  /** Instead of the study's. */
  backend?: BackendPreference;
}

/** What a command that takes a study lets the user say about it. */
export function addStudyOptions(command: Command): Command {
  return command
    .option('--model <folder>', 'instead of the study’s models; may be given several times', collect)
    .option('--choose <name=path>', 'what the study leaves to you, as its error lists it (a folder’s split: FOLDER#SPLIT)', collect)
    .option('--leave-out <benchmark>', 'without this benchmark; may be given several times', collect)
    .option('--problems <n>', 'only the first N problems of each benchmark', positiveWholeNumber)
    .addOption(new Option('--backend <name>', 'where to compute, instead of the study’s choice').choices(backendChoices));
}

/** The study with the user's options and with what it leaves to choose. Throws `bad-input` for a name it does not ask for, and for those left open. */
export function chosenSpec(whole: StudySpec, options: StudyOptions, resourcesDir: string): StudySpec {
  const { model: models = [], choose: choices = [], leaveOut = [] } = options;
  const spec = narrowed(withoutBenchmarks(whole, leaveOut), options);
  const withModels = models.length > 0 ? { ...spec, models: models.map((model) => userPath(model, resourcesDir)) } : spec;
  const asked = openChoices(withModels);
  const chosen = new Map(choices.map((text) => parseChoice(text, resourcesDir)));
  const unknown = [...chosen.keys()].find((name) => !asked.includes(name));
  if (unknown !== undefined)
    throw new RoundoffError(
      'bad-input',
      `The study leaves no "${unknown}" to choose.`,
      asked.length > 0 ? `It asks for: ${asked.join(', ')}.` : 'Leave --choose out.',
    );
  const made = withSplits(makeChoices(withModels, chosen), withModels);
  const open = openChoices(made);
  if (open.length === 0) return made;
  const problems = open.map((name) => `"${name}" is still to be chosen.`);
  throw new RoundoffError(
    'bad-input',
    problems[0]!,
    'Give a model with --model FOLDER, and every other with --choose "NAME=PATH"; or open the preset in the workbench.',
    { problems },
  );
}

/** On another backend, over fewer problems. */
function narrowed(spec: StudySpec, { backend = spec.backend, problems }: StudyOptions): StudySpec {
  if (problems === undefined) return { ...spec, backend };
  const problemsPerBenchmark = Math.min(problems, spec.protocol.problemsPerBenchmark ?? problems);
  return { ...spec, backend, protocol: { ...spec.protocol, problemsPerBenchmark } };
}

function withoutBenchmarks(spec: StudySpec, names: readonly string[]): StudySpec {
  const unknown = names.find((name) => !spec.benchmarks.some((benchmark) => benchmark.name === name));
  const known = spec.benchmarks.map(({ name }) => name).join(', ');
  if (unknown !== undefined) throw new RoundoffError('bad-input', `The study has no benchmark "${unknown}".`, `It has: ${known}.`);
  const benchmarks = spec.benchmarks.filter(({ name }) => !names.includes(name));
  if (benchmarks.length > 0) return { ...spec, benchmarks };
  throw new RoundoffError('bad-input', 'Every benchmark of the study is left out.', `Keep one of: ${known}.`);
}

/** `FOLDER#SPLIT` of benchmarks that were chosen. */
function withSplits(made: StudySpec, before: StudySpec): StudySpec {
  const benchmarks = made.benchmarks.map((benchmark, index) => {
    const at = benchmark.path.lastIndexOf('#');
    if (at < 0 || benchmark.path === before.benchmarks[index]!.path) return benchmark;
    return { ...benchmark, path: benchmark.path.slice(0, at), split: benchmark.path.slice(at + 1) };
  });
  return { ...made, benchmarks };
}

function parseChoice(text: string, resourcesDir: string): [name: string, path: string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new RoundoffError('bad-input', `"${text}" chooses nothing.`, 'Write --choose NAME=PATH.');
  return [text.slice(0, at), userPath(text.slice(at + 1), resourcesDir)];
}

/** Resolves when every run has ended. Ctrl-C stops at a checkpoint and throws `cancelled`. */
export async function runStudy(context: CliContext, spec: StudySpec, projectFile: string): Promise<StudyComparison> {
  const { version, resourcesDir, workerEntry, signal } = context;
  const services = createServices({ host: 'cli', version, resourcesDir, workerEntry });
  const command = commandsOf(services);
  try {
    await command(existsSync(projectFile) ? 'project.open' : 'project.create', { path: projectFile });
    const studyId = await startOrContinue(context, command, spec);
    await followRuns(context, services, command, studyId);
    if (signal.aborted) throw interrupted(projectFile);
    return await command('studies.show', { studyId });
  } finally {
    context.progress.clear();
    await services.close();
  }
}

type RunCommand = <K extends CommandName>(name: K, input: unknown) => Promise<CommandOutput<K>>;

function commandsOf(services: Services): RunCommand {
  return async (name, input) => {
    const result = await services.dispatch(name, input);
    if (!result.ok) throw fromErrorInfo(result.error);
    return result.value;
  };
}

async function startOrContinue(context: CliContext, command: RunCommand, spec: StudySpec): Promise<number> {
  const wanted = canonicalJson(spec);
  const known = (await command('studies.list', {})).find((study) => canonicalJson(study.spec) === wanted);
  if (!known) return (await command('studies.create', { spec })).id;
  const unfinished = (await command('runs.list', { studyId: known.id })).filter((run) => run.status !== 'finished');
  context.progress.note(
    unfinished.length === 0
      ? `"${known.name}" is already complete in this project.`
      : `Continuing "${known.name}": ${known.finishedCount} of ${known.runCount} runs are finished.`,
  );
  for (const run of unfinished) await command('runs.resume', { runId: run.id });
  return known.id;
}

/** Shows progress until no run is queued or running, or the user interrupts. */
async function followRuns(context: CliContext, services: Services, command: RunCommand, studyId: number): Promise<void> {
  const runs = new Map((await command('runs.list', { studyId })).map((run) => [run.id, run]));
  const position = new Map([...runs.keys()].map((id, index) => [id, index + 1]));
  await new Promise<void>((resolve) => {
    const settle = () => {
      if (context.signal.aborted) context.progress.note('Stopping at the next checkpoint; press Ctrl-C again to stop at once.');
      if (!context.signal.aborted && services.activeRuns() > 0) return;
      unsubscribe();
      context.signal.removeEventListener('abort', settle);
      resolve();
    };
    const unsubscribe = services.onEvent((event) => {
      showEvent(context, event, runs, position);
      if (event.type === 'run-changed') settle();
    });
    context.signal.addEventListener('abort', settle);
    settle();
  });
}

function showEvent({ progress }: CliContext, event: HostEvent, runs: Map<string, RunRecord>, position: Map<string, number>): void {
  if (event.type === 'run-changed') {
    runs.set(event.run.id, event.run);
    const { status, name, error } = event.run;
    if (status === 'failed' || status === 'interrupted')
      progress.note(`${name}: ${status}${error ? `. ${error.message} ${error.hint}` : ''}`);
    for (const line of error?.problems ?? []) progress.note(`  ${line}`);
  }
  if (event.type !== 'run-events') return;
  const run = runs.get(event.runId);
  if (!run) return;
  const title = `[${position.get(run.id)}/${runs.size}] ${run.name}`;
  for (const item of event.events) {
    if (item.type === 'log' && item.level !== 'info') progress.note(`${run.name}: ${item.message}`);
    if (item.type === 'stage-started') progress.update(`${title}: ${item.title}`);
    if (item.type !== 'progress') continue;
    const rate = item.ratePerSecond === null ? '' : `, ${item.ratePerSecond.toFixed(1)} ${item.unit}/s`;
    const left = item.remainingMs === null ? '' : `, ${duration(item.remainingMs)} left`;
    const stage = run.recipe.stages[item.stage];
    const phase = stage ? `${title}: ${stageTitle(stage)}` : title;
    const details = [`${item.done} of ${item.total} ${item.unit}${rate}${left}`, item.detail, accuracySoFar(item.benchmarks ?? [])];
    progress.update(phase, details.filter(Boolean).join('  '));
  }
}

function interrupted(projectFile: string): RoundoffError {
  return new RoundoffError(
    'cancelled',
    `The study was interrupted; what was recorded is in ${projectFile}.`,
    'Run the same command again to continue.',
  );
}
