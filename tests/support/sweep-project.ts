/**
 * A project whose only study is a finished sweep over every method, with simulated answers: what the comparison looks like when it is wide.
 * Filled through the repositories, as runs fill it.
 */
import { runtimesOf } from '#contract/loads-in.ts';
import { calibrationOf, type QuantizeStage, type StudySpec, stageTitle, studySpecSchema } from '#contract/recipe.ts';
import type { RunEventBody } from '#contract/worker.ts';
import { createProject, type Project } from '../../src-main/project/project.ts';
import { saveDataset } from '../../src-main/project/repositories/datasets.ts';
import { insertEvaluation } from '../../src-main/project/repositories/evaluations.ts';
import { saveModel } from '../../src-main/project/repositories/models.ts';
import { saveRecipe } from '../../src-main/project/repositories/recipes.ts';
import { insertRun } from '../../src-main/project/repositories/runs.ts';
import { insertStage } from '../../src-main/project/repositories/stages.ts';
import { insertStudy } from '../../src-main/project/repositories/studies.ts';
import type { ComparisonInput } from '../../src-main/reports/index.ts';
import { expandStudy } from '../../src-main/runs/expand-study.ts';
import { RunRecorder } from '../../src-main/runs/recorder.ts';
import { eventsFrom, exampleSample } from './recorded-project.ts';

/** Records `study` (its runs, answers and summaries) under a new project at `file`. */
export function sweepProject(file: string, study: ComparisonInput): { project: Project; studyId: number } {
  const project = createProject(file);
  const { db } = project;
  const spec = specOf(study);
  const studyId = insertStudy(db, { spec, specHash: 's', protocolHash: study.study.protocolHash, environment: { ...study.environment } });
  const { path, name, parameters, sizeBytes, hash } = study.models[0]!;
  const modelId = saveModel(db, { path, name, architecture: 'qwen3', parameters, sizeBytes, hash });
  const datasets = study.benchmarks.map((item) =>
    saveDataset(db, { kind: 'benchmark', name: item.name, path: item.path, sha256: item.sha256, rows: item.problems, sizeBytes: 1 }),
  );
  const samples = Map.groupBy(study.samples, ([runId]) => runId);
  for (const [position, run] of expandStudy(spec).entries()) {
    const id = `s${studyId}r${position + 1}`;
    insertRun(db, { id, studyId, position, ...run, modelId, recipeId: saveRecipe(db, run.recipe), backend: 'wasm' });
    for (const [stage, definition] of run.recipe.stages.entries()) {
      insertStage(db, id, { stage, type: definition.type, title: stageTitle(definition) });
      if (definition.type !== 'evaluate') continue;
      for (const [index, item] of study.benchmarks.entries()) {
        const evaluation = { stage, position: index, benchmark: item.name, datasetId: datasets[index]!, problems: item.problems };
        insertEvaluation(db, id, { ...evaluation, kind: 'maths', protocolHash: study.study.protocolHash });
      }
    }
    const source = study.runs[position]!;
    const last = run.recipe.stages.length - 1;
    const answers = (samples.get(source.id) ?? []).map(
      ([, benchmark, seed, problemId, verdict, completionTokens, finishReason, thinkingEnded, extracted]): RunEventBody => ({
        type: 'sample',
        stage: last,
        sample: exampleSample(problemId, {
          ...{ benchmark, seed, verdict, completionTokens, finishReason, extracted },
          completion: completionOf(thinkingEnded === 1, extracted),
        }),
      }),
    );
    new RunRecorder(db, id, () => undefined).record(
      eventsFrom(id, 1, [...stageEvents(run.recipe.stages, source), ...answers, { type: 'finished' }]),
    );
  }
  return { project, studyId };
}

function completionOf(thinkingEnded: boolean, answer: string | null): string {
  const thinking = '<think>Let me add the two numbers.\nFirst the ones, then the tens.';
  return `${thinking}${thinkingEnded ? '\n</think>' : ''}${answer === null ? '' : `\nThe answer is \\boxed{${answer}}.`}`;
}

function specOf(study: ComparisonInput): StudySpec {
  return studySpecSchema.parse({
    name: study.study.name,
    description: study.study.description,
    models: study.models.map((model) => model.path),
    variants: study.runs.filter((run) => !run.isBaseline).map((run) => ({ name: run.name, stages: run.recipe.stages })),
    benchmarks: study.benchmarks.map(({ name, path }) => ({ name, path })),
    protocol: study.study.protocol,
  });
}

function stageEvents(
  stages: StudySpec['variants'][number]['stages'] | readonly { type: string }[],
  run: ComparisonInput['runs'][number],
): RunEventBody[] {
  const started: RunEventBody = {
    type: 'started',
    backend: 'wasm',
    device: 'Example CPU, 2 threads',
    skippedBackends: [],
    versions: {},
    modelHash: 'c',
    modelBytes: 1,
  };
  const quantize = stages.find((stage) => stage.type === 'quantize') as QuantizeStage | undefined;
  const events = stages.flatMap((stage, index): RunEventBody[] => {
    const summary = run.stages[0]?.summary;
    if (stage.type === 'quantize' && summary?.type === 'quantize')
      return [{ type: 'stage-finished', stage: index, elapsedMs: 18_400, summary: { ...summary, ...recordOf(quantize!) } }];
    if (stage.type === 'export') {
      const format = (stage as { format: string }).format;
      const loadsIn = runtimesOf(quantize!).flatMap(({ name, formats }) => ((formats as string[]).includes(format) ? [name] : []));
      const smokeLoad = { tokens: 64, largestDifference: 0.0031, allowedDifference: 0.02 };
      return [
        {
          type: 'stage-finished',
          stage: index,
          elapsedMs: 900,
          summary: { type: 'export', format, path: format, sizeBytes: 620_000, loadsIn, smokeLoad },
        },
      ];
    }
    return [
      {
        type: 'stage-finished',
        stage: index,
        elapsedMs: 92_000,
        summary: { type: 'evaluate', protocolHash: 'a', samples: 900, tokensPerSecond: 5200 },
      },
    ];
  });
  return [started, ...events];
}

function recordOf(stage: QuantizeStage) {
  const memory = { peakMemoryBytes: 412_000_000, estimatedMemoryBytes: 455_000_000 };
  const settings = calibrationOf(stage);
  if (!settings) return memory;
  const { path, samples, sequenceLength, seed } = settings;
  return { ...memory, calibration: { path, domain: 'maths', source: 'text' as const, samples, sequenceLength, seed } };
}
