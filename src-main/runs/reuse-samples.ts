/**
 * No completion is made twice: what another run of the project sampled from the same weights, for the same problems and seeds, under the
 * same sampling and verdicts, is taken over before a run starts. Weights are the same when model, stages, the files these read, seed,
 * backend and version are.
 */
import { mapStagePaths } from '#contract/choices.ts';
import { type BenchmarkReference, canonicalJson, type EvaluationProtocol } from '#contract/protocol.ts';
import type { EvaluateStage } from '#contract/recipe.ts';
import type { RunRecord } from '#contract/records.ts';
import { loadBenchmark } from '../engine/benchmarks/index.ts';
import { fingerprint } from '../engine/data/fingerprint.ts';
import type { Connection } from '../project/connection.ts';
import { listStudyDatasets } from '../project/repositories/datasets.ts';
import { findModel } from '../project/repositories/models.ts';
import { backendPreference, listRuns } from '../project/repositories/runs.ts';
import { copySamples } from '../project/repositories/samples.ts';
import { readStudyEnvironment } from '../project/repositories/studies.ts';
import { resolvePath } from './resources.ts';

export interface ReusedSamples {
  from: RunRecord;
  samples: number;
}

/**
 * Takes over what there is, in the order of the runs; nothing where a file that the run's stages read is not what it was when the study was
 * made. Throws what reading a benchmark file throws.
 */
export async function reuseSamples(db: Connection, run: RunRecord, resourcesDir: string): Promise<ReusedSamples[]> {
  const own = evaluationOf(db, run);
  if (!own || !(await areUnchanged(own, resourcesDir))) return [];
  const reused: ReusedSamples[] = [];
  for (const from of listRuns(db, null)) {
    const other = from.id !== run.id && from.startedAt !== null ? evaluationOf(db, from) : null;
    if (other?.weights !== own.weights || other.sampling !== own.sampling || !isSameBackend(db, run, from)) continue;
    const selections = await selectShared(own, other, from.id, resourcesDir);
    const samples = db.transaction(() => selections.reduce((sum, each) => sum + copySamples(db, run.id, own.index, each), 0))();
    if (samples > 0) reused.push({ from, samples });
  }
  return reused;
}

interface Evaluation {
  /** Index of the stage. */
  index: number;
  stage: EvaluateStage;
  /** Equal for equal weights. */
  weights: string;
  /** Equal where a completion and its verdict are. */
  sampling: string;
  /** Contents of the study's files by their paths. */
  files: ReadonlyMap<string, string>;
  /** Paths that the stages before it read. */
  read: ReadonlySet<string>;
}

/** Null for a run that evaluates nothing, or whose weights depend on files that were not noted. */
function evaluationOf(db: Connection, run: RunRecord): Evaluation | null {
  const index = run.recipe.stages.findIndex((stage) => stage.type === 'evaluate');
  const stage = run.recipe.stages[index];
  const model = findModel(db, run.modelId);
  if (stage?.type !== 'evaluate' || !model) return null;
  const files = new Map(listStudyDatasets(db, run.studyId).map(({ path, sha256 }) => [path, sha256]));
  const unknown = new Set<string>();
  const read = new Set<string>();
  const contents = (path: string) => {
    read.add(path);
    const sha256 = files.get(path);
    if (sha256 === undefined) unknown.add(path);
    return sha256 ?? path;
  };
  const before = run.recipe.stages.slice(0, index).filter(({ type }) => type !== 'export');
  const stages = before.map((each) => mapStagePaths(each, contents));
  if (unknown.size > 0) return null;
  const { roundoff = null } = readStudyEnvironment(db, run.studyId);
  const seed = stages.length > 0 ? run.seed : null;
  const weights = canonicalJson([model.hash, stages, seed, roundoff]);
  return { index, stage, weights, sampling: samplingOf(stage.protocol), files, read };
}

/** A run that has not started will compute where a run with its preference did. */
function isSameBackend(db: Connection, run: RunRecord, from: RunRecord): boolean {
  const preference = backendPreference(db, run.id);
  return run.backend !== null ? run.backend === from.backend : preference === from.backend || preference === backendPreference(db, from.id);
}

/** Whether the files that make the weights still have their noted contents. */
async function areUnchanged({ files, read }: Evaluation, resourcesDir: string): Promise<boolean> {
  for (const path of read) {
    const now = await fingerprint(resolvePath(path, resourcesDir)).catch(() => null);
    if (now?.sha256 !== files.get(path)) return false;
  }
  return true;
}

/** The protocol without what chooses among completions. */
function samplingOf(protocol: EvaluationProtocol): string {
  const { seeds: _seeds, problemsPerBenchmark: _problems, precision: _precision, ...sampling } = protocol;
  return canonicalJson(sampling);
}

/** The part of another evaluation that is also one of this. */
async function selectShared(own: Evaluation, other: Evaluation, fromRunId: string, resourcesDir: string) {
  const seeds = own.stage.protocol.seeds.filter((seed) => other.stage.protocol.seeds.includes(seed));
  const shared = seeds.length === 0 ? [] : own.stage.benchmarks.filter((each) => other.stage.benchmarks.some((its) => isSame(each, its)));
  const limit = own.stage.protocol.problemsPerBenchmark;
  const isWhole = limit === null || limit >= (other.stage.protocol.problemsPerBenchmark ?? Number.POSITIVE_INFINITY);
  const selections: Parameters<typeof copySamples>[3][] = [];
  for (const reference of shared) {
    const source = { ...reference, path: resolvePath(reference.path, resourcesDir), limit };
    const problemIds = isWhole ? null : (await loadBenchmark(source)).problems.map(({ id }) => id);
    selections.push({ fromRunId, benchmark: reference.name, seeds, problemIds });
  }
  return selections;

  function isSame(one: BenchmarkReference, two: BenchmarkReference): boolean {
    // Files of solved examples are not noted, so they may have been others.
    if (one.examples !== undefined || two.examples !== undefined) return false;
    const [mine, its] = [own.files.get(one.path), other.files.get(two.path)];
    return mine !== undefined && mine === its && canonicalJson({ ...one, path: mine }) === canonicalJson({ ...two, path: its });
  }
}
