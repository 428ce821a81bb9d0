/**
 * The beginning of an evaluation, executed to tell how long the whole takes. The real evaluation runs, with its batch, prompts and limits,
 * until what has ended tells the rest (the evaluation's own estimate of it), or, where completions are too long for that, until every slot
 * has decoded for a while: then each is taken to reach the token limit. At last one sequence as long as any may become is decoded.
 */
import { RoundoffError } from '#contract/errors.ts';
import { createGenerator } from '../rollouts/generator.ts';
import { type EvaluationInput, type EvaluationProgress, type EvaluationSize, evaluateModel } from './evaluate.ts';
import { type DecodingMark, extrapolateDecoding } from './extrapolate-decoding.ts';

export interface EvaluationTrial {
  /** Of all completions, after the model is loaded. */
  elapsedMs: number;
  isWhole: boolean;
  /** Null where nothing is generated. */
  tokensPerSecond: number | null;
  /** How long the longest sequence took alone, its prompt included, or why it was not tried. */
  longest: { tokens: number; elapsedMs: number } | { tokens: number; skipped: string } | null;
  basis: string;
}

export interface EvaluationTrialOptions {
  signal?: AbortSignal;
  onProgress?(detail: string): void;
  /** Called when the memory of the evaluation itself is at its peak. */
  onPeak?(): void;
}

/** Enough completions for their lengths' mean, and a while for the rate's. */
const leastMs = 6_000;
const completionsPerSlot = 2;
/** Where hardly any end in this time, lengths are taken from the token limit. */
const patienceMs = 45_000;
/** Tokens that every slot decodes, then. */
const tokensPerSlot = 12;
/** A longest sequence that would take longer is not tried. */
const longestMs = 60_000;
const longestNewTokens = 16;

/** @throws RoundoffError what an evaluation throws, `cancelled` among it */
export async function tryEvaluation(input: EvaluationInput, options: EvaluationTrialOptions = {}): Promise<EvaluationTrial> {
  const watch = new TrialWatch(input.protocol.maxNewTokens, options);
  await tryPart(input, 'generated', watch, options);
  const generated = watch.size?.completions ? watch.predict() : null;
  const scored = watch.size?.scored ? await tryScoring(input, options) : null;
  options.onPeak?.();
  const parts = [generated, scored].filter((part) => part !== null);
  return {
    elapsedMs: parts.reduce((sum, part) => sum + part.elapsedMs, 0),
    isWhole: parts.every(({ isWhole }) => isWhole),
    tokensPerSecond: generated?.tokensPerSecond ?? null,
    basis: parts.map(({ basis }) => basis).join('; '),
    longest: generated ? await tryLongest(input, watch, options.signal) : null,
  };
}

type Part = Pick<EvaluationTrial, 'elapsedMs' | 'isWhole' | 'basis'>;

/** Resolves when the part has ended or the watch has seen enough. */
async function tryPart(
  input: EvaluationInput,
  only: 'generated' | 'scored',
  watch: Watch,
  { signal }: EvaluationTrialOptions,
): Promise<void> {
  try {
    await evaluateModel(input, {
      ...{ only, signal: signal ? AbortSignal.any([signal, watch.signal]) : watch.signal, onSample: () => undefined },
      onPlanned: (size) => watch.begin(size),
      onProgress: (progress) => watch.see(progress),
    });
    watch.end();
  } catch (error) {
    if (signal?.aborted || !(error instanceof RoundoffError && error.code === 'cancelled')) throw error;
  }
}

interface Watch {
  readonly signal: AbortSignal;
  begin(size: EvaluationSize): void;
  see(progress: EvaluationProgress): void;
  end(): void;
}

/** Problems and windows take about the same time each. */
async function tryScoring(input: EvaluationInput, options: EvaluationTrialOptions): Promise<Part> {
  const enough = new AbortController();
  let startedAt = performance.now();
  let first = 0;
  let last = { done: 0, total: 0, elapsedMs: 0 };
  let isWhole = false;
  await tryPart(
    input,
    'scored',
    {
      signal: enough.signal,
      begin: () => {
        startedAt = performance.now();
        first = last.done;
      },
      see: ({ done, total }) => {
        last = { done, total, elapsedMs: performance.now() - startedAt };
        options.onProgress?.(`${done} of ${total} scored`);
        if (last.elapsedMs >= leastMs && done > first) enough.abort();
      },
      end: () => {
        isWhole = true;
      },
    },
    options,
  );
  const scored = last.done - first;
  if (isWhole) return { elapsedMs: last.elapsedMs, isWhole, basis: 'everything was scored that is scored by likelihood' };
  const basis = `${scored} of ${last.total - first} problems and windows of text were scored; the rest is taken to go on like that`;
  return { elapsedMs: (last.elapsedMs * (last.total - first)) / scored, isWhole, basis };
}

class TrialWatch {
  private readonly enough = new AbortController();
  readonly signal = this.enough.signal;
  readonly marks: DecodingMark[] = [];
  size: EvaluationSize | null = null;
  private readonly maxNewTokens: number;
  private readonly options: EvaluationTrialOptions;
  private startedAt = performance.now();
  private last: EvaluationProgress | null = null;
  private wholeMs: number | null = null;

  constructor(maxNewTokens: number, options: EvaluationTrialOptions) {
    this.maxNewTokens = maxNewTokens;
    this.options = options;
  }

  begin(size: EvaluationSize): void {
    this.size = size;
    this.startedAt = performance.now();
  }

  see(progress: EvaluationProgress): void {
    if (!this.size) return;
    const elapsedMs = performance.now() - this.startedAt;
    this.last = progress;
    this.marks.push({ elapsedMs, tokens: progress.generatedTokens });
    this.options.onProgress?.(`${progress.done} completions, ${progress.generatedTokens} tokens`);
    if (this.isEnough(elapsedMs)) this.enough.abort();
  }

  end(): void {
    this.wholeMs = performance.now() - this.startedAt;
  }

  /** Milliseconds that a token of a prompt takes at most: everything until now went into the prompts read. */
  msPerPromptToken(): number {
    const { slots = 1, meanPromptTokens = 1 } = this.size ?? {};
    const first = this.marks.find(({ tokens }) => tokens >= slots) ?? this.marks.at(-1);
    return (first?.elapsedMs ?? 0) / Math.max(1, slots * meanPromptTokens);
  }

  predict(): Omit<EvaluationTrial, 'longest'> {
    const { last, size } = this;
    const elapsedMs = this.marks.at(-1)?.elapsedMs ?? 0;
    const tokensPerSecond = (1000 * (last?.generatedTokens ?? 0)) / Math.max(1, elapsedMs);
    if (this.wholeMs !== null) return { elapsedMs: this.wholeMs, isWhole: true, tokensPerSecond, basis: 'all completions were made' };
    if (last?.remainingMs != null && last.done > 0) {
      const basis = `${last.done} of ${last.total} completions were made; the rest is taken to have their lengths`;
      return { elapsedMs: elapsedMs + last.remainingMs, isWhole: false, tokensPerSecond: last.tokensPerSecond ?? tokensPerSecond, basis };
    }
    const rest = size && extrapolateDecoding(this.marks, { ...size, maxNewTokens: this.maxNewTokens });
    if (!rest) throw new RoundoffError('internal', 'The trial ended before anything could be measured.', 'Try again.');
    const basis = `${last?.generatedTokens ?? 0} tokens of ${size.slots} completions were generated; as none ended, all are taken to reach the limit of ${this.maxNewTokens} tokens`;
    return { ...rest, isWhole: false, basis };
  }

  private isEnough(elapsedMs: number): boolean {
    const { last, size } = this;
    if (!last || !size || elapsedMs < leastMs) return false;
    if (last.remainingMs !== null && last.done >= completionsPerSlot * size.slots) return true;
    if (elapsedMs < patienceMs) return false;
    return last.remainingMs !== null && last.done > 0 ? true : last.generatedTokens >= tokensPerSlot * size.slots;
  }
}

async function tryLongest(
  input: EvaluationInput,
  watch: TrialWatch,
  signal?: AbortSignal,
): Promise<NonNullable<EvaluationTrial['longest']>> {
  const { size } = watch;
  if (!size || size.longestPrompt.length === 0) return { tokens: 0, skipped: 'there is no prompt' };
  const { capacity, longestPrompt } = size;
  const promptTokens = Math.max(1, capacity - longestNewTokens);
  if (promptTokens * watch.msPerPromptToken() > longestMs)
    return { tokens: capacity, skipped: `reading ${promptTokens} tokens would take over ${longestMs / 1000} s` };
  const promptIds = Array.from({ length: promptTokens }, (_, index) => longestPrompt[index % longestPrompt.length]!);
  const generator = createGenerator(input.model, { slots: 1, capacity: promptTokens + longestNewTokens });
  const startedAt = performance.now();
  try {
    const settings = { temperature: 0, topP: 1, topK: 0, maxNewTokens: longestNewTokens, stopTokenIds: [], ignoreEndTokens: true };
    const request = { key: 'longest', promptIds, seed: 0, stream: 'longest' };
    await generator.run([request], settings, { ...(signal ? { signal } : {}), onResult: () => undefined });
  } finally {
    await generator.dispose();
  }
  return { tokens: capacity, elapsedMs: performance.now() - startedAt };
}
