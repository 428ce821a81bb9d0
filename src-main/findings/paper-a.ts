/**
 * "The Impact of Quantization on Large Reasoning Model Reinforcement Learning" (arXiv 2511.15694) on the sample models: RL in full precision
 * and then PTQ, against QLoRA and against RL through fake-quantized weights (STE). At the paper's widths a small model loses nothing, so
 * every claim is measured again at two bits, where Abacus has something to lose.
 */
import type { StudyVariant } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { attentionLinearNames, type TrainsInput } from '#contract/training.ts';
import type { Claim, FurtherMeasurement } from './claim.ts';
import { higherCurve, keeps, losesMoreWhenLarge, moreAccurate } from './quantities.ts';
import { type Effort, largeModel, loraRlRate, quantize, reinforce, smallModel } from './stages.ts';

const attention = [...attentionLinearNames];

/** STE on the four attention linears, as in the paper's text. */
const ste = (scheme: string) => ({ kind: 'quantized', scheme: parseScheme(scheme), modules: attention }) satisfies TrainsInput;
const steEverywhere = (scheme: string) => ({ kind: 'quantized', scheme: parseScheme(scheme) }) satisfies TrainsInput;

const low = 'W2G32';

export function variantsA(effort: Effort): StudyVariant[] {
  const grpo = reinforce({ kind: 'weights' }, effort);
  const lora = reinforce({ kind: 'lora' }, effort, { learningRate: loraRlRate });
  return [
    // What the widths cost by themselves, without RL.
    { name: 'RTN W8', stages: [quantize('rtn', 'W8:sym', effort)] },
    { name: `RTN ${low}`, stages: [quantize('rtn', low, effort)] },
    { name: `GPTQ ${low}`, stages: [quantize('gptq', low, effort)] },
    { name: 'GRPO', stages: [grpo] },
    { name: 'GRPO → NF4', stages: [grpo, quantize('nf4', 'NF4', effort)] },
    { name: 'GRPO → INT8', stages: [grpo, quantize('int8', 'INT8', effort)] },
    { name: 'GRPO → AWQ W4G128', stages: [grpo, quantize('awq', 'W4G128', effort)] },
    { name: 'QLoRA NF4', stages: [quantize('nf4', 'NF4:double', effort), lora] },
    { name: 'STE INT8', stages: [reinforce(ste('W8:sym'), effort)] },
    { name: `GRPO → GPTQ ${low}`, stages: [grpo, quantize('gptq', low, effort)] },
    { name: `QLoRA ${low}`, stages: [quantize('gptq', low, effort), lora] },
    { name: `STE ${low}`, stages: [reinforce(steEverywhere(low), effort)] },
  ];
}

const table = 'Qwen3-8B, mean reward: GRPO .594, then bitsandbytes 4-bit .581, then AWQ 4-bit .574; QLoRA 4-bit .556; STE INT8 .496';

export const claimsA: readonly Claim[] = [
  {
    id: 'a1',
    statement: 'RL through STE INT8 weights ends below RL in full precision followed by 4-bit PTQ.',
    paper: table,
    quantity: 'GRPO → NF4 minus STE INT8',
    unit: 'points',
    measure: moreAccurate(largeModel, 'GRPO → NF4', 'STE INT8'),
  },
  {
    id: `a1, ${low}`,
    statement: 'The same at two bits: RL through STE ends below RL followed by PTQ.',
    paper: table,
    quantity: `GRPO → GPTQ ${low} minus STE ${low}`,
    unit: 'points',
    measure: moreAccurate(largeModel, `GRPO → GPTQ ${low}`, `STE ${low}`),
  },
  {
    id: 'a2',
    statement: 'RL through STE INT8 weights ends below QLoRA on a 4-bit base.',
    paper: table,
    quantity: 'QLoRA NF4 minus STE INT8',
    unit: 'points',
    measure: moreAccurate(largeModel, 'QLoRA NF4', 'STE INT8'),
  },
  {
    id: `a2, ${low}`,
    statement: 'The same at two bits: RL through STE ends below LoRA on a frozen two-bit base.',
    paper: table,
    quantity: `QLoRA ${low} minus STE ${low}`,
    unit: 'points',
    measure: moreAccurate(largeModel, `QLoRA ${low}`, `STE ${low}`),
  },
  ...(['GRPO → NF4', 'GRPO → AWQ W4G128'] as const).map(
    (variant, index): Claim => ({
      id: `a3.${index + 1}`,
      statement: `4-bit PTQ after RL keeps most of full precision (${variant}).`,
      paper: index === 0 ? '.581 of .594: 97.8 %' : '.574 of .594: 96.6 %',
      quantity: `${variant} minus 90 % of GRPO`,
      unit: 'points',
      measure: keeps(largeModel, variant, 'GRPO', 0.9),
    }),
  ),
  {
    id: 'a4',
    statement: 'QLoRA keeps most of full-precision RL.',
    paper: '.556 of .594: 93.6 %',
    quantity: 'QLoRA NF4 minus 90 % of GRPO',
    unit: 'points',
    measure: keeps(largeModel, 'QLoRA NF4', 'GRPO', 0.9),
  },
  {
    id: 'a5',
    statement: 'What STE INT8 loses against full precision grows with the size of the model.',
    paper: 'the gap widens from 0.6B to 8B',
    quantity: 'loss of STE INT8 with Abacus minus that with Abacus small',
    unit: 'points',
    measure: losesMoreWhenLarge(largeModel, smallModel, 'STE INT8', 'GRPO'),
  },
  {
    id: `a5, ${low}`,
    statement: 'The same at two bits.',
    paper: 'the gap widens from 0.6B to 8B',
    quantity: `loss of STE ${low} with Abacus minus that with Abacus small`,
    unit: 'points',
    measure: losesMoreWhenLarge(largeModel, smallModel, `STE ${low}`, 'GRPO'),
  },
  {
    id: 'a6',
    statement: 'The learning curve of RL through STE INT8 lies below that of full precision.',
    paper: 'mean reward over training, figure',
    quantity: 'mean reward of GRPO minus STE INT8 over all steps',
    unit: 'reward',
    measure: higherCurve(largeModel, 'reward-mean', 'GRPO', 'STE INT8'),
  },
  {
    id: `a6, ${low}`,
    statement: 'The same at two bits.',
    paper: 'mean reward over training, figure',
    quantity: `mean reward of GRPO minus STE ${low} over all steps`,
    unit: 'reward',
    measure: higherCurve(largeModel, 'reward-mean', 'GRPO', `STE ${low}`),
  },
];

const gains = (about: string, above: string, below: string, model: string): FurtherMeasurement => ({
  ...{ about, quantity: `${above} minus ${below}, ${model === largeModel ? 'Abacus' : 'Abacus small'}`, unit: 'points' },
  measure: moreAccurate(model, above, below),
});

/** Rounding to eight bits costs nothing, so that there is nothing to lose; at two bits it costs the smaller model more, before any RL. */
export const furtherA: readonly FurtherMeasurement[] = [
  ...[largeModel, smallModel].flatMap((model) => [
    gains('a1, a2, a5, a6', 'RTN W8', 'baseline', model),
    gains('a1, a2, a5, a6', 'STE INT8', 'GRPO', model),
    gains('a1, a2', 'GRPO', 'baseline', model),
    gains(`a5, ${low}`, `RTN ${low}`, 'baseline', model),
    gains(`a5, ${low}`, `STE ${low}`, `RTN ${low}`, model),
  ]),
  gains(`a1, ${low}`, `GRPO → GPTQ ${low}`, `GPTQ ${low}`, largeModel),
  gains(`a2, ${low}`, `QLoRA ${low}`, `GPTQ ${low}`, largeModel),
];
