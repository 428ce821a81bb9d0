/**
 * `verify`: one `{gold, completion}` (programs: `{tests, completion}`) per line in, verdict and extracted answer per line out, in the order of the file and however long it is.
 * A row that cannot be judged gets a line of its own and is named on stderr; the others are judged all the same.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Command } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { standardVerifiers } from '#contract/prompt-templates.ts';
import type { FinishReason } from '#contract/worker.ts';
import { streamLines } from '../../engine/data/jsonl.ts';
import { parseCodeTests } from '../../engine/verifiers/code/code-tests.ts';
import { getVerifier, type Verifier, type VerifyInput, type VerifyResult, verifierNames } from '../../engine/verifiers/index.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, userPath } from '../options.ts';

/** Rows judged side by side; more would only wait in memory. */
const inFlight = 8;

interface BadRow {
  /** 1-based line in the file. */
  line: number;
  error: string;
}

export function addVerify(program: Command, context: CliContext): void {
  const command = program
    .command('verify <file>')
    .description('check answers: {"gold": …, "completion": …} per line in (code: "tests" instead of "gold"); one JSON object per line out')
    .option('--verifier <name>', `which verifier decides: ${[...Object.keys(standardVerifiers), ...verifierNames].join(', ')}`, 'maths')
    .addOption(jsonOption());
  examples(command, [
    'verify answers.jsonl',
    'verify letters.jsonl --verifier choice > verdicts.jsonl',
    'verify programs.jsonl --verifier code',
  ]).action(async (file: string, { verifier: name }: { verifier: string }) => {
    const verifier = getVerifier(Object.hasOwn(standardVerifiers, name) ? standardVerifiers[name as keyof typeof standardVerifiers] : name);
    const source = userPath(file, context.resourcesDir);
    const judge = (row: { line: number; text: string }) => judgeRow(row, verifier, context.signal);
    let bad = 0;
    try {
      for await (const judged of inOrder(rowsOf(source, context.signal), judge)) {
        await writeLine(context.terminal.stdout, JSON.stringify(judged));
        if (!('error' in judged)) continue;
        bad += 1;
        context.progress.note(`error: ${source}, line ${judged.line}: ${judged.error}`);
      }
    } finally {
      await verifier.dispose?.();
    }
    if (bad === 0) return;
    context.progress.note(`${bad} ${bad === 1 ? 'row was' : 'rows were'} not judged. ${judgesPrograms(verifier) ? programHint : rowHint}`);
    context.exitCode = 2;
  });
}

const rowHint = 'Write one object like {"gold": "5/6", "completion": "… \\\\boxed{5/6}"} per line.';
const programHint =
  'Write one object like {"tests": {"kind": "stdin", "cases": [{"input": "2", "expected": "4"}]}, "completion": "…"} per line.';

const judgesPrograms = ({ name }: Verifier) => name === standardVerifiers.code;

async function* rowsOf(source: string, signal: AbortSignal): AsyncGenerator<{ line: number; text: string }> {
  for await (const row of streamLines(source, { signal })) if (row.text.trim() !== '') yield row;
}

/** Rejects only for what is no fault of the row: cancellation, a verifier that does not work. */
async function judgeRow(row: { line: number; text: string }, verifier: Verifier, signal: AbortSignal): Promise<VerifyResult | BadRow> {
  const input = parseRow(row.text, judgesPrograms(verifier));
  if (typeof input === 'string') return { line: row.line, error: input };
  try {
    return await verifier.verify(input, { signal });
  } catch (error) {
    if (error instanceof RoundoffError && error.code === 'bad-input') return { line: row.line, error: error.message };
    throw error;
  }
}

/** What the row asks to be judged, or what is wrong with it. */
function parseRow(text: string, isProgram: boolean): VerifyInput | string {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    return `not valid JSON (${(error as Error).message}).`;
  }
  if (row === null || typeof row !== 'object' || Array.isArray(row)) return 'the row is not an object.';
  const { gold, completion, finishReason = 'stop', tolerance, tests } = row as Record<string, unknown>;
  if (typeof completion !== 'string' || (!isProgram && typeof gold !== 'string'))
    return isProgram ? '"completion" must be a text.' : '"gold" and "completion" must be texts.';
  if (finishReason !== 'stop' && finishReason !== 'length') return '"finishReason" must be stop or length.';
  const answer = { gold: typeof gold === 'string' ? gold : '', completion, finishReason: finishReason as FinishReason };
  if (isProgram) return withTests(answer, tests);
  if (tolerance === undefined) return answer;
  if (typeof tolerance !== 'number' || !(tolerance >= 0)) return '"tolerance" must be a number, 0 or more.';
  return { ...answer, tolerance };
}

/** Only tests decide about a program; a gold answer is not looked at. */
function withTests(answer: VerifyInput, value: unknown): VerifyInput | string {
  if (value === undefined) return '"tests" are missing.';
  try {
    const tests = parseCodeTests(value, '"tests"');
    return { ...answer, readTests: () => tests };
  } catch (error) {
    if (error instanceof RoundoffError) return `${error.message} ${error.hint}`;
    throw error;
  }
}

/** Results in the order of the items, several made side by side. An item is taken only when there is room for it. */
async function* inOrder<T, R>(items: AsyncIterable<T>, make: (item: T) => Promise<R>): AsyncGenerator<R> {
  const pending: Promise<R>[] = [];
  try {
    for await (const item of items) {
      pending.push(make(item));
      if (pending.length >= inFlight) yield await pending.shift()!;
    }
    while (pending.length > 0) yield await pending.shift()!;
  } finally {
    await Promise.allSettled(pending);
  }
}

/** Waits where the reader is slower. */
async function writeLine(stream: Writable, line: string): Promise<void> {
  if (!stream.write(`${line}\n`)) await once(stream, 'drain');
}
