/** Writes a study with its frozen recipes, runs, stages and evaluations in one transaction. */
import { benchmarkKey } from '#contract/benchmarks.ts';
import { stageTitle } from '#contract/recipe.ts';
import type { DatasetInspection, DatasetKind, ModelInspection } from '#contract/records.ts';
import { type Connection, sqliteError } from '../project/connection.ts';
import { linkDataset, saveDataset } from '../project/repositories/datasets.ts';
import { insertEvaluation } from '../project/repositories/evaluations.ts';
import { saveModel } from '../project/repositories/models.ts';
import { saveRecipe } from '../project/repositories/recipes.ts';
import { insertRun } from '../project/repositories/runs.ts';
import { insertStage } from '../project/repositories/stages.ts';
import { insertStudy, type NewStudy } from '../project/repositories/studies.ts';
import type { PlannedRun } from './expand-study.ts';
import type { PreparedStudy } from './plan-study.ts';

/** The id of the new study. Run ids are `s<study>r<number>`. */
export function insertStudyWithRuns(db: Connection, { runs, inputs }: PreparedStudy, study: NewStudy): number {
  const insert = db.transaction(() => {
    const studyId = insertStudy(db, study);
    const modelIds = new Map(
      [...inputs.models].map(([path, inspection]) => [path, saveModel(db, { ...inspection, path, sizeBytes: weightBytes(inspection) })]),
    );
    const datasetIds = new Map(
      study.spec.benchmarks.map((reference) => {
        const key = benchmarkKey(reference);
        return [key, saveDatasetOf(db, 'benchmark', reference.path, inputs.benchmarks.get(key)!)];
      }),
    );
    const others = [
      ...[...inputs.calibrations].map(([path, inspection]) => saveDatasetOf(db, 'calibration', path, inspection)),
      ...[...inputs.trainings].map(([path, inspection]) => saveDatasetOf(db, 'training', path, inspection)),
    ];
    for (const id of [...datasetIds.values(), ...others]) linkDataset(db, studyId, id);
    for (const [position, run] of runs.entries()) {
      const id = `s${studyId}r${position + 1}`;
      const { name, isBaseline, seed, recipe } = run;
      const recipeId = saveRecipe(db, recipe);
      const backend = study.spec.backend;
      insertRun(db, { id, studyId, position, name, isBaseline, modelId: modelIds.get(run.model)!, recipeId, seed, backend });
      insertStages(db, id, run, { datasetIds, inputs, protocolHash: study.protocolHash });
    }
    return studyId;
  });
  try {
    return insert();
  } catch (error) {
    throw sqliteError(db.name, error);
  }
}

interface StageContext {
  datasetIds: Map<string, number>;
  inputs: PreparedStudy['inputs'];
  protocolHash: string;
}

function insertStages(db: Connection, runId: string, run: PlannedRun, { datasetIds, inputs, protocolHash }: StageContext): void {
  for (const [stage, definition] of run.recipe.stages.entries()) {
    insertStage(db, runId, { stage, type: definition.type, title: stageTitle(definition) });
    if (definition.type !== 'evaluate') continue;
    const limit = definition.protocol.problemsPerBenchmark ?? Number.POSITIVE_INFINITY;
    for (const [position, reference] of definition.benchmarks.entries()) {
      const key = benchmarkKey(reference);
      const inspection = inputs.benchmarks.get(key)!;
      const kind = inspection.benchmark!.problemKind;
      const problems = Math.min(limit, inspection.rows);
      insertEvaluation(db, runId, {
        stage,
        position,
        benchmark: reference.name,
        datasetId: datasetIds.get(key)!,
        protocolHash,
        problems,
        kind,
      });
    }
  }
}

function saveDatasetOf(db: Connection, kind: DatasetKind, path: string, inspection: DatasetInspection): number {
  const { name, sha256, rows, sizeBytes } = inspection;
  return saveDataset(db, { kind, name, path, sha256, rows, sizeBytes });
}

/** Weights alone, as the sizes of quantized checkpoints are counted. */
function weightBytes(inspection: ModelInspection): number {
  return inspection.files.filter(({ name }) => name.endsWith('.safetensors')).reduce((sum, file) => sum + file.sizeBytes, 0);
}
