/**
 * "What Makes Low-Bit Quantization-Aware Training Work for Reasoning LLMs?" (Reasoning-QAT, arXiv 2601.14888) on the sample model: RTN, GPTQ
 * or FlatQuant as the start, supervised training or distillation, then RL. The paper's three bits for weights alone are measured, and two, where
 * Abacus breaks; with activations and cache rounded too the paper's four bits already hurt it.
 */
import type { StudyVariant } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { TrainsInput } from '#contract/training.ts';
import type { Claim, FurtherMeasurement } from './claim.ts';
import { falls, higherCurve, keepsLess, moreAccurate, rises, shorter } from './quantities.ts';
import { type Effort, generalData, largeModel, quantize, reinforce, supervised } from './stages.ts';

/** The paper's width for weights alone, and the one at which Abacus is hurt as the paper's models are there. */
const widths = ['W3G128', 'W2G32'] as const;
const wholly = 'W4A4KV4';
const live = (scheme: string) => ({ kind: 'quantized', scheme: parseScheme(scheme) }) as const;
const frozen = { kind: 'quantized', scales: 'frozen' } as const;
const flatQuant = { kind: 'flatquant' } as const;
const correctOnly = { reward: { format: 0, correct: 1, truncated: null, byVerdict: null } };

export function variantsB(effort: Effort): StudyVariant[] {
  const afterwards = (trains: TrainsInput) => reinforce(trains, effort, { objective: correctOnly });
  const width = (scheme: string): StudyVariant[] => {
    const symmetric = `${scheme}:sym`;
    const rtn = quantize('rtn', symmetric, effort);
    const gptq = quantize('gptq', scheme, effort, { options: { keepLatents: true } });
    const ofRtn = live(symmetric);
    return [
      { name: `RTN ${scheme}`, stages: [rtn] },
      { name: `GPTQ ${scheme}`, stages: [gptq] },
      { name: `AWQ ${scheme}`, stages: [quantize('awq', scheme, effort)] },
      { name: `RTN → SFT ${scheme}`, stages: [rtn, supervised('sft', ofRtn, effort)] },
      { name: `RTN → KD ${scheme}`, stages: [rtn, supervised('kd', ofRtn, effort)] },
      { name: `GPTQ → SFT ${scheme}`, stages: [gptq, supervised('sft', frozen, effort)] },
      { name: `GPTQ → KD ${scheme}`, stages: [gptq, supervised('kd', frozen, effort)] },
      { name: `RTN → GRPO ${scheme}`, stages: [rtn, afterwards(ofRtn)] },
      { name: `RTN → KD → GRPO ${scheme}`, stages: [rtn, supervised('kd', ofRtn, effort), afterwards(ofRtn)] },
      { name: `GPTQ → KD → GRPO ${scheme}`, stages: [gptq, supervised('kd', frozen, effort), afterwards(frozen)] },
    ];
  };
  const general = quantize('gptq', 'W2G32', effort, { domain: 'general', options: { keepLatents: true } });
  const flat = quantize('flatquant', wholly, effort);
  return [
    // What the data of supervised training teaches where nothing is quantized.
    { name: 'SFT', stages: [supervised('sft', { kind: 'weights' }, effort)] },
    ...widths.flatMap(width),
    {
      name: 'GPTQ → KD W2G32, trained on general text',
      stages: [
        quantize('gptq', 'W2G32', effort, { options: { keepLatents: true } }),
        supervised('kd', frozen, effort, { data: generalData }),
      ],
    },
    { name: 'GPTQ → KD W2G32, calibrated on general text', stages: [general, supervised('kd', frozen, effort)] },
    { name: `RTN ${wholly}`, stages: [quantize('rtn', wholly, effort)] },
    { name: `QuaRot ${wholly}`, stages: [quantize('quarot', wholly, effort)] },
    { name: `FlatQuant ${wholly}`, stages: [flat] },
    { name: `FlatQuant → KD ${wholly}`, stages: [flat, supervised('kd', flatQuant, effort)] },
    { name: `FlatQuant → KD → GRPO ${wholly}`, stages: [flat, supervised('kd', flatQuant, effort), afterwards(flatQuant)] },
  ];
}

/** What the paper's tables print, R1-Distill-Qwen-1.5B unless another model is named. */
const figures = {
  objective: 'average of three: RTN +SFT 53.05, +KD 55.50; GPTQ +SFT 55.27, +KD 56.45',
  start: 'average of three: RTN +KD 55.50, GPTQ +KD 56.45; KD on GPTQ’s start converges in fewer steps',
  zero: 'RL on the RTN model 10.84 against 10.41 before; KD 55.50',
  cold: 'average of three: RTN +KD 55.50, +GRPO 56.79; GPTQ +KD 56.45, +GRPO 58.51',
  domain: 'best MATH-500: calibrated on maths, trained on WikiText 75.33, on OpenR1-Math 78.53',
  workflow: 'Qwen3-0.6B, average of five, W3G128: GPTQ 11.42, AWQ 8.40, RTN 5.07, the workflow 31.67',
  whole: 'Qwen3-0.6B, average of five, W4A4KV4: QuaRot 4.84, FlatQuant 17.34, the workflow 21.44',
} as const;

function atWidth(scheme: string): Claim[] {
  const claim = (id: string, statement: string, paper: string, above: string, below: string): Claim => ({
    ...{ id: `${id}, ${scheme}`, statement, paper, quantity: `${above} minus ${below}`, unit: 'points' },
    measure: moreAccurate(largeModel, above, below),
  });
  const of = (name: string) => `${name} ${scheme}`;
  return [
    claim('b1.1', 'Distillation ends above supervised training from an RTN start.', figures.objective, of('RTN → KD'), of('RTN → SFT')),
    claim('b1.2', 'Distillation ends above supervised training from a GPTQ start.', figures.objective, of('GPTQ → KD'), of('GPTQ → SFT')),
    claim('b2', 'A GPTQ start ends above an RTN start.', figures.start, of('GPTQ → KD'), of('RTN → KD')),
    {
      ...{ id: `b3, ${scheme}`, statement: 'A GPTQ start converges sooner.', paper: figures.start },
      ...{ quantity: 'KD loss of the RTN start minus that of the GPTQ start, first half of training', unit: 'nats' as const },
      measure: higherCurve(largeModel, 'loss', of('RTN → KD'), of('GPTQ → KD'), [0, 0.5]),
    },
    {
      ...{
        id: `b4, ${scheme}`,
        statement: 'RL alone does not recover an RTN model: it keeps less than 90 % of what distillation gives.',
        paper: figures.zero,
      },
      ...{ quantity: '90 % of RTN → KD minus RTN → GRPO', unit: 'points' as const },
      measure: keepsLess(largeModel, of('RTN → GRPO'), of('RTN → KD'), 0.9),
    },
    claim('b5.1', 'RL after distillation adds to it, RTN start.', figures.cold, of('RTN → KD → GRPO'), of('RTN → KD')),
    claim('b5.2', 'RL after distillation adds to it, GPTQ start.', figures.cold, of('GPTQ → KD → GRPO'), of('GPTQ → KD')),
    {
      ...{ id: `b6, ${scheme}`, statement: 'RL shortens responses.', paper: 'response length falls over training, figure' },
      ...{ quantity: 'tokens of GPTQ → KD minus GPTQ → KD → GRPO', unit: 'tokens' as const },
      measure: shorter(largeModel, of('GPTQ → KD → GRPO'), of('GPTQ → KD')),
    },
    ...['RTN', 'GPTQ', 'AWQ'].map((method) =>
      claim(`b9, ${method}`, `The full workflow beats ${method}.`, figures.workflow, of('GPTQ → KD → GRPO'), of(method)),
    ),
  ];
}

export const claimsB: readonly Claim[] = [
  ...widths.flatMap(atWidth),
  {
    ...{ id: 'b7', statement: 'RL lowers the entropy of the policy.', paper: 'entropy falls over training, figure' },
    ...{ quantity: 'entropy over the first tenth of RL minus the last, GPTQ → KD → GRPO W2G32', unit: 'nats' },
    measure: falls(largeModel, 'GPTQ → KD → GRPO W2G32', 'entropy'),
  },
  {
    ...{ id: 'b8.1', statement: 'Training on the domain of the problems beats training on general text.', paper: figures.domain },
    ...{ quantity: 'GPTQ → KD W2G32 minus the same trained on general text', unit: 'points' },
    measure: moreAccurate(largeModel, 'GPTQ → KD W2G32', 'GPTQ → KD W2G32, trained on general text'),
  },
  {
    ...{ id: 'b8.2', statement: 'Calibration on the domain of training beats calibration on general text.', paper: figures.domain },
    ...{ quantity: 'GPTQ → KD W2G32 minus the same calibrated on general text', unit: 'points' },
    measure: moreAccurate(largeModel, 'GPTQ → KD W2G32', 'GPTQ → KD W2G32, calibrated on general text'),
  },
  {
    ...{ id: `b5, ${wholly}`, statement: 'RL after distillation adds to it, FlatQuant start.', paper: figures.cold },
    ...{ quantity: `FlatQuant → KD → GRPO minus FlatQuant → KD`, unit: 'points' },
    measure: moreAccurate(largeModel, `FlatQuant → KD → GRPO ${wholly}`, `FlatQuant → KD ${wholly}`),
  },
  ...['RTN', 'QuaRot', 'FlatQuant'].map(
    (method): Claim => ({
      ...{ id: `b10, ${method}`, statement: `At ${wholly} the full workflow beats ${method}.`, paper: figures.whole },
      ...{ quantity: `FlatQuant → KD → GRPO minus ${method}, ${wholly}`, unit: 'points' },
      measure: moreAccurate(largeModel, `FlatQuant → KD → GRPO ${wholly}`, `${method} ${wholly}`),
    }),
  ),
];

const gains = (about: string, above: string, below: string): FurtherMeasurement => ({
  ...{ about, quantity: `${above} minus ${below}`, unit: 'points' },
  measure: moreAccurate(largeModel, above, below),
});

/** What the data teaches by itself, what distillation could reach, and what RL changes where it samples: at temperature 1. */
export const furtherB: readonly FurtherMeasurement[] = [
  gains('b1', 'SFT', 'baseline'),
  ...(['first', 'last'] as const).map(
    (tenth): FurtherMeasurement => ({
      ...{
        about: 'b8.2',
        quantity: `KD loss after calibration on general text minus that after problems, ${tenth} tenth of training`,
        unit: 'nats',
      },
      measure: higherCurve(
        largeModel,
        'loss',
        'GPTQ → KD W2G32, calibrated on general text',
        'GPTQ → KD W2G32',
        tenth === 'first' ? [0, 0.1] : [0.9, 1],
      ),
    }),
  ),
  ...widths.flatMap((scheme) => [
    gains('b1', `GPTQ → SFT ${scheme}`, 'SFT'),
    gains('b1', `GPTQ → KD ${scheme}`, 'baseline'),
    gains('b2', `GPTQ ${scheme}`, `RTN ${scheme}`),
    gains('b4', `RTN → GRPO ${scheme}`, `RTN ${scheme}`),
    ...['RTN', 'GPTQ'].map(
      (start): FurtherMeasurement => ({
        ...{
          about: 'b5',
          quantity: `reward at temperature 1, last tenth of RL minus the first, ${start} → KD → GRPO ${scheme}`,
          unit: 'reward',
        },
        measure: rises(largeModel, `${start} → KD → GRPO ${scheme}`, 'reward-mean'),
      }),
    ),
    {
      ...{ about: 'b6', quantity: `tokens of GPTQ → KD minus those of the baseline, ${scheme}`, unit: 'tokens' },
      measure: shorter(largeModel, 'baseline', `GPTQ → KD ${scheme}`),
    } satisfies FurtherMeasurement,
  ]),
  ...(['W3G128', 'W2G32'] as const).map(
    (scheme): FurtherMeasurement => ({
      ...{ about: 'b7', quantity: `entropy over the first half of RL minus the second, GPTQ → KD → GRPO ${scheme}`, unit: 'nats' },
      measure: falls(largeModel, `GPTQ → KD → GRPO ${scheme}`, 'entropy', 0.5),
    }),
  ),
];
