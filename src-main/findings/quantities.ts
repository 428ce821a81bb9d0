/** The quantities claims are about, each as something that is above zero where the claim holds. */
import type { Interval } from '#contract/comparison.ts';
import { contrast } from './contrast.ts';
import { curveChange, curveDifference } from './curves.ts';
import type { MeasuredStudy } from './measured.ts';

type Measure = (study: MeasuredStudy) => Interval;

/** Accuracy of `above` minus that of `below`. */
export function moreAccurate(model: string, above: string, below: string): Measure {
  return (study) =>
    contrast([
      { group: study.accuracy(above, model), weight: 1 },
      { group: study.accuracy(below, model), weight: -1 },
    ]);
}

/** Accuracy of `variant` minus `share` of that of `reference`: above zero, it keeps at least this share. */
export function keeps(model: string, variant: string, reference: string, share: number): Measure {
  return (study) =>
    contrast([
      { group: study.accuracy(variant, model), weight: 1 },
      { group: study.accuracy(reference, model), weight: -share },
    ]);
}

/** `share` of the accuracy of `reference` minus that of `variant`: above zero, it keeps less than this share. */
export function keepsLess(model: string, variant: string, reference: string, share: number): Measure {
  return (study) => negative(keeps(model, variant, reference, share)(study));
}

/** What `variant` loses against `reference` with the large model, minus what it loses with the small one. */
export function losesMoreWhenLarge(large: string, small: string, variant: string, reference: string): Measure {
  return (study) =>
    contrast([
      { group: study.accuracy(reference, large), weight: 1 },
      { group: study.accuracy(variant, large), weight: -1 },
      { group: study.accuracy(reference, small), weight: -1 },
      { group: study.accuracy(variant, small), weight: 1 },
    ]);
}

/** Mean completion length of `before` minus that of `after`. */
export function shorter(model: string, after: string, before: string): Measure {
  return (study) =>
    contrast([
      { group: study.tokens(before, model), weight: 1 },
      { group: study.tokens(after, model), weight: -1 },
    ]);
}

/** Mean over the training curves of `above` minus that of `below`, step by step, in a range of the run. */
export function higherCurve(model: string, metric: string, above: string, below: string, range?: readonly [number, number]): Measure {
  return (study) => curveDifference(study.curves(above, model, metric), study.curves(below, model, metric), range);
}

/** Mean over the last tenth of a training curve minus that over the first. */
export function rises(model: string, variant: string, metric: string): Measure {
  return (study) => curveChange(study.curves(variant, model, metric));
}

/** Mean over the first `share` of a training curve minus that over the last. */
export function falls(model: string, variant: string, metric: string, share = 0.1): Measure {
  return (study) => negative(curveChange(study.curves(variant, model, metric), share));
}

export function negative({ value, low, high }: Interval): Interval {
  return { value: -value, low: -high, high: -low };
}
