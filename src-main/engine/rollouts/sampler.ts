/**
 * Draws one token from a row of logits: temperature, then top-k, then top-p, as transformers orders them, in double precision. Equal logits
 * rank by token id, so the outcome is a function of the logits and the uniform number alone.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { SamplingSettings } from './settings.ts';

/** e to this power vanishes in a double-precision sum over any vocabulary. */
const negligibleExponent = -50;

export class Sampler {
  /** Of the last sampled token; NaN unless the settings ask for it. */
  logprob = Number.NaN;
  private readonly settings: SamplingSettings;
  private readonly weights: Float64Array;
  private readonly ranking: Ranking;

  constructor(vocabSize: number, settings: SamplingSettings) {
    this.settings = settings;
    this.weights = new Float64Array(vocabSize);
    this.ranking = new Ranking(this.weights);
  }

  /** The most probable token if its probability, known within one percent, leaves no other to draw; null otherwise. */
  obvious(token: number, share: number): number | null {
    const { temperature, topP, logprobs } = this.settings;
    if (logprobs || !Number.isFinite(share)) return null;
    return temperature === 0 || (topP < 1 && share * 0.99 >= topP) ? token : null;
  }

  /** Samples from `logits[offset … offset + vocabSize)` with `uniform` in [0, 1). @throws RoundoffError `numeric` */
  sample(logits: Float32Array, offset: number, uniform: number): number {
    const best = this.largest(logits, offset);
    const { temperature, topK, topP, logprobs } = this.settings;
    if (temperature === 0 && !logprobs) return best;
    const total = this.weigh(logits, offset, logits[offset + best]!, temperature === 0 ? 1 : temperature);
    const limited = topK > 0 && topK < this.weights.length;
    let token = best;
    if (temperature > 0 && limited) token = this.drawTop(uniform, topK, topP);
    else if (temperature > 0 && topP < 1) token = this.drawNucleus(uniform, total, topP, best);
    else if (temperature > 0) token = this.drawAny(uniform * total, best);
    if (logprobs) this.logprob = Math.log(this.weights[token]! / total);
    return token;
  }

  /** The most probable token; the first of equals. */
  private largest(logits: Float32Array, offset: number): number {
    const count = this.weights.length;
    let best = 0;
    let value = -Infinity;
    for (let token = 0; token < count; token++) {
      const logit = logits[offset + token]!;
      if (logit > value) {
        value = logit;
        best = token;
      } else if (Number.isNaN(logit)) value = Number.NaN;
    }
    if (Number.isFinite(value)) return best;
    throw new RoundoffError(
      'numeric',
      'The model produced logits that are not finite numbers.',
      'Check the weights (`model inspect`); a quantization at a very low width can overflow.',
    );
  }

  /** Fills `weights` with exp((logit − largest) / temperature); returns their sum. */
  private weigh(logits: Float32Array, offset: number, largest: number, temperature: number): number {
    const { weights } = this;
    let total = 0;
    for (let token = 0; token < weights.length; token++) {
      const exponent = (logits[offset + token]! - largest) / temperature;
      const weight = exponent < negligibleExponent ? 0 : Math.exp(exponent);
      weights[token] = weight;
      total += weight;
    }
    return total;
  }

  private drawAny(target: number, fallback: number): number {
    const { weights } = this;
    let cumulative = 0;
    for (let token = 0; token < weights.length; token++) {
      cumulative += weights[token]!;
      if (cumulative > target) return token;
    }
    return fallback;
  }

  /** Top-p over the whole vocabulary. */
  private drawNucleus(uniform: number, total: number, topP: number, best: number): number {
    const target = topP * total;
    if (this.weights[best]! >= target) return best;
    // Tokens below this weight hold less than (1 − topP) together, so the others hold the nucleus.
    this.ranking.fill(((1 - topP) * total) / this.weights.length);
    this.ranking.keepMass(target);
    return this.ranking.draw(uniform);
  }

  /** Top-k, then top-p of what is left. */
  private drawTop(uniform: number, topK: number, topP: number): number {
    this.ranking.fill(0);
    this.ranking.keepCount(topK);
    if (topP < 1) this.ranking.keepMass(topP * this.ranking.mass());
    return this.ranking.draw(uniform);
  }
}

/** A set of tokens that can be cut down to the most probable ones, in linear time and without sorting the vocabulary. */
class Ranking {
  private readonly weights: Float64Array;
  private readonly tokens: Int32Array;
  private size = 0;

  constructor(weights: Float64Array) {
    this.weights = weights;
    this.tokens = new Int32Array(weights.length);
  }

  /** Starts over with the tokens whose weight is positive and at least `least`. */
  fill(least: number): void {
    const { weights, tokens } = this;
    let size = 0;
    for (let token = 0; token < weights.length; token++) {
      if (weights[token]! >= least && weights[token]! > 0) tokens[size++] = token;
    }
    this.size = size;
  }

  mass(): number {
    let sum = 0;
    for (let place = 0; place < this.size; place++) sum += this.weights[this.tokens[place]!]!;
    return sum;
  }

  keepCount(count: number): void {
    this.cut(Infinity, count);
  }

  /** Keeps the fewest tokens, most probable first, that weigh at least `target` together. */
  keepMass(target: number): void {
    this.cut(target, this.size);
  }

  /** One of the kept tokens, in proportion to their weights. */
  draw(uniform: number): number {
    const kept = this.tokens.subarray(0, this.size).sort();
    const target = uniform * this.mass();
    let cumulative = 0;
    for (const token of kept) {
      cumulative += this.weights[token]!;
      if (cumulative > target) return token;
    }
    return kept[kept.length - 1]!;
  }

  /** Quickselect by weight: the place where the mass or the count is reached is narrowed down around pivots. */
  private cut(target: number, count: number): void {
    let low = 0;
    let high = this.size;
    let mass = 0;
    while (low < high && low < count && mass < target) {
      const middle = this.partition(low, high);
      let left = 0;
      for (let place = low; place < middle; place++) left += this.weights[this.tokens[place]!]!;
      if (mass + left >= target || middle >= count) high = middle;
      else {
        mass += left + this.weights[this.tokens[middle]!]!;
        low = middle + 1;
      }
    }
    this.size = low;
  }

  /** Moves what ranks before a pivot in front of it; returns the pivot's place. */
  private partition(low: number, high: number): number {
    const { tokens } = this;
    this.exchange(this.median(low, (low + high) >> 1, high - 1), high - 1);
    const pivot = tokens[high - 1]!;
    let place = low;
    for (let i = low; i < high - 1; i++) if (this.before(tokens[i]!, pivot)) this.exchange(i, place++);
    this.exchange(place, high - 1);
    return place;
  }

  private median(a: number, b: number, c: number): number {
    const { tokens } = this;
    const [ab, bc, ac] = [this.before(tokens[a]!, tokens[b]!), this.before(tokens[b]!, tokens[c]!), this.before(tokens[a]!, tokens[c]!)];
    if (ab === bc) return b;
    return ab === ac ? c : a;
  }

  private exchange(a: number, b: number): void {
    const token = this.tokens[a]!;
    this.tokens[a] = this.tokens[b]!;
    this.tokens[b] = token;
  }

  private before(a: number, b: number): boolean {
    const wa = this.weights[a]!;
    const wb = this.weights[b]!;
    return wa > wb || (wa === wb && a < b);
  }
}
