/**
 * The comparison of a study's runs, as the table, the charts, the command line and every report format show it.
 */

import type { ProblemKind } from './benchmarks.ts';
import type { FailureBreakdown } from './failures.ts';
import type { EvaluationProtocol } from './protocol.ts';
import { methodTitle, type SchemeOverride } from './recipe.ts';
import type { RunStatus } from './records.ts';
import type { CalibrationRecord, Verdict } from './worker.ts';

/** An estimate with its 95 % interval. All accuracies are shares in [0, 1]. */
export interface Interval {
  value: number;
  low: number;
  high: number;
}

export type PairedVerdict = 'better' | 'worse' | 'not distinguishable';

/** Same problems and same seeds as the baseline. */
export interface PairedDifference extends Interval {
  verdict: PairedVerdict;
  /** Samples right here and wrong in the baseline, and the other way round. */
  gained: number;
  lost: number;
}

/** Whether a difference could be chance, by flipping the signs of whole problems. */
export interface SignificanceTest {
  /** Two-sided. */
  pValue: number;
  /** Counts half of what is exactly as extreme. */
  midP: number;
  /** False where the normal approximation was used. */
  exact: boolean;
}

/** On one benchmark, with what supports or contradicts its interval. */
export interface BenchmarkDifference extends PairedDifference {
  /** McNemar's test, over whole problems. */
  test: SignificanceTest;
  /** Limits of the paired bootstrap over problems; null when all problems differ alike. */
  bootstrap: { low: number; high: number } | null;
  /** Mean square of the problems' differences about their mean: how much the two disagree. What differences can be seen depends on it. */
  disagreement: number;
}

/** The test of an average drop, alone and among all runs that are compared with the same baseline. */
export interface AdjustedTest extends SignificanceTest {
  /** The p-value after Holm's correction. */
  holm: number;
  /** Comparisons that were corrected for. */
  comparisons: number;
}

/** The chance that at least one of `k` completions of a problem is right. */
export interface PassAtK extends Interval {
  k: number;
}

export interface BenchmarkResult {
  benchmark: string;
  accuracy: Interval;
  /** Problems, and seeds per problem. */
  problems: number;
  seeds: number[];
  /** With as many completions as every problem has; null with one, where it is the accuracy. */
  passAtK: PassAtK | null;
  verdicts: Record<Verdict, number>;
  meanTokens: number;
  versusBaseline: BenchmarkDifference | null;
  failures: FailureBreakdown;
}

/** How well a model predicts a text: lower is better. */
export interface PerplexityResult {
  text: string;
  /** exp of `nats`, the mean negative log-probability per scored token. */
  perplexity: number;
  nats: number;
  tokens: number;
  windows: number;
  /** False while windows are missing. */
  complete: boolean;
  /** This perplexity ÷ the baseline's on the same windows, with its 95 % interval where there are several. */
  change: { ratio: number; low: number | null; high: number | null; verdict: PairedVerdict | null } | null;
}

export interface ComparisonRow {
  runId: string;
  name: string;
  isBaseline: boolean;
  status: RunStatus;
  model: string;
  modelId: number;
  seed: number;
  /** Quantization and training in order, as `gptq → KD QAT → GRPO QAT`; `none` for the baseline. */
  method: string;
  /** Of the model that was evaluated; `none` for a float model. */
  scheme: string;
  /** Mixed precision: modules with a scheme of their own. */
  overrides: SchemeOverride[];
  /** What the last quantization was calibrated on; null without calibration. */
  calibration: CalibrationRecord | null;
  /** What was learnt, stage by stage; empty without training. */
  training: TrainingRecord[];
  /** Null for the baseline, and for what no export holds as it was measured. */
  loadsIn: LoadsIn | null;
  sizeBytes: number | null;
  bitsPerWeight: number | null;
  benchmarks: BenchmarkResult[];
  /** Of texts; they have no part in the average. */
  perplexities: PerplexityResult[];
  /** Hash of the protocol it was measured by, when that is not the study's: then it is not paired with runs of the study's. */
  otherProtocol: string | null;
  /** Plain mean over benchmarks; null until every benchmark is complete. */
  average: Interval | null;
  /** Baseline average minus this average, in accuracy, paired. Null for the baseline or while incomplete. */
  drop: PairedDifference | null;
  /** Whether the drop could be chance. Null where `drop` is. */
  dropTest: AdjustedTest | null;
  /** This average ÷ the baseline's. */
  recovery: number | null;
  elapsedMs: number | null;
  /** The most that any of its stages used: resident memory of the process, and GPU buffers. Null where none was recorded. */
  peakMemoryBytes: number | null;
  peakGpuMemoryBytes: number | null;
  backend: string | null;
  device: string | null;
  notes: string[];
}

/** One train stage, as planned and, once it has finished, as done. */
export interface TrainingRecord {
  /** `KD QAT`. */
  title: string;
  /** What the data is about, as the recipe says or the file is named. */
  domain: string;
  path: string;
  steps: number;
  /** Examples or problems learnt from; null until the stage has finished. */
  examples: number | null;
}

/** Other runtimes that compute the variant as it was measured. Empty when only Roundoff does. */
export interface LoadsIn {
  runtimes: string[];
  /** True when the run wrote files for them; else its scheme could be exported to them. */
  exported: boolean;
}

export interface LineageNode {
  runId: string;
  name: string;
  parentRunId: string | null;
  stages: { title: string; summary: string }[];
  artifacts: { kind: string; path: string; sha256: string; sizeBytes: number }[];
}

export interface StudyComparison {
  studyId: number;
  name: string;
  description: string;
  protocol: EvaluationProtocol;
  protocolHash: string;
  /** `kind` is absent for written answers; `floor` is what always giving the same letter scores, where answers are letters. */
  benchmarks: { name: string; path: string; sha256: string; problems: number; kind?: ProblemKind; floor?: number }[];
  /** Texts whose perplexity is measured. */
  texts: { name: string; path: string; sha256: string }[];
  models: { name: string; path: string; hash: string; parameters: number; sizeBytes: number }[];
  rows: ComparisonRow[];
  lineage: LineageNode[];
  /** Computing time of all runs in milliseconds; a stage that runs share counts once. */
  elapsedMs: number;
  /** True when every run has finished. */
  complete: boolean;
  environment: Record<string, string>;
  createdAt: number;
}

type NamedVariant = { name: string; method: string; scheme: string };

/** Names of methods are in small letters; what training is called has capitals. */
const isTraining = (part: string) => part !== part.toLowerCase();
const partsOf = (method: string) => method.split(/( \+ | → )/);

/** `gptq` → `GPTQ`, `gptq → KD QAT` → `GPTQ → KD QAT`; the baseline, which has no method, is `Baseline`. */
export function methodsTitle(method: string): string {
  return method === 'none' ? 'Baseline' : partsOf(method).map(partTitle).join('');
}

function partTitle(part: string, index: number): string {
  return index % 2 === 1 || isTraining(part) ? part : methodTitle(part);
}

export function isTrained(method: string): boolean {
  return partsOf(method).some((part, index) => index % 2 === 0 && isTraining(part));
}

/** The quantization method among the parts, the last of several; `none` for float models and for weights that training alone quantizes. */
export function quantizerOf(method: string): string {
  return partsOf(method).findLast((part, index) => index % 2 === 0 && !isTraining(part)) ?? 'none';
}

/** Method and scheme as one writes them: `GPTQ W3G128`, `GPTQ W3G128 → KD QAT`; NF4 and INT8 are both in one word. */
export function plainTitle({ method, scheme }: { method: string; scheme: string }): string {
  if (scheme === 'none' || method === 'none') return scheme === 'none' ? methodsTitle(method) : `${methodsTitle(method)} ${scheme}`;
  const parts = partsOf(method).map(partTitle);
  const quantizer = partsOf(method).findLastIndex((part, index) => index % 2 === 0 && !isTraining(part));
  const trained = parts.findIndex((part) => part.endsWith(' QAT'));
  const at = quantizer >= 0 ? quantizer : trained >= 0 ? trained : parts.length - 1;
  const title = parts[at]!;
  return parts.with(at, scheme.startsWith(title) ? scheme : `${title} ${scheme}`).join('');
}

/**
 * What a run's name says beyond its method and scheme: `general text` of `GPTQ W3G128, general text`, '' for a plain name, and the
 * whole name when it begins with something else.
 */
export function nameAddition({ name, method, scheme }: NamedVariant): string {
  const plain = plainTitle({ method, scheme });
  const rest = name.slice(plain.length);
  if (!name.toLowerCase().startsWith(plain.toLowerCase()) || /^[\p{L}\p{N}]/u.test(rest)) return name;
  return rest.replace(/^[\s,;:–·-]+/, '');
}

/** The series of a run in charts: runs of one method, apart from those whose names add the same to it. */
export function seriesName(variant: NamedVariant): string {
  const addition = nameAddition(variant);
  const label = methodsTitle(variant.method);
  return addition === '' || addition === variant.name ? label : `${label}, ${addition}`;
}
