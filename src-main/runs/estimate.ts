/**
 * How long a study takes, from what earlier runs in the project measured on the same backend; without any, from a short calculation on this
 * machine's processor, which says no more than the order of magnitude, and of a GPU not even that.
 */
import type { ModelInspection } from '#contract/records.ts';
import type { TrainStage } from '#contract/training.ts';
import { trainingTitle } from '#contract/training-chain.ts';
import type { BackendName, EvaluateSummary, TrainSummary } from '#contract/worker.ts';
import { allRows, type Connection } from '../project/connection.ts';
import { meanCompletionTokens } from '../project/repositories/samples.ts';

export interface TimeEstimate {
  elapsedMs: number;
  basis: string;
}

interface FinishedEvaluation {
  summary: string;
}

/** Batched decoding on the embedded backend reaches about this many times the plain loop measured below. */
const engineSpeedup = 8;
/** Training's large products reach about this many times that loop. */
const trainingSpeedup = 24;
/** Share of the token limit that completions use when nothing is known. */
const assumedShareOfLimit = 0.35;
const measureMs = 30;

/** Where rates come from, and what they are to hold for. */
export interface Measurements {
  db: Connection;
  /** Null where none works. */
  backend: BackendName | null;
}

/** Time for `completions` completions with `model`. */
export function estimateTime(measured: Measurements, model: ModelInspection, completions: number, maxNewTokens: number): TimeEstimate {
  const { db, backend } = measured;
  const rate = measuredRate(measured, model.hash);
  const tokens = meanCompletionTokens(db, model.hash);
  const tokensPerCompletion = tokens ?? maxNewTokens * assumedShareOfLimit;
  const total = completions * tokensPerCompletion;
  if (rate !== null)
    return {
      elapsedMs: (total / rate) * 1000,
      basis: `earlier runs of this model on ${backend}: ${Math.round(rate)} tokens/s, ${Math.round(tokensPerCompletion)} tokens per completion`,
    };
  const flops = plainLoopFlops();
  const isProcessor = backend === null || backend === 'wasm';
  const doubt = isProcessor ? '' : `, which says little about ${backend}: a trial measures it`;
  return {
    elapsedMs: ((total * 2 * model.parameters) / (flops * engineSpeedup)) * 1000,
    basis: `a rough guess from a calculation of ${measureMs} ms on this machine’s processor and ${Math.round(tokensPerCompletion)} tokens per completion${doubt}; the first finished run replaces it`,
  };
}

/** Time of one train stage, whose examples (prompts, for RL) have `tokens` tokens in the mean. */
export function estimateTrainingTime(measured: Measurements, model: ModelInspection, stage: TrainStage, tokens: number): number {
  const { objective, steps, batchSize, accumulation } = stage;
  const known = measuredTrainingRate(measured, model.hash, trainingTitle(stage));
  if (objective.kind !== 'rl') {
    const learnt = steps * batchSize * accumulation * tokens;
    const passes = 3 + (objective.kind === 'kd' ? 1 : 0) + (stage.activationCheckpointing ? 1 : 0);
    return (1000 * learnt) / (known ?? (plainLoopFlops() * trainingSpeedup) / (2 * passes * model.parameters));
  }
  const sampled = (steps / objective.updatesPerRollout) * objective.promptsPerStep * objective.groupSize;
  const perCompletion = meanCompletionTokens(measured.db, model.hash) ?? objective.maxNewTokens * assumedShareOfLimit;
  const learnt = sampled * objective.updatesPerRollout * (tokens + perCompletion);
  if (known !== null) return (1000 * learnt) / known;
  const generating = estimateTime(measured, model, sampled, objective.maxNewTokens).elapsedMs;
  return generating + (1000 * learnt * 2 * 4 * model.parameters) / (plainLoopFlops() * trainingSpeedup);
}

/** Tokens learnt from per second in this model's finished training of the same kind, whatever else a step does included. */
function measuredTrainingRate({ db, backend }: Measurements, modelHash: string, title: string): number | null {
  const rows = allRows<{ summary: string; elapsedMs: number }>(
    db,
    `SELECT summary, elapsed_ms AS elapsedMs FROM stages JOIN runs ON runs.id = stages.run_id JOIN models ON models.id = runs.model_id
     WHERE models.hash = ? AND runs.backend = ? AND stages.type = 'train' AND stages.status = 'finished' AND elapsed_ms > 0
     ORDER BY runs.finished_at DESC LIMIT 50`,
    modelHash,
    backend,
  );
  const rates = rows
    .map(({ summary, elapsedMs }) => ({ ...(JSON.parse(summary) as TrainSummary), elapsedMs }))
    .filter(({ objective, trains }) => [objective, trains].filter(Boolean).join(' ') === title)
    .map((item) => (1000 * item.tokens) / item.elapsedMs)
    .sort((a, b) => a - b);
  return rates[rates.length >> 1] ?? null;
}

/** Median of the generation rates of this model's finished evaluations, tokens per second. */
function measuredRate({ db, backend }: Measurements, modelHash: string): number | null {
  const rows = allRows<FinishedEvaluation>(
    db,
    `SELECT summary FROM stages JOIN runs ON runs.id = stages.run_id JOIN models ON models.id = runs.model_id
     WHERE models.hash = ? AND runs.backend = ? AND stages.type = 'evaluate' AND stages.status = 'finished'
     ORDER BY runs.finished_at DESC LIMIT 15`,
    modelHash,
    backend,
  );
  const rates = rows
    .map((row) => (JSON.parse(row.summary) as EvaluateSummary).tokensPerSecond)
    .filter((rate) => rate > 0)
    .sort((a, b) => a - b);
  return rates[rates.length >> 1] ?? null;
}

/** Measured once, so that the estimates of one process go together. */
let measuredFlops: number | null = null;

/** Floating-point operations per second of a plain float32 loop: the best of many short rounds, since other programs only slow it down. */
function plainLoopFlops(): number {
  measuredFlops ??= measurePlainLoop();
  return measuredFlops;
}

function measurePlainLoop(): number {
  const a = new Float32Array(4096).fill(1.0001);
  const b = new Float32Array(4096).fill(0.9999);
  const startedAt = performance.now();
  let best = 0;
  let sum = 0;
  while (performance.now() - startedAt < measureMs) {
    const roundAt = performance.now();
    for (let round = 0; round < 50; round++) for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
    best = Math.max(best, (50 * 2 * a.length * 1000) / (performance.now() - roundAt));
  }
  return sum > 0 ? best : Number.NaN;
}
