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
  private readonly ranked: RankedTokens;

  constructor(vocabSize: number, settings: SamplingSettings) {
    this.settings = settings;
    this.weights = new Float64Array(vocabSize);
    this.ranked = new RankedTokens(this.weights);
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
    this.ranked.fill(((1 - topP) * total) / this.weights.length);
    return this.ranked.draw(uniform, this.ranked.take(target, this.weights.length));
  }

  /** Top-k, then top-p of what is left. */
  private drawTop(uniform: number, topK: number, topP: number): number {
    this.ranked.fill(0);
    const mass = this.ranked.take(Infinity, topK);
    return this.ranked.draw(uniform, topP < 1 ? this.ranked.shorten(topP * mass) : mass);
  }
}

/** Tokens in falling order of weight, found one by one with a binary heap, since few are wanted. */
class RankedTokens {
  private readonly weights: Float64Array;
  private readonly heap: Int32Array;
  private heapSize = 0;
  private readonly taken: Int32Array;
  private takenCount = 0;

  constructor(weights: Float64Array) {
    this.weights = weights;
    this.heap = new Int32Array(weights.length);
    this.taken = new Int32Array(weights.length);
  }

  /** Starts over with the tokens whose weight is positive and at least `least`. */
  fill(least: number): void {
    const { weights, heap } = this;
    let size = 0;
    for (let token = 0; token < weights.length; token++) {
      if (weights[token]! >= least && weights[token]! > 0) heap[size++] = token;
    }
    this.heapSize = size;
    this.takenCount = 0;
    for (let place = (size >> 1) - 1; place >= 0; place--) this.sink(place);
  }

  /** Takes tokens until their weights reach `mass` or `count` are taken; returns their weight. */
  take(mass: number, count: number): number {
    let sum = 0;
    while (sum < mass && this.takenCount < count && this.heapSize > 0) {
      const token = this.heap[0]!;
      this.heap[0] = this.heap[--this.heapSize]!;
      this.sink(0);
      this.taken[this.takenCount++] = token;
      sum += this.weights[token]!;
    }
    return sum;
  }

  /** Keeps the first taken tokens until their weights reach `mass`; returns their weight. */
  shorten(mass: number): number {
    let sum = 0;
    let kept = 0;
    while (kept < this.takenCount && sum < mass) sum += this.weights[this.taken[kept++]!]!;
    this.takenCount = kept;
    return sum;
  }

  /** One of the taken tokens, which together weigh `mass`. */
  draw(uniform: number, mass: number): number {
    const target = uniform * mass;
    let cumulative = 0;
    for (let place = 0; place < this.takenCount; place++) {
      cumulative += this.weights[this.taken[place]!]!;
      if (cumulative > target) return this.taken[place]!;
    }
    return this.taken[0]!;
  }

  private sink(start: number): void {
    const { heap, heapSize } = this;
    let place = start;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= heapSize) return;
      const child = left + 1 < heapSize && this.before(heap[left + 1]!, heap[left]!) ? left + 1 : left;
      if (!this.before(heap[child]!, heap[place]!)) return;
      const token = heap[place]!;
      heap[place] = heap[child]!;
      heap[child] = token;
      place = child;
    }
  }

  private before(a: number, b: number): boolean {
    const wa = this.weights[a]!;
    const wb = this.weights[b]!;
    return wa > wb || (wa === wb && a < b);
  }
}
