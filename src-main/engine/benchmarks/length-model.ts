/**
 * How many tokens completions still take, while some have ended and others have not. Short ones end first, so the mean of those that have
 * ended is too small; the distribution of lengths is estimated by Kaplan and Meier (1958), where a running completion says that its length
 * is beyond its age. After the longest age observed it goes on with the mean rate of ending so far.
 */

/** A completion in a unit of its own choice: tokens, or tokens per token that an earlier completion of the same problem took. */
export interface LengthObservation {
  length: number;
  /** Whether it ended there; else it is that long so far. */
  ended: boolean;
}

export class LengthModel {
  /** Ascending; survival and its integral hold from each age to the next. */
  private readonly ages: number[] = [0];
  private readonly survival: number[] = [1];
  /** ∫ survival from each age on. */
  private readonly integrals: number[];
  private readonly tailMean: number;

  /** Null while no completion has ended. */
  static of(observations: readonly LengthObservation[]): LengthModel | null {
    return observations.some(({ ended }) => ended) ? new LengthModel(observations) : null;
  }

  private constructor(observations: readonly LengthObservation[]) {
    // Where one ends at the very length another has reached, the other was still at risk of ending there.
    const sorted = [...observations].sort((a, b) => a.length - b.length || Number(b.ended) - Number(a.ended));
    const total = sorted.reduce((sum, { length }) => sum + length, 0);
    this.tailMean = total / sorted.filter(({ ended }) => ended).length;
    for (const [index, { length, ended }] of sorted.entries()) {
      const before = this.survival.at(-1)!;
      this.ages.push(length);
      this.survival.push(ended ? before * (1 - 1 / (sorted.length - index)) : before);
    }
    this.integrals = new Array<number>(this.ages.length);
    this.integrals[this.ages.length - 1] = this.survival.at(-1)! * this.tailMean;
    for (let place = this.ages.length - 2; place >= 0; place--)
      this.integrals[place] = this.integrals[place + 1]! + this.survival[place]! * (this.ages[place + 1]! - this.ages[place]!);
  }

  /** Expected further length of a completion that has this length and has not ended. */
  remaining(age: number): number {
    const place = this.placeOf(age);
    const survival = this.survival[place]!;
    // Nothing was seen beyond this age: what is known is the rate of ending.
    if (survival <= 0 || place === this.ages.length - 1) return this.tailMean;
    return this.ages[place + 1]! - age + this.integrals[place + 1]! / survival;
  }

  /** The last age at or below this one. */
  private placeOf(age: number): number {
    let low = 0;
    let high = this.ages.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.ages[middle]! <= age) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
