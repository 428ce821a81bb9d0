/**
 * The data files of the bundled sample: benchmarks from the test split, calibration text from the calibration split, training problems from the
 * train split, general text. Equal byte for byte wherever they are made.
 */
import { RandomStream } from '../data/random-stream.ts';
import { drawGeneralText } from './general-text.ts';
import { completionOf, drawDistinctProblems, tasks } from './problems.ts';
import { abacusPhases } from './recipe.ts';

const seed = 2026;
const problemsPerBenchmark = 300;
const calibrationRowsPerTask = 120;
const generalRows = 600;
const trainingRows = 6000;
const generalTrainingRows = 2000;

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
  files.set('calibration/general.jsonl', jsonLines(generalTextRows(generalRows, 'general-text')));
  files.set('training/abacus.jsonl', jsonLines(trainingRowsOfAbacus()));
  files.set('training/general.jsonl', jsonLines(generalTextRows(generalTrainingRows, 'general-training-text')));
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

/**
 * Worked problems of all tasks, mixed as in the last phase of Abacus's own training. A row is an example to learn the solution of, and a problem
 * with its answer.
 */
function trainingRowsOfAbacus(): object[] {
  const { mix } = abacusPhases.at(-1)!;
  const shares = mix.reduce((sum, { share }) => sum + share, 0);
  const stream = new RandomStream(seed, 'training');
  const problems = mix.flatMap(({ task, share }) =>
    drawDistinctProblems(task, 'train', Math.round((trainingRows * share) / shares), stream.fork(task.name)),
  );
  return stream
    .fork('order')
    .shuffle(problems)
    .map((problem) => ({ problem: problem.question, answer: problem.answer, solution: completionOf(problem) }));
}

function generalTextRows(count: number, name: string): object[] {
  const stream = new RandomStream(seed, name);
  return Array.from({ length: count }, () => ({ text: drawGeneralText(stream.integer(3, 6), stream) }));
}

function jsonLines(rows: object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
