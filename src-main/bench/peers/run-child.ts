/** Runs a program with a time limit and reads the lines of JSON that it prints. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ChildRequest, Failure } from './messages.ts';

export interface Answers {
  lines: unknown[];
  /** Null for a good end; else why it ended. */
  failure: string | null;
}

export interface RunOptions {
  limitMs: number;
  environment?: NodeJS.ProcessEnv;
}

/** Our own child process. */
export function runChild(request: ChildRequest, options: RunOptions): Answers {
  return runProgram(process.execPath, [childEntry(), JSON.stringify(request)], options);
}

export function runProgram(program: string, args: string[], { limitMs, environment = process.env }: RunOptions): Answers {
  if (limitMs < 1000) return { lines: [], failure: 'no time was left for it' };
  const result = spawnSync(program, args, {
    ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 28 },
    ...{ timeout: Math.round(limitMs), killSignal: 'SIGKILL', env: environment },
  });
  const lines = (result.stdout ?? '').split('\n').flatMap(parsed);
  return { lines, failure: failureOf(result, limitMs, lines) };
}

/** The last answer, or why there is none. */
export function lastAnswer<T>({ lines, failure }: Answers): T | Failure {
  if (failure !== null) return { reason: failure };
  return (lines.at(-1) ?? { reason: 'it answered nothing' }) as T | Failure;
}

export function isFailure(answer: object): answer is Failure {
  return 'reason' in answer;
}

function parsed(line: string): unknown[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line)];
  } catch {
    // The line a killed process was writing.
    return [];
  }
}

function failureOf(result: ReturnType<typeof spawnSync>, limitMs: number, lines: unknown[]): string | null {
  if (result.status === 0) return null;
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT') return `it took more than ${Math.round(limitMs / 1000)} s`;
  if (result.error) return result.error.message;
  const said = lines.at(-1);
  if (said !== undefined && isFailure(said as object)) return (said as Failure).reason;
  const words = String(result.stderr)
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('Warning:'));
  // Node prints its version after an error and its stack.
  const error = words.findLast((line) => /^[\w.]*(Error|Exception)\b/.test(line)) ?? words.at(-1);
  return `it ended with ${result.signal ?? result.status}: ${error?.trim() ?? 'no message'}`;
}

/** The source beside this file, or what the build for other machines made of it. */
function childEntry(): string {
  const paths = ['./child.ts', './bench-child.js', '../bench-child.js'].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? paths[0]!;
}
