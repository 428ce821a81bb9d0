/** Writes completions for code problems: a function's body as a whole program in several styles, right or with a mistake. */
import type { FinishReason, Verdict } from '../../src-preload/contract/worker.ts';
import type { Family, ValueType } from './code-problems.ts';

/**
 * `wrong`: fails on some input. `memorised`: knows the public tests alone. `labelled`: adds words to the result. `silent`: gives no result.
 * `misnamed`: the function has another name. `cut`: the completion ended before its code did.
 */
export type Mistake = ('wrong' | 'memorised' | 'labelled' | 'raises' | 'syntax' | 'silent') | ('misnamed' | 'unfenced' | 'cut' | 'endless');

interface Request {
  family: Family;
  /** Null: the program reads standard input. */
  functionName: string | null;
  k: number;
  mistake: Mistake | null;
  publicTests: readonly { input: string; output: string }[];
  /** Any whole number; chooses how input is read and what stands around the code. */
  style: number;
}

interface Answer {
  completion: string;
  finishReason: FinishReason;
  verdict: Verdict;
  detail: RegExp | null;
}

export function writeProgram(request: Request): { starterCode: string; answer: Answer } {
  const { functionName, mistake, style } = request;
  const code = functionName === null ? stdinProgram(request) : solution(request, functionName);
  const starterCode = functionName === null ? '' : `class Solution:\n    ${signature(request, functionName)}\n        `;
  if (mistake === 'unfenced') return { starterCode, answer: { completion: code, finishReason: 'stop', verdict: 'unparsed', detail: null } };
  if (mistake === 'cut') {
    const completion = `I write it down.\n\`\`\`python\n${code}`;
    return { starterCode, answer: { completion, finishReason: 'length', verdict: 'truncated', detail: null } };
  }
  const verdict = mistake === null ? 'correct' : 'incorrect';
  return { starterCode, answer: { completion: around(code, style), finishReason: 'stop', verdict, detail: detailOf(request) } };
}

const exceptions = [
  { body: 'return [][0]', name: 'IndexError' },
  { body: 'return 1 // 0', name: 'ZeroDivisionError' },
  { body: "return {}['answer']", name: 'KeyError' },
  { body: 'return None + 1', name: 'TypeError' },
  { body: "raise ValueError('no answer')", name: 'ValueError: no answer' },
];

function exceptionOf(style: number): (typeof exceptions)[number] {
  return exceptions[style % exceptions.length]!;
}

function detailOf({ mistake, functionName, style }: Request): RegExp | null {
  if (mistake === null) return null;
  if (mistake === 'memorised') return /^test [3-9] of \d+: .* instead of/;
  if (mistake === 'labelled') return /^test 1 of \d+: .*Answer: .* instead of|^test 1 of \d+: \d+ lines? instead of/;
  if (mistake === 'raises') return new RegExp(`^test 1 of \\d+: ${exceptionOf(style).name}`);
  if (mistake === 'syntax') return /^the program does not load: SyntaxError/;
  if (mistake === 'silent') return functionName === null ? /^test 1 of \d+: (""|1 line) instead of/ : /^test 1 of \d+: "null" instead of/;
  if (mistake === 'misnamed') return functionName === null ? /^test 1 of \d+: NameError/ : /^the program does not load: AttributeError/;
  if (mistake === 'endless') return /^test 1 of \d+: time limit/;
  return /^test \d+ of \d+: /;
}

function bodyOf({ family, k, mistake, style }: Request): string {
  if (mistake === 'raises') return exceptionOf(style).body;
  if (mistake === 'endless') return 'while True:\n    pass';
  return (mistake === 'wrong' ? family.wrong(k) : family.right(k)).trim();
}

function stdinProgram(request: Request): string {
  const { family, mistake, publicTests, style } = request;
  if (mistake === 'memorised') {
    const known = publicTests.map(({ input, output }) => `${JSON.stringify(input)}: ${JSON.stringify(output.trim())}`);
    return `import sys\nknown = {${known.join(', ')}}\nprint(known.get(sys.stdin.read().strip(), '-7'))`;
  }
  const names = Object.keys(family.takes).join(', ');
  const called = mistake === 'misnamed' ? 'solution' : 'solve';
  const label = mistake === 'labelled' ? "'Answer:', " : '';
  const print = mistake === 'silent' ? 'pass' : printed(family.gives, label);
  const main = [...Object.entries(family.takes).map(([name, type]) => readValue(name, type)), `result = ${called}(${names})`, print].join(
    '\n',
  );
  const solve = `def solve(${names}):\n${indented(bodyOf(request))}`;
  const end = mistake === 'syntax' ? '\nprint(' : '';
  const styles = [
    `${solve}\n\n${main}`,
    `import sys\ninput = sys.stdin.readline\n\n${solve}\n\n${main}`,
    `import sys\n\n${solve}\n\ndef main():\n    input = iter(sys.stdin.read().splitlines()).__next__\n${indented(main)}\n\nif __name__ == '__main__':\n    main()`,
    `lines = open(0).read().split('\\n')\ninput = lambda: lines.pop(0)\n\n${solve}\n\n${main}`,
    `import sys, threading\nsys.setrecursionlimit(10 ** 6)\n\n${solve}\n\ndef main():\n${indented(main)}\n\nthread = threading.Thread(target=main)\nthread.start()\nthread.join()`,
  ];
  return styles[style % styles.length]! + end;
}

function readValue(name: string, type: ValueType): string {
  if (type === 'int') return `${name} = int(input())`;
  if (type === 'text') return `${name} = input().strip()`;
  if (type === 'ints') return `input()\n${name} = list(map(int, input().split()))`;
  return `height, width = map(int, input().split())\n${name} = [list(map(int, input().split())) for _ in range(height)]`;
}

function printed(type: ValueType, label: string): string {
  if (type === 'bool') return `print(${label}'YES' if result else 'NO')`;
  if (type === 'ints') return `print(${label}*result)`;
  if (type === 'grid') return `for row in result:\n    print(${label}*row)`;
  return `print(${label}result)`;
}

const hints: Record<ValueType, string> = {
  int: 'int',
  number: 'float',
  ints: 'List[int]',
  grid: 'List[List[int]]',
  text: 'str',
  bool: 'bool',
};

function signature({ family }: Request, name: string): string {
  const takes = Object.entries(family.takes).map(([parameter, type]) => `${parameter}: ${hints[type]}`);
  return `def ${name}(self, ${takes.join(', ')}) -> ${hints[family.gives]}:`;
}

function solution(request: Request, name: string): string {
  const { family, mistake, publicTests, style } = request;
  const names = Object.keys(family.takes);
  const method = (body: string) =>
    `class Solution:\n    ${signature(request, mistake === 'misnamed' ? 'solve' : name)}\n${indented(indented(body))}`;
  const body = bodyOf(request);
  const nested = `def answer(${names.join(', ')}):\n${indented(body)}`;
  if (mistake === 'memorised') {
    const known = publicTests.map(
      ({ input, output }) => `${JSON.stringify(`[${input.split('\n').join(',')}]`)}: ${JSON.stringify(output)}`,
    );
    const key = `json.dumps([${names.join(', ')}], separators=(',', ':'))`;
    return method(`import json\nknown = {${known.join(', ')}}\nreturn json.loads(known.get(${key}, '-7'))`);
  }
  if (mistake === 'labelled') return method(`${nested}\nreturn f'Answer: {answer(${names.join(', ')})}'`);
  if (mistake === 'silent') return method(`${nested}\nprint(answer(${names.join(', ')}))`);
  const imports = style % 2 === 0 ? 'from typing import List\n\n' : '';
  return `${imports}${method(body)}${mistake === 'syntax' ? '\nprint(' : ''}`;
}

/** Also with code that is not the answer before it: a draft, or a first thought. */
function around(code: string, style: number): string {
  const block = `\`\`\`python\n${code}\n\`\`\``;
  if (style % 3 === 0) return `${block}\n`;
  if (style % 3 === 1)
    return `<think>\nPerhaps\n\`\`\`\nprint(0)\n\`\`\`\nNo, better so.\n</think>\n\nThis does it:\n\n${block}\n\nIt looks at each value once.`;
  return `First a sketch:\n\`\`\`\nfor each value …\n\`\`\`\nAnd now the program.\n${block}`;
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '    ');
}
