/**
 * The data files of the bundled sample: benchmarks from the test split, calibration text from the calibration split, general text.
 * Equal byte for byte wherever they are made.
 */
import { RandomStream } from '../data/random-stream.ts';
import { drawGeneralText } from './general-text.ts';
import { completionOf, drawDistinctProblems, tasks } from './problems.ts';

const seed = 2026;
const problemsPerBenchmark = 300;
const calibrationRowsPerTask = 120;
const generalRows = 600;

/** File contents by path below `resources/sample`. */
export function sampleDataFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const task of tasks) {
    const problems = drawDistinctProblems(task, 'test', problemsPerBenchmark, new RandomStream(seed, 'benchmark', task.name));
    const short = task.name.replace('abacus-', '');
    const rows = problems.map(({ question, answer }, index) => ({ id: `${short}-${index + 1}`, problem: question, answer }));
    files.set(`benchmarks/${task.name}.jsonl`, jsonLines(rows));
  }
  files.set('calibration/abacus.jsonl', jsonLines(calibrationRows()));
  files.set('calibration/general.jsonl', jsonLines(generalTextRows()));
  return files;
}

/** Worked problems of all tasks in turn. */
function calibrationRows(): object[] {
  const byTask = tasks.map((task) =>
    drawDistinctProblems(task, 'calibration', calibrationRowsPerTask, new RandomStream(seed, 'calibration', task.name)),
  );
  return Array.from({ length: calibrationRowsPerTask }, (_, index) =>
    byTask.map((problems) => ({ prompt: problems[index]!.question, completion: completionOf(problems[index]!) })),
  ).flat();
}

function generalTextRows(): object[] {
  const stream = new RandomStream(seed, 'general-text');
  return Array.from({ length: generalRows }, () => ({ text: drawGeneralText(stream.integer(3, 6), stream) }));
}

function jsonLines(rows: object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
