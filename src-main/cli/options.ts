/** Options that several commands share, and readers that refuse what is not meant. */

import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import type { BackendPreference } from '#contract/worker.ts';
import { resolvePath } from '../runs/resources.ts';

export function jsonOption(): Option {
  return new Option('--json', 'print the result as JSON');
}

export const backendChoices: readonly BackendPreference[] = ['auto', 'wasm', 'webgpu', 'tensorflow'];

export function backendOption(): Option {
  return new Option('--backend <name>', 'where to compute').choices(backendChoices).default('auto');
}

export interface BackendOptions {
  backend: BackendPreference;
}

/** How completions are drawn, for the commands that draw them. */
export interface CompletionOptions extends BackendOptions {
  system?: string;
  temperature: number;
  topP: number;
  topK: number;
  maxNewTokens: number;
}

export function addCompletionOptions(command: Command): Command {
  return command
    .option('--system <text>', 'system prompt')
    .option('--temperature <t>', 'sampling temperature, 0 is greedy', decimal, 0.6)
    .option('--top-p <p>', 'nucleus sampling', decimal, 0.95)
    .option('--top-k <k>', 'top-k sampling, 0 is no limit', wholeNumber, 0)
    .option('--max-new-tokens <n>', 'token limit of a completion', positiveWholeNumber, 256)
    .addOption(backendOption());
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError('Give a whole number.');
  return value;
}

export function positiveWholeNumber(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('Give a whole number above 0.');
  return value;
}

export function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Give a number.');
  return value;
}

/** Gathers the values of an option that may be given several times. */
export function collect(text: string, earlier: string[] = []): string[] {
  return [...earlier, text];
}

/** Absolute path of what a user typed: `sample:` paths, or relative to the working folder. */
export function userPath(text: string, resourcesDir: string): string {
  return text.startsWith('sample:') ? resolvePath(text, resourcesDir) : path.resolve(text);
}

export function examples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ npm run -s roundoff -- ${line}`).join('\n')}`);
}

/** The only value of a list, or `bad-input`. */
export function required<T>(value: T | null | undefined, message: string, hint: string): T {
  if (value === null || value === undefined) throw new RoundoffError('bad-input', message, hint);
  return value;
}
