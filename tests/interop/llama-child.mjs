// Loads a GGUF file with node-llama-cpp and answers prompts: greedy tokens, and the logits after each given token. `node llama-child.mjs DIR`
// reads DIR/request.json and writes DIR/response.json and DIR/logits.f32.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const dir = process.argv[2];
const { llamaDir, model: modelPath, prompts, completions, texts } = JSON.parse(readFileSync(path.join(dir, 'request.json'), 'utf8'));
const library = path.join(llamaDir, 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(library).href);
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const longest = Math.max(...prompts.map((prompt, index) => prompt.length + completions[index].length));
const context = await model.createContext({ contextSize: longest + 8, sequences: 1, batchSize: 64, threads: 1 });
const sequence = context.getSequence();

const greedy = [];
const logits = [];
for (const [index, prompt] of prompts.entries()) {
  await sequence.clearHistory();
  const written = [];
  for (let next = prompt; written.length < completions[index].length; next = [written.at(-1)]) {
    const results = await sequence.controlledEvaluate([
      ...next.slice(0, -1),
      [next.at(-1), { generateNext: { token: true, options: { temperature: 0 } } }],
    ]);
    written.push(results.at(-1).next.token);
  }
  greedy.push(written);
  await sequence.clearHistory();
  const ids = [...prompt, ...completions[index]].slice(0, -1);
  const asked = ids.map((id, position) => (position < prompt.length - 1 ? id : [id, { generateNext: { logits: true } }]));
  for (const result of await sequence.controlledEvaluate(asked)) if (result) logits.push(byToken(result.next.logits));
}
const tokenized = (texts ?? []).map((text) => [...model.tokenize(text, true)]);
const vocabulary = { tokenized, texts: tokenized.map((ids) => model.detokenize(ids, true)) };
writeFileSync(path.join(dir, 'logits.f32'), Buffer.concat(logits.map((values) => Buffer.from(values.buffer))));
writeFileSync(path.join(dir, 'response.json'), JSON.stringify({ completions: greedy, ...vocabulary }));
await llama.dispose();

function byToken(values) {
  const row = new Float32Array(values.size);
  for (const [token, logit] of values) row[token] = logit;
  return row;
}
