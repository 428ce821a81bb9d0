/** A paper's claim, as something a study can show, and what it showed. */
import type { Interval } from '#contract/comparison.ts';
import type { MeasuredStudy } from './measured.ts';

export type ClaimVerdict = 'holds' | 'does not hold' | 'not distinguishable';

export interface Claim {
  /** `a1`, `b4 (W2G32)`. */
  id: string;
  /** In a sentence. */
  statement: string;
  /** The paper's own figures. */
  paper: string;
  /** What `measure` gives: `GRPO → NF4 minus STE INT8, accuracy`. The claim holds where it is above zero. */
  quantity: string;
  unit: 'points' | 'tokens' | 'nats' | 'reward';
  measure(study: MeasuredStudy): Interval;
}

/** What is measured beside a claim to explain why it came out as it did. */
export interface FurtherMeasurement {
  /** Ids of the claims it speaks to. */
  about: string;
  quantity: string;
  unit: Claim['unit'];
  measure(study: MeasuredStudy): Interval;
}

export interface FurtherResult extends Omit<FurtherMeasurement, 'measure'> {
  measured: Interval;
}

export interface ClaimResult extends Omit<Claim, 'measure'> {
  measured: Interval;
  verdict: ClaimVerdict;
}

export function judge({ measure, ...claim }: Claim, study: MeasuredStudy): ClaimResult {
  const measured = measure(study);
  return { ...claim, measured, verdict: verdictOf(measured) };
}

export function measureFurther({ measure, ...further }: FurtherMeasurement, study: MeasuredStudy): FurtherResult {
  return { ...further, measured: measure(study) };
}

function verdictOf({ low, high }: Interval): ClaimVerdict {
  if (low > 0) return 'holds';
  return high < 0 ? 'does not hold' : 'not distinguishable';
}
