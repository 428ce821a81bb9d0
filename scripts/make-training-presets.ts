/**
 * Writes the papers' presets and those that train: resources/recipes/paper-a.json, paper-b.json and paper-b-figure-1.json, both papers' studies at full size with model and data left
 * to choose, and abacus-training.json, a study of minutes on the sample model. What the papers do not state is marked ⚠ in the descriptions.
 *
 *   node scripts/make-training-presets.ts
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completeProtocol, standardVerifiers } from '#contract/prompt-templates.ts';
import { type QuantizationMethod, quantizeStageSchema, type StudySpec, type StudyVariant, studySpecSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { attentionLinearNames, type TrainsInput, trainStageSchema } from '#contract/training.ts';
import { chainTitle } from '#contract/training-chain.ts';

const recipes = join(import.meta.dirname, '../resources/recipes');
const write = (name: string, spec: StudySpec) => writeFileSync(join(recipes, `${name}.json`), `${JSON.stringify(spec, null, 2)}\n`);

function quantize(method: QuantizationMethod, scheme: string, calibration: object | null, options = {}) {
  return quantizeStageSchema.parse({
    type: 'quantize',
    method,
    scheme: parseScheme(scheme),
    options,
    ...(calibration ? { calibration } : {}),
  });
}
const qat = (scheme: string, more: object = {}): TrainsInput => ({ kind: 'quantized', scheme: parseScheme(scheme), ...more });
/** Goes on with what is quantized already, on the grids it has. */
const frozen: TrainsInput = { kind: 'quantized', scales: 'frozen' };
/** Named by its stages. */
const variant = (...stages: StudyVariant['stages']): StudyVariant => ({ name: chainTitle(stages), stages });
const besides = (addition: string, { name, stages }: StudyVariant): StudyVariant => ({ name: `${name}, ${addition}`, stages });
const sampling = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  seeds: [42, 43, 44],
  systemPrompt: null,
  verifier: standardVerifiers.maths,
  problemsPerBenchmark: null,
};
const boxed = '{question}\n\nPlease reason step by step, and put your final answer within \\boxed{}.';

const toChoose = (...names: string[]) => names.map((name) => ({ name, path: `choose:${name}` }));
/** In full, so that the studies stay what they are when standards change. */
const { templates, verifiers } = completeProtocol({ ...sampling, maxNewTokens: 1, promptTemplate: boxed }, ['choice', 'code']);
const asked = { templates, verifiers };

// Paper A: which of RL first and quantization afterwards, QLoRA, or quantization within RL keeps most.
function paperA(): StudySpec {
  const data = { path: 'choose:MATH-3-5', maxTokens: 512, limit: 10_000, promptTemplate: boxed };
  const grpo = (scaleRewards: 'group' | 'none', trains: TrainsInput, learningRate = 1e-6) =>
    trainStageSchema.parse({
      ...{ type: 'train', trains, data, steps: 1250, batchSize: 8, checkpointEvery: 25, activationCheckpointing: true },
      objective: {
        kind: 'rl',
        scaleRewards,
        lossType: 'grpo',
        groupSize: 8,
        promptsPerStep: 8,
        maxNewTokens: 512,
        beta: 0,
        temperature: 1,
      },
      optimizer: { learningRate, schedule: 'linear', warmupSteps: 1, beta2: 0.999, maxGradientNorm: 1 },
    });
  const text = { path: 'choose:calibration-text', samples: 128, sequenceLength: 512, seed: 42 };
  const nf4 = quantize('nf4', 'NF4:double', null);
  const attention = qat('W8:sym', { modules: [...attentionLinearNames], perTensor: true });
  const variants = (['group', 'none'] as const).flatMap((scaleRewards) => {
    const full = grpo(scaleRewards, { kind: 'weights' });
    return [
      variant(full),
      variant(full, nf4),
      variant(full, quantize('int8', 'INT8', null)),
      variant(full, quantize('awq', 'W4G128', text)),
      variant(nf4, grpo(scaleRewards, { kind: 'lora', rank: 8, alpha: 16, dropout: 0.05 }, 1e-4)),
      variant(grpo(scaleRewards, attention)),
    ];
  });
  return studySpecSchema.parse({
    name: 'Paper A: RL and quantization',
    description:
      'GRPO and Dr.GRPO in full precision and quantized afterwards, QLoRA, and INT8 with a straight-through estimator within RL. For Qwen3-Base of 0.6B, 1.7B, 4B or 8B; with 4B and 8B raise new tokens to 1024. ⚠ Not stated: the batch per device (taken as 8, so 8 problems a step and 1,250 steps make one epoch), Adam’s betas (TRL’s), AWQ’s calibration text. ⚠ The code leaves the length bias in Dr.GRPO (loss type grpo), and its INT8 scales are per matrix. Reward 0.1 for an answer in a box, 1 more when it is right.',
    models: ['choose:Qwen3-Base'],
    variants,
    seeds: [42],
    benchmarks: toChoose('aime24', 'amc23', 'math-500', 'minerva', 'olympiadbench'),
    // Evaluated at temperature 1 with short outputs.
    protocol: { ...sampling, temperature: 1, topP: 1, maxNewTokens: 1024, promptTemplate: boxed },
  });
}

// Paper B: PTQ start, distillation, then RL.
function paperB(): StudySpec {
  const maths = { path: 'choose:NuminaMath', domain: 'maths', samples: 128, sequenceLength: 2048, seed: 42 };
  const general = { ...maths, path: 'choose:WikiText-2', domain: 'general text' };
  const supervised = (
    kind: 'sft' | 'kd',
    trains: TrainsInput,
    { rate, steps = 6000, warmup = 180, data = 'choose:OpenR1-Math' }: { rate: number; steps?: number; warmup?: number; data?: string },
  ) =>
    trainStageSchema.parse({
      ...{ type: 'train', objective: { kind }, trains, data: { path: data, maxTokens: 8192 } },
      ...{ steps, batchSize: 8, accumulation: 4, checkpointEvery: 100, activationCheckpointing: true },
      optimizer: { learningRate: rate, schedule: 'cosine', warmupSteps: warmup, beta1: 0.9, beta2: 0.95 },
    });
  const grpo = (trains: TrainsInput) =>
    trainStageSchema.parse({
      ...{ type: 'train', trains, data: { path: 'choose:RL-problems', maxTokens: 2048, promptTemplate: boxed } },
      ...{ steps: 250, batchSize: 16, checkpointEvery: 10, activationCheckpointing: true },
      objective: { kind: 'rl', promptsPerStep: 8, groupSize: 8, maxNewTokens: 32_768, reward: { format: 0, correct: 1 } },
      optimizer: { learningRate: 5e-7, schedule: 'cosine', warmupSteps: 8, beta1: 0.9, beta2: 0.95 },
    });
  const atWidth = (width: string) => {
    const rtn = quantize('rtn', `${width}:sym`, null);
    const gptq = quantize('gptq', width, maths, { keepLatents: true });
    const ofRtn = qat(`${width}:sym`);
    return [
      variant(rtn),
      variant(gptq),
      variant(quantize('awq', width, maths)),
      variant(rtn, supervised('sft', ofRtn, { rate: 2e-5 })),
      variant(rtn, supervised('kd', ofRtn, { rate: 2e-5 })),
      variant(gptq, supervised('sft', frozen, { rate: 1e-6 })),
      variant(gptq, supervised('kd', frozen, { rate: 1e-6 })),
      variant(rtn, grpo(ofRtn)),
      variant(rtn, supervised('kd', ofRtn, { rate: 2e-5 }), grpo(ofRtn)),
      variant(gptq, supervised('kd', frozen, { rate: 1e-6 }), grpo(frozen)),
    ];
  };
  const mismatched = supervised('kd', frozen, { rate: 1e-6, data: 'choose:WikiText-2' });
  const flat = quantize('flatquant', 'W4A4KV4', general);
  const ofFlat: TrainsInput = { kind: 'flatquant', transformRate: 5e-5, clipRate: 5e-4 };
  const flatKd = supervised('kd', ofFlat, { rate: 1e-6, steps: 3000, warmup: 90, data: 'choose:WikiText-2' });
  return studySpecSchema.parse({
    name: 'Paper B: Reasoning-QAT',
    description:
      'A start by RTN, GPTQ or FlatQuant, then SFT or distillation, then GRPO; RL without distillation; training data of another domain. For Qwen3-0.6B, 1.7B, 4B, 8B or R1-Distill-Qwen-1.5B. AIME-120 is the 90 problems of 2022–2024 with the 30 of 2025; GPQA-Diamond’s right letter is drawn from each seed; LiveCodeBench is the splits test4 and test5 (268 problems). ⚠ Not stated: direction, temperature and masking of the distillation (taken as forward KL at 1 over the answers), whether a batch of 64 counts problems or completions (taken as 8 problems of 8 completions), RL’s data, clip range, KL weight and sampling temperature (0.2, 0 and 1), gradient norm and weight decay (1 and 0), longest example (8,192 tokens), whether RL after FlatQuant moves its transforms too (taken as no), 2-bit results.',
    models: ['choose:reasoning-model'],
    variants: [
      ...atWidth('W3G128'),
      ...atWidth('W2G128'),
      besides('on WikiText', variant(quantize('gptq', 'W3G128', maths, { keepLatents: true }), mismatched)),
      variant(quantize('quarot', 'W4A4KV4', general)),
      variant(flat),
      variant(flat, flatKd),
      variant(flat, flatKd, grpo({ ...frozen })),
    ],
    seeds: [42],
    benchmarks: toChoose('aime-120', 'math-500', 'gsm8k', 'gpqa-diamond', 'livecodebench'),
    protocol: { ...sampling, maxNewTokens: 32_768, promptTemplate: boxed, ...asked },
  });
}

// Paper B, Figure 1: quantization after training costs reasoning more than likelihoods.
function paperBFigure1(): StudySpec {
  const text = { path: 'choose:NuminaMath', domain: 'maths', samples: 128, sequenceLength: 2048, seed: 42 };
  return studySpecSchema.parse({
    name: 'Paper B, Figure 1: reasoning and likelihood',
    description:
      'GPTQ W3G128 on tasks that need long reasoning and on tasks scored by likelihood: WinoGrande and HellaSwag, whose files have their answers in the validation split. For R1-Distill-Qwen-1.5B and Qwen3-4B. The average over all four says nothing: read them one by one. ⚠ Not stated: calibration data of the figure (taken as NuminaMath, as in the tables), how likelihoods are normalised (taken as lm-evaluation-harness does: WinoGrande by the rest of the sentence, HellaSwag per character).',
    models: ['choose:reasoning-model'],
    variants: [variant(quantize('gptq', 'W3G128', text))],
    seeds: [42],
    benchmarks: toChoose('aime-120', 'math-500', 'winogrande', 'hellaswag'),
    protocol: { ...sampling, maxNewTokens: 32_768, promptTemplate: boxed },
  });
}

// The small counterpart: two bits hurt Abacus as three hurt the papers' models.
function abacusTraining(): StudySpec {
  const path = 'sample:training/abacus.jsonl';
  const width = 'W2G32';
  const supervised = (kind: 'sft' | 'kd', trains: TrainsInput, learningRate: number) =>
    trainStageSchema.parse({
      ...{ type: 'train', objective: { kind }, trains, data: { path, maxTokens: 256 } },
      ...{ steps: 150, batchSize: 16, checkpointEvery: 25, evaluation: { every: 50, problems: 20 } },
      optimizer: { learningRate, schedule: 'cosine', warmupSteps: 5 },
    });
  const grpo = trainStageSchema.parse({
    ...{ type: 'train', trains: frozen, data: { path, maxTokens: 128 }, steps: 20, batchSize: 32, checkpointEvery: 5 },
    objective: { kind: 'rl', promptsPerStep: 8, groupSize: 8, maxNewTokens: 200, reward: { format: 0, correct: 1 } },
    optimizer: { learningRate: 2e-5, schedule: 'cosine', warmupSteps: 2 },
  });
  const rtn = quantize('rtn', `${width}:sym`, null);
  const gptq = quantize(
    'gptq',
    width,
    { path: 'sample:calibration/abacus.jsonl', samples: 128, sequenceLength: 128, seed: 0 },
    { keepLatents: true },
  );
  const ofRtn = qat(`${width}:sym`);
  const kd = supervised('kd', frozen, 2e-4);
  return studySpecSchema.parse({
    name: 'Abacus training',
    description:
      'Can training bring back what two bits take from Abacus? Supervised training against distillation from RTN, distillation from GPTQ, and GRPO after it: paper B’s workflow in minutes.',
    models: ['sample:abacus'],
    variants: [
      variant(rtn),
      variant(rtn, supervised('sft', ofRtn, 1e-3)),
      variant(rtn, supervised('kd', ofRtn, 1e-3)),
      variant(gptq),
      variant(gptq, kd),
      variant(gptq, kd, grpo),
    ],
    seeds: [42],
    benchmarks: ['sums', 'binary', 'products', 'divisors', 'chains'].map((task) => ({
      name: `abacus-${task}`,
      path: `sample:benchmarks/abacus-${task}.jsonl`,
    })),
    protocol: {
      ...{ ...sampling, maxNewTokens: 256 },
      ...{ promptTemplate: '{question}', problemsPerBenchmark: 60 },
    },
  });
}

write('paper-a', paperA());
write('paper-b', paperB());
write('paper-b-figure-1', paperBFigure1());
write('abacus-training', abacusTraining());
