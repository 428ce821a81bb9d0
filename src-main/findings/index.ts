/** The papers' findings replayed on the sample models: which study is run, what is read from it, and how it is written down. */
import type { StudySpec } from '#contract/recipe.ts';
import type { Claim, FurtherMeasurement } from './claim.ts';
import { claimsA, furtherA, variantsA } from './paper-a.ts';
import { claimsB, furtherB, variantsB } from './paper-b.ts';
import { fullEffort, largeModel, quickEffort, smallModel } from './stages.ts';
import { findingsSpec } from './study.ts';

export {
  type Claim,
  type ClaimResult,
  type ClaimVerdict,
  type FurtherMeasurement,
  type FurtherResult,
  judge,
  measureFurther,
} from './claim.ts';
export { MeasuredStudy } from './measured.ts';
export { findingsMarkdown, findingsText } from './report.ts';

export type PaperKey = 'a' | 'b';

export const papers: Record<PaperKey, { title: string; claims: readonly Claim[]; further: readonly FurtherMeasurement[] }> = {
  a: {
    title: 'The Impact of Quantization on Large Reasoning Model Reinforcement Learning (arXiv 2511.15694)',
    claims: claimsA,
    further: furtherA,
  },
  b: {
    title: 'What Makes Low-Bit Quantization-Aware Training Work for Reasoning LLMs? (arXiv 2601.14888)',
    claims: claimsB,
    further: furtherB,
  },
};

/** The study whose runs the paper's claims are read from. `quick` says whether everything works, never whether a claim holds. */
export function findingsStudy(paper: PaperKey, quick: boolean): StudySpec {
  const effort = quick ? quickEffort : fullEffort[paper];
  return paper === 'a'
    ? findingsSpec({
        name: 'Findings A',
        description: 'RL in full precision and then PTQ, against QLoRA and RL through fake-quantized weights.',
        models: [largeModel, smallModel],
        variants: variantsA(effort),
        quick,
      })
    : findingsSpec({
        name: 'Findings B',
        description: 'Starts, objectives and data of quantization-aware training, and RL after it.',
        models: [largeModel],
        variants: variantsB(effort),
        quick,
      });
}
