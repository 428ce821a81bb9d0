/** Entry of the child process that times the toy step on tfjs-backend-wasm as published. Prints one line of JSON. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { createToyModel, plainStep } from './toy-model.ts';
import { type StepCounts, timeSteps } from './toy-training-step.ts';

const packagePath = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
setWasmPaths(join(dirname(packagePath), 'dist', '/'));
await tf.setBackend('wasm');
const model = createToyModel();
const timing = await timeSteps(plainStep(model), model.variables, JSON.parse(process.argv[2]!) as StepCounts);
console.log(JSON.stringify(timing));
