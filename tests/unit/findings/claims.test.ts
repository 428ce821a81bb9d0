import { describe, expect, it } from 'vitest';
import { baselineName } from '#contract/recipe.ts';
import type { Group } from '../../../src-main/findings/contrast.ts';
import type { Curve } from '../../../src-main/findings/curves.ts';
import { findingsStudy, judge, type MeasuredStudy, measureFurther, papers } from '../../../src-main/findings/index.ts';

const problems = new Map([
  ['1', 1],
  ['2', 0],
]);
const group: Group = [new Map([['sums', problems]])];
const curves: Curve[] = [new Map(Array.from({ length: 20 }, (_, step) => [step + 1, step % 2]))];

describe.each(['a', 'b'] as const)('the claims of paper %s', (paper) => {
  it.each([false, true])('are read from variants and models that the study has (quick: %s)', (quick) => {
    const { variants, models } = findingsStudy(paper, quick);
    const known = new Set([baselineName, ...variants.map(({ name }) => name)]);
    const asked = (variant: string, model: string) => {
      expect(known.has(variant), variant).toBe(true);
      expect(models).toContain(model);
    };
    const answering =
      <T>(answer: T) =>
      (variant: string, model: string) => {
        asked(variant, model);
        return answer;
      };
    const measured = { accuracy: answering(group), tokens: answering(group), curves: answering(curves) };
    const study = measured as unknown as MeasuredStudy;
    for (const claim of papers[paper].claims) judge(claim, study);
    for (const measurement of papers[paper].further) measureFurther(measurement, study);
    const ids = papers[paper].claims.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
