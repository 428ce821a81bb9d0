// Measures a sample model (--name abacus|abacus-small) on the benchmarks and writes the numbers into its model card, README.md.
// With --model DIR or --problems N (the first N of each benchmark) it only prints.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { SampleResult } from '#contract/worker.ts';
import { selectBackend } from '../src-main/engine/backends/select.ts';
import { evaluateModel } from '../src-main/engine/benchmarks/index.ts';
import { writeWholeFile } from '../src-main/engine/formats/atomic-file.ts';
import { loadModel } from '../src-main/engine/model/load.ts';
import { loadTokenizer } from '../src-main/engine/model/tokenizer.ts';
import { type SampleModelName, tasks } from '../src-main/engine/sample/index.ts';
import { type MeasuredBenchmark, modelCard } from '../src-main/engine/sample/model-card.ts';
import { accuracyInterval } from '../src-main/engine/statistics/index.ts';

const sampleDir = resolve(import.meta.dirname, '../resources/sample');
const { values } = parseArgs({
  options: { name: { type: 'string', default: 'abacus' }, model: { type: 'string' }, problems: { type: 'string' } },
});
const modelDir = resolve(values.model ?? join(sampleDir, values.name));
const protocol: EvaluationProtocol = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  maxNewTokens: 192,
  seeds: [42, 43, 44],
  systemPrompt: null,
  promptTemplate: '{question}',
  verifier: 'maths-1',
  problemsPerBenchmark: values.problems ? Number(values.problems) : null,
};

await selectBackend('wasm');
const model = await loadModel(modelDir);
const tokenizer = await loadTokenizer(modelDir);
const samples: SampleResult[] = [];
const summary = await evaluateModel(
  {
    model,
    tokenizer,
    protocol,
    benchmarks: tasks.map(({ name }) => ({ name, path: join(sampleDir, 'benchmarks', `${name}.jsonl`) })),
  },
  { onSample: (sample) => samples.push(sample) },
);
const measured = tasks.map(({ name, title }) => measure(name, title));
for (const { name, accuracy, meanTokens } of measured)
  console.log(
    `${name}  ${accuracy.value.toFixed(3)} [${accuracy.low.toFixed(3)}, ${accuracy.high.toFixed(3)}]  ${meanTokens.toFixed(1)} tokens`,
  );
console.log(`${samples.length} completions at ${summary.tokensPerSecond.toFixed(0)} tokens/s`);
if (!values.model && !values.problems) await writeCard();
model.dispose();

async function writeCard(): Promise<void> {
  const path = join(modelDir, 'README.md');
  const card = modelCard(values.name as SampleModelName, measured, protocol);
  if (card !== (await readFile(path, 'utf8').catch(() => ''))) await writeWholeFile(path, card);
  console.log(`model card: ${path}`);
}

function measure(name: string, title: string): MeasuredBenchmark {
  const mine = samples.filter((sample) => sample.benchmark === name);
  const byProblem = Map.groupBy(mine, (sample) => sample.problemId);
  const scores = [...byProblem.values()].map((answers) => ({
    samples: answers.length,
    correct: answers.filter((answer) => answer.verdict === 'correct').length,
  }));
  const meanTokens = mine.reduce((sum, sample) => sum + sample.completionTokens, 0) / mine.length;
  return { name, title, problems: scores.length, accuracy: accuracyInterval(scores), meanTokens };
}
