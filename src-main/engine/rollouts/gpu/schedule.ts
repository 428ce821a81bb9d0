/**
 * Continuous batching for an engine that draws tokens by itself: which sequence sits in which slot, and what each round (one submit) computes.
 * Rounds are planned ahead of their outcomes: a sequence counts as going on until its tokens say otherwise, and what the GPU is asked to do for
 * one that has ended, it leaves. Prompts enter in chunks beside sequences that are already generating. The part of a prompt that some slot's
 * cache already holds, of a sequence that is running or has ended, is copied instead of computed; its last token is always computed.
 */
import { RoundoffError } from '#contract/errors.ts';
import { RandomStream } from '../../data/random-stream.ts';
import type { CacheCopy, ClaimedRequest, FinishedSequence } from '../batch.ts';
import type { SamplingSettings } from '../settings.ts';
import { notFinite } from './kernels/sample-choice.ts';

export interface ScheduleShape {
  slots: number;
  /** Most prompt tokens in one round. */
  promptRows: number;
  /** Most decode steps in one round. */
  steps: number;
}

export interface Round {
  copies: CacheCopy[];
  /** Prompt tokens by row. */
  prompt: { slot: number; position: number; id: number }[];
  /** Sequences whose prompt ends in this round; `row` is that of its last token. */
  opened: { slot: number; row: number; position: number }[];
  /** Slots of the decode steps' rows. */
  decode: number[];
  steps: number;
  /** Most positions that a row of the decode steps attends to. */
  longest: number;
  /** [steps + 1, slots]: uniform numbers; those for the first token after a prompt come first. */
  uniforms: Float32Array;
}

interface Sequence {
  index: number;
  slot: number;
  promptIds: readonly number[];
  random: RandomStream;
  /** Prompt tokens that rounds up to now put into the cache. */
  cached: number;
  /** Waits for its place in the cache of another sequence's prompt that is still being computed. */
  source: Sequence | null;
  isPlaced: boolean;
  /** Tokens that rounds up to now draw. */
  planned: number;
  tokenIds: number[];
  logprobs: number[] | null;
  isOver: boolean;
}

/** Shorter common beginnings are computed again. */
const leastShared = 8;

interface Expected {
  sequence: Sequence;
  /** Number of the first step that draws a token of it, 0 after a prompt. */
  first: number;
  steps: number;
}

export class Schedule {
  /** Tokens generated so far. */
  generatedTokens = 0;
  private readonly shape: ScheduleShape;
  private readonly settings: SamplingSettings;
  private readonly endTokens: ReadonlySet<number>;
  private readonly claim: (most: number) => ClaimedRequest[];
  private readonly isDropped: (index: number) => boolean;
  private readonly freeSlots: Set<number>;
  /** By slot: the prompt whose first `known` tokens lie in its cache once the rounds planned so far are done. */
  private readonly held: { ids: readonly number[]; known: number }[];
  private sequences: Sequence[] = [];
  private readonly expected: Expected[][] = [];
  private exhausted = false;

  /** @param claim hands out up to `most` requests, one at least until none is left */
  constructor(
    shape: ScheduleShape,
    settings: SamplingSettings,
    endTokens: ReadonlySet<number>,
    claim: (most: number) => ClaimedRequest[],
    isDropped: (index: number) => boolean,
  ) {
    this.shape = shape;
    this.settings = settings;
    this.endTokens = endTokens;
    this.claim = claim;
    this.isDropped = isDropped;
    this.freeSlots = new Set(Array.from({ length: shape.slots }, (_, slot) => slot));
    this.held = Array.from({ length: shape.slots }, () => ({ ids: [], known: 0 }));
  }

  /** The next round; null while there is nothing to compute before an outcome is known, or at all. */
  plan(): Round | null {
    const { slots, steps } = this.shape;
    const round: Round = {
      copies: [],
      prompt: [],
      opened: [],
      decode: [],
      steps: 0,
      longest: 0,
      uniforms: new Float32Array((steps + 1) * slots),
    };
    this.giveUpDropped();
    this.admit();
    for (const sequence of this.sequences) this.place(sequence, round);
    const expected: Expected[] = [];
    for (const sequence of this.sequences) this.planPrompt(sequence, round, expected);
    this.planSteps(round, expected);
    for (const { slot, promptIds, cached, isPlaced } of this.sequences) if (isPlaced) this.held[slot] = { ids: promptIds, known: cached };
    if (round.prompt.length === 0 && round.decode.length === 0) return null;
    this.expected.push(expected);
    return round;
  }

  /**
   * Takes the outcomes of the earliest round not yet accepted, [steps + 1, slots] of (token, bits of the log-probability); returns the
   * sequences that ended. @throws RoundoffError `numeric`
   */
  accept(outcomes: Uint32Array): FinishedSequence[] {
    const bits = new Float32Array(outcomes.buffer, outcomes.byteOffset, outcomes.length);
    const ended: FinishedSequence[] = [];
    for (const { sequence, first, steps } of this.expected.shift()!) {
      for (let step = first; step < first + steps && !sequence.isOver; step++) {
        const at = 2 * (step * this.shape.slots + sequence.slot);
        this.extend(sequence, outcomes[at]!, bits[at + 1]!, ended);
      }
    }
    this.sequences = this.sequences.filter(({ isOver }) => !isOver);
    return ended;
  }

  private extend(sequence: Sequence, token: number, logprob: number, ended: FinishedSequence[]): void {
    if (token === notFinite) {
      throw new RoundoffError(
        'numeric',
        'The model produced logits that are not finite numbers.',
        'Check the weights (`model inspect`); a quantization at a very low width can overflow.',
      );
    }
    const { index, tokenIds, logprobs, slot } = sequence;
    tokenIds.push(token);
    logprobs?.push(logprob);
    this.generatedTokens++;
    const finishReason = this.endTokens.has(token) ? 'stop' : tokenIds.length >= this.settings.maxNewTokens ? 'length' : null;
    if (!finishReason) return;
    sequence.isOver = true;
    this.freeSlots.add(slot);
    ended.push({ index, tokenIds, finishReason, logprobs });
  }

  private giveUpDropped(): void {
    for (const sequence of this.sequences) {
      if (!this.isDropped(sequence.index)) continue;
      sequence.isOver = true;
      this.freeSlots.add(sequence.slot);
    }
    this.sequences = this.sequences.filter(({ isOver }) => !isOver);
  }

  private admit(): void {
    while (!this.exhausted && this.freeSlots.size > 0) {
      const claimed = this.claim(this.freeSlots.size);
      this.exhausted = claimed.length === 0;
      for (const request of claimed) if (!this.isDropped(request.index)) this.sequences.push(this.open(request));
    }
  }

  /** Into the free slot that already holds most of the prompt. */
  private open({ index, request: { promptIds, seed, stream } }: ClaimedRequest): Sequence {
    let slot = -1;
    for (const free of this.freeSlots) if (slot < 0 || this.shared(free, promptIds) > this.shared(slot, promptIds)) slot = free;
    this.freeSlots.delete(slot);
    const sequence: Sequence = {
      ...{ index, slot, promptIds, random: new RandomStream(seed, stream), cached: 0, isPlaced: false, planned: 0 },
      ...{ tokenIds: [], logprobs: this.settings.logprobs ? [] : null, isOver: false },
      source: null,
    };
    sequence.source = this.awaited(sequence);
    return sequence;
  }

  /** A sequence whose prompt is being computed and has much more in common with this one than any cache. */
  private awaited({ promptIds }: Sequence): Sequence | null {
    const least = leastShared + Math.max(...this.held.map((_, slot) => this.shared(slot, promptIds)));
    const common = (other: Sequence) => commonLength(promptIds, other.promptIds, other.promptIds.length);
    const candidates = this.sequences.filter((other) => other.source === null && other.planned === 0 && common(other) >= least);
    return candidates.sort((a, b) => common(b) - common(a))[0] ?? null;
  }

  /** Takes what caches hold of a new sequence's prompt, once nothing longer is to be expected. */
  private place(sequence: Sequence, round: Round): void {
    if (sequence.isPlaced) return;
    const { source, slot, promptIds } = sequence;
    if (source && !source.isOver && source.planned === 0) return;
    sequence.source = null;
    sequence.isPlaced = true;
    const own = this.shared(slot, promptIds);
    let from = slot;
    for (let other = 0; other < this.held.length; other++) {
      if (this.shared(other, promptIds) > this.shared(from, promptIds)) from = other;
    }
    const found = this.shared(from, promptIds);
    // A slot that others copy from in this round is not copied to.
    const isFree = !round.copies.some((copy) => copy.from === slot || copy.to === from);
    if (from !== slot && found >= own + leastShared && isFree) {
      round.copies.push({ from, to: slot, positions: found });
      sequence.cached = found;
    } else sequence.cached = own;
    // Until the round is planned, its cache is nobody's source.
    this.held[slot] = { ids: [], known: 0 };
  }

  private planPrompt(sequence: Sequence, round: Round, expected: Expected[]): void {
    const { slot, promptIds, cached, planned, isPlaced } = sequence;
    if (!isPlaced || planned > 0) return;
    const count = Math.min(promptIds.length - cached, this.shape.promptRows - round.prompt.length);
    for (let position = cached; position < cached + count; position++) round.prompt.push({ slot, position, id: promptIds[position]! });
    sequence.cached += count;
    if (count === 0 || sequence.cached < promptIds.length) return;
    round.opened.push({ slot, row: round.prompt.length - 1, position: promptIds.length });
    round.uniforms[slot] = uniformOf(sequence);
    sequence.planned = 1;
    expected.push({ sequence, first: 0, steps: 1 });
  }

  private planSteps(round: Round, expected: Expected[]): void {
    const { maxNewTokens } = this.settings;
    const running = this.sequences.filter(({ planned }) => planned > 0 && planned < maxNewTokens);
    const most = running.reduce((steps, { planned }) => Math.max(steps, maxNewTokens - planned), 0);
    round.steps = Math.min(this.shape.steps, most);
    for (const sequence of running) {
      const { slot, promptIds } = sequence;
      const steps = Math.min(round.steps, maxNewTokens - sequence.planned);
      round.decode.push(slot);
      for (let step = 1; step <= steps; step++) {
        round.uniforms[step * this.shape.slots + slot] = uniformOf(sequence);
        sequence.planned++;
      }
      expected.push({ sequence, first: 1, steps });
      round.longest = Math.max(round.longest, promptIds.length + sequence.planned - 1);
    }
  }

  /** Tokens of the prompt, but its last, that a slot's cache holds. */
  private shared(slot: number, promptIds: readonly number[]): number {
    const { ids, known } = this.held[slot]!;
    return commonLength(promptIds, ids, known);
  }
}

/** The number for the next token to be planned. */
function uniformOf({ random, planned }: Sequence): number {
  return random.uniformAt(planned);
}

/** Leaves at least the last token of the first. */
function commonLength(promptIds: readonly number[], ids: readonly number[], known: number): number {
  const most = Math.min(promptIds.length - 1, known);
  let length = 0;
  while (length < most && promptIds[length] === ids[length]) length++;
  return length;
}
