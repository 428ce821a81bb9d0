/** A project with one study of two runs, as they are right after they were queued; for tests of what happens to runs. */
import type { Recipe, StudySpec } from '#contract/recipe.ts';
import { stageTitle, studySpecSchema } from '#contract/recipe.ts';
import type { RunEvent, RunEventBody, SampleResult } from '#contract/worker.ts';
import { createProject, type Project } from '../../src-main/project/project.ts';
import { saveModel } from '../../src-main/project/repositories/models.ts';
import { saveRecipe } from '../../src-main/project/repositories/recipes.ts';
import { insertRun } from '../../src-main/project/repositories/runs.ts';
import { insertStage } from '../../src-main/project/repositories/stages.ts';
import { insertStudy } from '../../src-main/project/repositories/studies.ts';
import { expandStudy } from '../../src-main/runs/expand-study.ts';

export const exampleSpec: StudySpec = studySpecSchema.parse({
  name: 'Example',
  models: ['/models/tiny'],
  variants: [
    {
      name: 'RTN W4',
      stages: [{ type: 'quantize', method: 'rtn', scheme: { bits: 4, symmetric: false, strategy: 'channel', groupSize: null } }],
    },
  ],
  benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
  protocol: {
    temperature: 0,
    topP: 1,
    topK: 0,
    maxNewTokens: 8,
    seeds: [42],
    systemPrompt: null,
    promptTemplate: '{question}',
    verifier: 'maths-1',
    problemsPerBenchmark: 2,
  },
});

export function recordedProject(file: string): { project: Project; studyId: number; runIds: string[] } {
  const project = createProject(file);
  const { db } = project;
  const studyId = insertStudy(db, { spec: exampleSpec, specHash: 's', protocolHash: 'p', environment: {} });
  const modelId = saveModel(db, { path: '/models/tiny', name: 'tiny', architecture: 'qwen3', parameters: 1, sizeBytes: 1, hash: 'h' });
  const runIds = expandStudy(exampleSpec).map((run, position) => {
    const id = `s${studyId}r${position + 1}`;
    const { name, isBaseline, seed } = run;
    insertRun(db, { id, studyId, position, name, isBaseline, modelId, recipeId: saveRecipe(db, run.recipe), seed, backend: 'wasm' });
    insertStages(project, id, run.recipe);
    return id;
  });
  return { project, studyId, runIds };
}

function insertStages({ db }: Project, runId: string, recipe: Recipe): void {
  for (const [stage, definition] of recipe.stages.entries())
    insertStage(db, runId, { stage, type: definition.type, title: stageTitle(definition) });
}

export function eventsFrom(runId: string, firstSeq: number, bodies: readonly RunEventBody[]): RunEvent[] {
  return bodies.map((body, index) => ({ ...body, runId, seq: firstSeq + index, at: 1000 + firstSeq + index }));
}

export function exampleSample(problemId: string, change: Partial<SampleResult> = {}): SampleResult {
  return {
    benchmark: 'sums',
    seed: 42,
    problemId,
    prompt: `question ${problemId}`,
    completion: '\\boxed{4}',
    gold: '4',
    extracted: '4',
    verdict: 'correct',
    detail: null,
    completionTokens: 5,
    finishReason: 'stop',
    ...change,
  };
}
