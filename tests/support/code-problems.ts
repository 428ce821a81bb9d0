/**
 * Draws programming problems in LiveCodeBench's layout, each with one completion whose verdict is known: right by a second solution written
 * in Python, or wrong in one of several ways. Expected outputs come from the families' own solutions.
 */
import { deflateSync } from 'node:zlib';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import type { FinishReason, Verdict } from '../../src-preload/contract/worker.ts';
import { numberFamilies } from './code-families-numbers.ts';
import { structureFamilies } from './code-families-structures.ts';
import { type Mistake, writeProgram } from './code-programs.ts';

export type Kind = 'stdin' | 'functional';
export type ValueType = 'int' | 'number' | 'ints' | 'grid' | 'text' | 'bool';
export type Value = number | bigint | string | boolean | number[] | number[][];

/** `k`, 3 … 6, is part of the problem: it makes several of one family. */
export interface Family {
  name: string;
  text: (k: number) => string;
  takes: Record<string, ValueType>;
  gives: ValueType;
  draw: (random: Draws, k: number) => Value[];
  /** Inputs on which `wrong` fails. */
  edges: (k: number) => Value[][];
  solve: (k: number, ...values: never[]) => Value;
  /** Python, as the body of a function with the names of `takes`. */
  right: (k: number) => string;
  wrong: (k: number) => string;
}

export interface LabelledProblem {
  family: string;
  kind: Kind;
  mistake: Mistake | null;
  /** As in the published files. */
  row: Record<string, string>;
  completion: string;
  finishReason: FinishReason;
  verdict: Verdict;
  /** What the verdict's detail says. */
  detail: RegExp | null;
}

export class Draws extends RandomStream {
  ints(count: number, low: number, high: number): number[] {
    return Array.from({ length: count }, () => this.integer(low, high));
  }

  word(length: number, letters: string): string {
    return this.ints(length, 0, letters.length - 1)
      .map((index) => letters[index])
      .join('');
  }
}

export const families: readonly Family[] = [...numberFamilies, ...structureFamilies];

/** More `wrong` than others, as these are what tests are for; a prime number of them, so that every family meets most. */
const mistakes: readonly Mistake[] = [
  ...(['wrong', 'memorised', 'wrong', 'labelled', 'wrong', 'raises', 'wrong', 'syntax'] as const),
  ...(['wrong', 'silent', 'unfenced', 'wrong', 'misnamed'] as const),
];

/** Half of them with a right answer; `endless` of the others run into the time limit. */
export function drawCodeProblems(count: number, { seed, endless }: { seed: number; endless: number }): LabelledProblem[] {
  let bad = 0;
  return Array.from({ length: count }, (_, index) => {
    const at = index % families.length;
    const round = Math.floor(index / families.length);
    if ((at + round) % 2 === 0) return drawProblem(families[at]!, null, index, seed);
    const usual = mistakes[bad % mistakes.length]!;
    const cut = usual === 'unfenced' && Math.floor(bad / mistakes.length) % 2 === 1;
    const mistake = bad < endless ? 'endless' : cut ? 'cut' : usual;
    bad += 1;
    return drawProblem(families[at]!, mistake, index, seed);
  });
}

function drawProblem(family: Family, mistake: Mistake | null, index: number, seed: number): LabelledProblem {
  const random = new Draws(seed, 'code-problems', String(index));
  const kind: Kind = random.integer(0, 1) === 0 ? 'stdin' : 'functional';
  const k = random.integer(3, 6);
  const test = (values: Value[]) => ({
    input:
      kind === 'stdin'
        ? Object.values(family.takes)
            .map((type, at) => stdinText(type, values[at]!))
            .join('\n')
        : values.map(json).join('\n'),
    output:
      kind === 'stdin'
        ? `${outputText(family.gives, family.solve(k, ...(values as never[])))}\n`
        : json(family.solve(k, ...(values as never[]))),
    testtype: kind,
  });
  const drawn = Array.from({ length: 6 }, () => test(family.draw(random, k)));
  const publicTests = drawn.slice(0, 2);
  const privateTests = JSON.stringify([...drawn.slice(2), ...family.edges(k).map(test)]);
  const functionName = kind === 'functional' ? family.name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) : null;
  const program = writeProgram({ family, functionName, k, mistake, publicTests, style: index });
  return {
    family: family.name,
    kind,
    mistake,
    row: {
      question_title: family.name,
      question_content: family.text(k),
      platform: kind === 'stdin' ? 'atcoder' : 'leetcode',
      question_id: `${family.name}_${index}`,
      starter_code: program.starterCode,
      difficulty: 'easy',
      public_test_cases: JSON.stringify(publicTests),
      private_test_cases: index % 3 === 0 ? privateTests : deflateSync(pickled(privateTests)).toString('base64'),
      metadata: JSON.stringify(functionName === null ? {} : { func_name: functionName }),
    },
    ...program.answer,
  };
}

/** What CPython's `pickle.dumps` makes of a text, protocol 4. */
function pickled(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const head = Buffer.from([0x58, 0, 0, 0, 0]);
  head.writeUInt32LE(bytes.length, 1);
  const body = Buffer.concat([head, bytes, Buffer.from([0x94, 0x2e])]);
  const frame = Buffer.from([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0]);
  frame.writeBigUInt64LE(BigInt(body.length), 3);
  return Buffer.concat([frame, body]);
}

function json(value: Value): string {
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
}

function stdinText(type: ValueType, value: Value): string {
  if (type === 'ints') return `${(value as number[]).length}\n${(value as number[]).join(' ')}`;
  if (type !== 'grid') return String(value);
  const rows = value as number[][];
  return [`${rows.length} ${rows[0]!.length}`, ...rows.map((row) => row.join(' '))].join('\n');
}

function outputText(type: ValueType, value: Value): string {
  if (type === 'bool') return value ? 'YES' : 'NO';
  if (type === 'ints') return (value as number[]).join(' ');
  if (type === 'grid') return (value as number[][]).map((row) => row.join(' ')).join('\n');
  return String(value);
}
