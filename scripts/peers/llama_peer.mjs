// Decoding with llama.cpp through node-llama-cpp: `node llama_peer.mjs '{"llamaDir", "gpu", "model", "batch", "promptTokens", "newTokens",
// "repeats"}'`, one JSON object on the last line. Without `model` it answers whether that build works here. Sequences run side by side, as
// the library batches them; sampling at temperature 0.6 and top-p 0.95, end tokens ignored, the prompts' computation included.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { llamaDir, gpu, model: modelPath, batch, promptTokens, newTokens, repeats } = JSON.parse(process.argv[2]);
const library = path.join(llamaDir, 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(library).href);
const llama = await getLlama({ gpu, build: 'never', skipDownload: true, logLevel: 'error' });
if (!modelPath) {
  console.log(JSON.stringify({ gpu: llama.gpu, devices: await llama.getGpuDeviceNames() }));
  process.exit(0);
}
const model = await llama.loadModel({ modelPath, gpuLayers: gpu === false ? 0 : 'max' });
const context = await model.createContext({
  contextSize: promptTokens + newTokens + 8,
  sequences: batch,
  batchSize: Math.max(512, batch),
});
const sequences = Array.from({ length: batch }, () => context.getSequence());
const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;

async function complete(sequence, index) {
  await sequence.clearHistory();
  const prompt = Array.from({ length: promptTokens }, (_, place) => 3 + ((7919 * (index * promptTokens + place)) % (vocabulary - 6)));
  let count = 0;
  for await (const _token of sequence.evaluate(prompt, { temperature: 0.6, topP: 0.95, topK: 0, yieldEogToken: true }))
    if (++count >= newTokens) break;
  return count;
}

let fastest = Number.POSITIVE_INFINITY;
for (let repeat = 0; repeat <= repeats; repeat++) {
  const start = performance.now();
  const counts = await Promise.all(sequences.map(complete));
  if (counts.some((count) => count < newTokens)) throw new Error('a sequence ended early');
  if (repeat > 0) fastest = Math.min(fastest, performance.now() - start);
}
const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ value: (1000 * batch * newTokens) / fastest, unit: 'tokens/s', peakMemoryBytes }));
await llama.dispose();
process.exit(0);
