/** The command tree, and what an error means for the exit code. */
import { Command, CommanderError } from 'commander';
import { type ErrorCode, toErrorInfo } from '#contract/errors.ts';
import { explainGpuError } from '../engine/backends/select.ts';
import { addBench } from './commands/bench.ts';
import { addBenchmark } from './commands/benchmark.ts';
import { addDoctor } from './commands/doctor.ts';
import { addEvaluate } from './commands/evaluate.ts';
import { addExport } from './commands/export.ts';
import { addFindings } from './commands/findings.ts';
import { addGenerate } from './commands/generate.ts';
import { addModel } from './commands/model.ts';
import { addQuantize } from './commands/quantize.ts';
import { addReport } from './commands/report.ts';
import { addRuntime } from './commands/runtime.ts';
import { addSensitivity } from './commands/sensitivity.ts';
import { addStudy } from './commands/study.ts';
import { addTrain } from './commands/train.ts';
import { addVerify } from './commands/verify.ts';
import { type CliContext, createContext } from './context.ts';
import type { Terminal } from './terminal.ts';

const failures = new Set<ErrorCode>([
  'disk-full',
  'network',
  'backend-unavailable',
  'gpu-lost',
  'out-of-memory',
  'numeric',
  'worker-crashed',
  'sandbox-unavailable',
  'cancelled',
  'internal',
]);

const shownProblems = 20;

/** Runs one command line and resolves to its exit code: 0, 1 failed, 2 bad usage or input. */
export async function runCli(args: readonly string[], terminal: Terminal = process): Promise<number> {
  const { signal, release } = interruptSignal();
  const context = createContext(terminal, signal);
  try {
    await buildProgram(context).parseAsync([...args], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    context.progress.clear();
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return reportError(context, await explainGpuError(error), args.includes('--json'));
  } finally {
    release();
  }
}

export function buildProgram(context: CliContext): Command {
  const program = new Command('roundoff')
    .description('Measures how low a reasoning model can be quantized, by which method, and at what cost.')
    .version(context.version)
    .exitOverride()
    .showHelpAfterError('(add --help for the options and examples)')
    .configureOutput({
      writeOut: (text) => void context.terminal.stdout.write(text),
      writeErr: (text) => void context.terminal.stderr.write(text),
    })
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 bad usage or input. Every command takes --json; progress goes to stderr.');
  const add = [
    addDoctor,
    addModel,
    addBenchmark,
    addGenerate,
    addSensitivity,
    addQuantize,
    addTrain,
    addExport,
    addEvaluate,
    addVerify,
    addStudy,
    addFindings,
    addReport,
    addRuntime,
    addBench,
  ];
  for (const addCommand of add) addCommand(program, context);
  return program;
}

function reportError(context: CliContext, error: unknown, json: boolean): number {
  const info = toErrorInfo(error);
  if (json) context.terminal.stdout.write(`${JSON.stringify({ error: info }, null, 2)}\n`);
  context.terminal.stderr.write(`error: ${[info.message, ...problemLines(info.problems ?? [])].join('\n  ')}\n${info.hint}\n`);
  if (info.code === 'internal' && error instanceof Error) context.terminal.stderr.write(`${error.stack}\n`);
  return failures.has(info.code) ? 1 : 2;
}

/** A single problem is the message itself; of very many, the first tell what is wrong. */
function problemLines(problems: readonly string[]): string[] {
  if (problems.length < 2) return [];
  const more = problems.length - shownProblems;
  return [...problems.slice(0, shownProblems), ...(more > 0 ? [`… and ${more} more; --json lists all.`] : [])];
}

function interruptSignal(): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onInterrupt);
    },
  };
}
