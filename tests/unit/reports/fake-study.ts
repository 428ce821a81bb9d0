/**
 * A study as the project file would hold it, with simulated answers: nine runs of one small model on five benchmarks, 100
 * problems, three seeds. What the tests check is computed from these samples by the code under test.
 */

import { RandomStream } from '../../../src-main/engine/data/random-stream.ts';
import type { CompactSample, ComparisonInput, ComparisonRun } from '../../../src-main/reports/index.ts';
import { type QuantizationMethod, quantizeStageSchema, variantTitle } from '../../../src-preload/contract/recipe.ts';
import type { SampleRow } from '../../../src-preload/contract/records.ts';
import { bitsPerWeight, parseScheme } from '../../../src-preload/contract/scheme.ts';
import type { Verdict } from '../../../src-preload/contract/worker.ts';

export const seeds = [42, 43, 44];
export const benchmarkNames = ['abacus-sums', 'abacus-divisors', 'abacus-products', 'abacus-binary', 'abacus-chains'];

/** `ability`: the share of the baseline's that the run keeps. */
type Variant = [name: string, method: QuantizationMethod, scheme: string, ability: number, sizeBytes: number, bits: number];
const firstVariants: Variant[] = [
  ['RTN W4G128', 'rtn', 'W4G128', 0.995, 618_432, 4.16],
  ['GPTQ W4G128', 'gptq', 'W4G128', 1, 618_432, 4.16],
  ['RTN W3G128', 'rtn', 'W3G128', 0.94, 507_120, 3.15],
  ['GPTQ W3G128', 'gptq', 'W3G128', 0.99, 507_120, 3.15],
  ['RTN W2G128', 'rtn', 'W2G128', 0.02, 396_800, 2.14],
  ['GPTQ W2G128', 'gptq', 'W2G128', 0.88, 396_800, 2.14],
  ['RTN W2G32', 'rtn', 'W2G32', 0.11, 443_520, 2.56],
  ['GPTQ W2G32', 'gptq', 'W2G32', 0.96, 443_520, 2.56],
];
/** Every method over the schemes it is used with, as a broad sweep has them. */
export const sweepVariants: Variant[] = [
  ...sweep('rtn', ['W8', 'W4', 'W4G128', 'W4G32', 'W3', 'W3G128', 'W3G32', 'W2G128', 'W2G32', 'W4A8KV8', 'W4A4KV4'], [0.02, 1]),
  ...sweep('gptq', ['W8', 'W4', 'W4G128', 'W4G32', 'W3', 'W3G128', 'W3G32', 'W2G128', 'W2G32', 'W4A8KV8', 'W4A4KV4'], [0.7, 1]),
  ...sweep('awq', ['W8', 'W4', 'W4G128', 'W4G32', 'W3', 'W3G128', 'W3G32', 'W2G128', 'W2G32'], [0.4, 1]),
  ...sweep('nf4', ['NF4', 'NF4:double'], [0.99, 1]),
  ...sweep('int8', ['INT8'], [1, 1]),
  ...sweep('quarot', ['W8A8KV8', 'W4A8KV8', 'W4A4KV4', 'W3A4KV4', 'W4', 'W3'], [0.8, 1]),
  ...sweep('flatquant', ['W8A8KV8', 'W4A8KV8', 'W4A4KV4', 'W3A4KV4', 'W4', 'W3'], [0.9, 1]),
];

/** Ability falls with the bits from the second of `range` to the first. */
function sweep(method: QuantizationMethod, schemes: string[], [low, high]: [number, number]): Variant[] {
  return schemes.map((text) => {
    const scheme = parseScheme(text);
    const bits = bitsPerWeight(scheme, 128);
    const width = Math.min(bits, scheme.activationBits ?? 16, (scheme.kvBits ?? 16) + 0.5);
    const ability = low + (high - low) * Math.min(1, Math.max(0, (width - 2) / 1.8)) ** 0.5;
    const sizeBytes = Math.round(214_000 + (786_432 * bits) / 8) + (method === 'quarot' ? 24_000 : method === 'flatquant' ? 31_000 : 0);
    return [variantTitle(method, scheme), method, text, ability, sizeBytes, bits];
  });
}

const difficulty = [0.985, 0.86, 0.74, 0.66, 0.48];
const calibration = { path: 'sample:calibration/maths.jsonl', samples: 128, sequenceLength: 256, seed: 42 };

const calibrated: QuantizationMethod[] = ['gptq', 'awq', 'quarot', 'flatquant'];

const hash = (digit: string) => digit.repeat(64);

export interface FakeStudyOptions {
  problems?: number;
  /** Runs that have no samples yet, by name. */
  pending?: string[];
  /** Prefix for every name, to try hostile text. */
  prefix?: string;
  /** `sweepVariants` instead of RTN and GPTQ at four schemes. */
  wide?: boolean;
}

export function fakeStudy({ problems = 100, pending = [], prefix = '', wide = false }: FakeStudyOptions = {}): ComparisonInput {
  const variants = wide ? sweepVariants : firstVariants;
  const names = ['baseline', ...variants.map(([name]) => name)];
  const abilities = [1, ...variants.map(([, , , ability]) => ability)];
  const samples = names.flatMap((name, run) => (pending.includes(name) ? [] : runSamples(`run-${run}`, abilities[run]!, problems, prefix)));
  const runs = names.map((name, index) => fakeRun(name, index, { variant: variants[index - 1], pending: pending.includes(name), prefix }));
  return {
    study: {
      id: 1,
      name: `${prefix}First study`,
      description: 'How few bits does Abacus need before its reasoning breaks?',
      protocol: {
        temperature: 0.6,
        topP: 0.95,
        topK: 0,
        maxNewTokens: 200,
        seeds,
        systemPrompt: null,
        promptTemplate: '{question}',
        verifier: 'maths-1',
        problemsPerBenchmark: problems,
      },
      protocolHash: hash('a'),
      createdAt: Date.UTC(2026, 0, 15, 9, 30),
    },
    benchmarks: benchmarkNames.map((name) => ({
      name: prefix + name,
      path: `sample:benchmarks/${name}.jsonl`,
      sha256: hash('b'),
      problems,
    })),
    models: [{ id: 1, name: `${prefix}Abacus`, path: 'sample:abacus', hash: hash('c'), parameters: 803_456, sizeBytes: 1_606_912 }],
    runs,
    samples,
    environment: { Roundoff: '0.1.0', Node: '26.10.0', platform: 'linux x64', processor: 'Example CPU, 2 cores', memory: '8.2 GB' },
  };
}

function fakeRun(
  name: string,
  index: number,
  { variant, pending, prefix }: { variant: Variant | undefined; pending: boolean; prefix: string },
): ComparisonRun {
  const stage =
    variant &&
    quantizeStageSchema.parse({
      type: 'quantize',
      method: variant[1],
      scheme: parseScheme(variant[2]),
      ...(calibrated.includes(variant[1]) ? { calibration } : {}),
    });
  const status = pending ? ('queued' as const) : ('finished' as const);
  return {
    id: `run-${index}`,
    name: prefix + name,
    isBaseline: index === 0,
    status,
    modelId: 1,
    seed: 42,
    parentRunId: null,
    recipe: { name, description: '', stages: stage ? [stage] : [] },
    backend: pending ? null : 'wasm',
    device: pending ? null : 'Example CPU, 2 threads',
    error: null,
    stages: pending || !variant ? [] : [quantizeRecord(variant)],
    artifacts:
      pending || !variant
        ? []
        : [{ stage: 0, kind: 'checkpoint', path: `run-${index}/checkpoint`, sha256: hash('d'), sizeBytes: variant[4] }],
  };
}

function quantizeRecord([, method, scheme, , totalBytes, bitsPerWeight]: Variant): ComparisonRun['stages'][number] {
  return {
    index: 0,
    type: 'quantize',
    title: `Quantize with ${method}`,
    status: 'finished',
    startedAt: 0,
    elapsedMs: calibrated.includes(method) ? 18_400 : 310,
    summary: {
      type: 'quantize',
      method,
      scheme,
      quantizedBytes: totalBytes - 200_000,
      totalBytes,
      bitsPerWeight,
      layers: [],
      notes: scheme === 'W2G128' && method === 'gptq' ? ['Damping was raised to 0.02 in model.layers.3.mlp.down_proj.'] : [],
    },
  };
}

/** Problems differ in difficulty; a run that loses ability often rambles to the token limit. */
function runSamples(runId: string, ability: number, problems: number, prefix: string): CompactSample[] {
  return benchmarkNames.flatMap((benchmark, level) =>
    Array.from({ length: problems }, (_, problem) => {
      const ease = new RandomStream(3, 'ease', `${benchmark} ${problem}`).uniform();
      const chance = Math.min(1, Math.max(0, difficulty[level]! * ability * 1.6 - 0.6 * ease));
      return seeds.map((seed): CompactSample => {
        const random = new RandomStream(seed, runId, `${benchmark} ${problem}`);
        const verdict = verdictFor(random, chance, ability);
        const tokens = verdict === 'truncated' ? 200 : 30 + level * 18 + random.integer(0, 20);
        const answer = verdict === 'correct' ? `${problem}` : verdict === 'incorrect' ? `${problem + (seed % 2)}.5` : null;
        const isCut = verdict === 'truncated';
        return [
          runId,
          prefix + benchmark,
          seed,
          `${benchmark}-${problem}`,
          verdict,
          tokens,
          isCut ? 'length' : 'stop',
          isCut ? 0 : 1,
          answer,
        ];
      });
    }).flat(),
  );
}

function verdictFor(random: RandomStream, chance: number, ability: number): Verdict {
  if (random.uniform() < chance) return 'correct';
  const draw = random.uniform();
  if (draw < 0.75 * (1 - ability)) return 'truncated';
  return draw < 0.8 * (1 - ability) + 0.01 ? 'unparsed' : 'incorrect';
}

/** Two problems: one answered by the baseline and five runs, one by the baseline and one run. */
export function fakeSamples(prefix = ''): SampleRow[] {
  const groups: [problemId: string, prompt: string, gold: string, completions: [string, string, Verdict][]][] = [
    [
      'abacus-products-17',
      'Mia packs 23 boxes with 47 pencils each. How many pencils is that?',
      '1081',
      [
        ['baseline', '<think>23*47=20*47+3*47\n20*47=940\n3*47=141\n940+141=1081</think>\\boxed{1081}', 'correct'],
        ['GPTQ W2G32', '<think>23*47=20*47+3*47\n20*47=940\n3*47=141\n940+141=1081</think>\\boxed{1081}', 'correct'],
        ['RTN W2G32', `<think>23*47=20*47+3*47\n20*47=940\n3*47=131${'\n940+131=1071'.repeat(12)}`, 'truncated'],
        ['RTN W2G128', '2222222', 'unparsed'],
        ['GPTQ W3G128', '<think>23*47=20*47+3*47</think>\\boxed{1081}', 'correct'],
        ['RTN W3G128', '<think>23*47=1071</think>\\boxed{1071}', 'incorrect'],
      ],
    ],
    [
      'abacus-chains-3',
      '(345+278)*4-19 mod 7=?',
      '5',
      [
        ['baseline', '<think>345+278=623\n623*4=2492\n2492-19=2473\n2473 mod 7=2</think>\\boxed{2}', 'incorrect'],
        ['GPTQ W2G32', '<think>345+278=623\n623*4=2492\n2492-19=2473\n2473 mod 7=5</think>\\boxed{5}', 'correct'],
      ],
    ],
  ];
  let id = 0;
  return groups.flatMap(([problemId, prompt, gold, completions]) =>
    completions.map(([runName, completion, verdict]) => ({
      id: ++id,
      runId: `run-${['baseline', ...firstVariants.map(([name]) => name)].indexOf(runName)}`,
      runName: prefix + runName,
      benchmark: problemId.replace(/-\d+$/, ''),
      seed: 42,
      problemId,
      prompt: prefix + prompt,
      completion: prefix + completion,
      gold,
      extracted: verdict === 'truncated' ? null : (/\\boxed\{(.*)\}/.exec(completion)?.[1] ?? null),
      verdict,
      detail: null,
      completionTokens: completion.length,
      finishReason: verdict === 'truncated' ? 'length' : 'stop',
    })),
  );
}
