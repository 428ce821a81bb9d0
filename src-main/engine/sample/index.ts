/** Abacus, the bundled sample: problem generators, tokenizer, architecture and data files. */
export { abacusConfig, abacusFiles, type SampleModelName, sampleModels } from './abacus.ts';
export { drawGeneralText } from './general-text.ts';
export { completionOf, drawDistinctProblems, drawProblem, taskByName, tasks } from './problems.ts';
export { abacusPhases, type TrainingPhase, trainingDataOf } from './recipe.ts';
export { sampleDataFiles } from './sample-files.ts';
export { type Split, splitOf } from './splits.ts';
export { tokenizerConfig, tokenizerJson } from './tokenizer-files.ts';
export type { IntegerSource, TaskDefinition, TaskName, WorkedProblem } from './types.ts';
