/**
 * Holm's step-down correction (Holm 1979): the chance that any of several true null hypotheses is rejected stays below the level
 * however the tests depend on each other.
 */

/** Adjusted p-values in the order given: compare each with the level, as one would a single test's. */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, index) => index).sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = new Array<number>(pValues.length).fill(1);
  let largest = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[index]!));
    adjusted[index] = largest;
  }
  return adjusted;
}
