import { createHash } from 'node:crypto';
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ModelInspection } from '#contract/records.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { inspectModel } from '../../../../src-main/engine/model/inspect.ts';
import { decoderLinears } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { fixturePath, type GoldenName } from '../../../golden/fixtures.ts';
import { copyOfModel, patchJson, roundLinear, temporaryFolder } from '../model-folder.ts';

/** A golden model with the golden byte-level tokenizer; their vocabularies do not fit unless `vocab` says so. */
async function completeModel(name: GoldenName, tokenizer = true): Promise<string> {
  const dir = await copyOfModel(name);
  if (tokenizer)
    for (const file of ['tokenizer.json', 'tokenizer_config.json'])
      await cp(fixturePath('tokenizers', 'byte-level', file), join(dir, file));
  return dir;
}

function errors(inspection: ModelInspection): string[] {
  return inspection.problems.filter((problem) => problem.severity === 'error').map((problem) => `${problem.where}: ${problem.message}`);
}

describe('inspectModel', () => {
  it('describes a sound model', async () => {
    const dir = await copyOfModel('qwen2-bias');
    const inspection = await inspectModel(dir);
    expect(inspection).toMatchObject({
      path: dir,
      name: 'qwen2-bias',
      architecture: 'qwen2',
      layers: 2,
      hiddenSize: 32,
      intermediateSize: 48,
      attentionHeads: 4,
      keyValueHeads: 2,
      headDim: 8,
      vocabSize: 96,
      contextLength: 256,
      tiedEmbeddings: true,
      dtype: 'F32',
      chatTemplate: false,
    });
    expect(inspection.files.map((file) => file.name)).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
    expect(inspection.memory.map((estimate) => estimate.task)).toEqual([
      'evaluate',
      'quantize-gptq',
      'train',
      'gpu-generate',
      'gpu-train',
      'gpu-qlora',
    ]);
    expect(errors(inspection)).toEqual(['tokenizer.json: the file is missing.']);
  });

  it('hashes names, sizes and contents', async () => {
    const dir = await copyOfModel('qwen3-tied');
    const expected = createHash('sha256');
    for (const name of ['config.json', 'generation_config.json', 'model.safetensors']) {
      const content = await readFile(join(dir, name));
      expected.update(`${name}\0${content.length}\0`).update(content);
    }
    const { hash } = await inspectModel(dir);
    expect(hash).toBe(expected.digest('hex'));
    await patchJson(join(dir, 'config.json'), { max_position_embeddings: 255 });
    expect((await inspectModel(dir)).hash).not.toBe(hash);
  });

  it('announces the size the packed checkpoint really has, and which group sizes do not divide', async () => {
    await selectBackend('wasm');
    const dir = await copyOfModel('qwen3-untied-bf16');
    const { schemeSizes } = await inspectModel(dir);
    const eight = schemeSizes.find((size) => size.scheme === 'W8')!;
    expect(eight.unsupported).toBeNull();
    const model = await loadModel(dir);
    const quantized = new Map();
    for (const module of decoderLinears(model.config)) {
      const inFeatures = model.linear(module).weight().shape[1];
      quantized.set(module, await roundLinear(model, module, 8, inFeatures));
    }
    model.dispose();
    const saved = await saveQuantizedCheckpoint(join(await temporaryFolder(), 'w8'), { sourceDir: dir, quantized });
    const header = 8 + Number((await readFile(join(saved.dir, 'model.safetensors'))).readBigUInt64LE());
    expect(eight.sizeBytes).toBe(saved.weightBytes - header);
    expect(schemeSizes.find((size) => size.scheme === 'W2G32')!.unsupported).toMatch(/Groups of 32 do not divide 48 inputs \(2 modules/);
    const packed = await inspectModel(saved.dir);
    expect(packed.schemeSizes[0]!.unsupported).toMatch(/already quantized/);
    expect(errors(packed)).toEqual(['tokenizer.json: the file is missing.']);
  });

  it('finds a tokenizer larger than the embeddings', async () => {
    const dir = await completeModel('qwen3-tied');
    expect(errors(await inspectModel(dir))).toEqual([
      'tokenizer.json: its largest id is 364 ("</think>"), but the model\'s embeddings have 96 rows.',
    ]);
    expect((await inspectModel(dir)).chatTemplate).toBe(true);
  });

  it('lists everything wrong with a model at once', async () => {
    const dir = await completeModel('llama-sharded-bias', false);
    await rm(join(dir, 'model-00002-of-00007.safetensors'));
    await truncate(join(dir, 'model-00005-of-00007.safetensors'), 100);
    await patchJson(join(dir, 'config.json'), { intermediate_size: 64 });
    await writeFile(join(dir, 'tokenizer.json'), '{');
    const problems = errors(await inspectModel(dir));
    expect(problems.join('\n')).toContain('model-00002-of-00007.safetensors: this shard');
    expect(problems.join('\n')).toContain('model-00005-of-00007.safetensors: the header is truncated');
    expect(problems.join('\n')).toContain('but config.json implies [64, 32]');
    expect(problems.join('\n')).toContain('tokenizer.json is not valid JSON');
  });

  it('finds NaN in any tensor, with its place', async () => {
    const dir = await copyOfModel('qwen3-tied');
    const path = join(dir, 'model.safetensors');
    const bytes = await readFile(path);
    const headerBytes = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
    const [begin] = header['model.embed_tokens.weight'].data_offsets;
    bytes.writeFloatLE(Number.NaN, 8 + headerBytes + begin + 4 * (95 * 32 + 31));
    await writeFile(path, bytes);
    expect(errors(await inspectModel(dir))).toContain('model.embed_tokens.weight: it holds NaN at row 95, column 31.');
  });

  it.each([
    ['a folder that does not exist', async () => join(await temporaryFolder(), 'none'), 'does not exist'],
    ['a file', async () => join(await copyOfModel('qwen3-tied'), 'config.json'), 'it is not a folder'],
    ['an empty folder', temporaryFolder, 'config.json does not exist'],
  ])('reports %s', async (_, path, message) => {
    const inspection = await inspectModel(await path());
    expect(errors(inspection).join('\n')).toContain(message);
    expect(inspection.problems.every((problem) => problem.hint !== '')).toBe(true);
  });

  it('keeps what is known of a model of unknown architecture', async () => {
    const dir = await copyOfModel('qwen3-tied');
    await patchJson(join(dir, 'config.json'), { model_type: 'gpt_neox' });
    const inspection = await inspectModel(dir);
    expect(inspection).toMatchObject({ architecture: 'unknown', dtype: 'F32', hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(errors(inspection)).toContain('config.json, model_type: the architecture "gpt_neox" is not supported.');
  });

  it('warns of tensors the architecture does not know', async () => {
    const dir = await copyOfModel('qwen3-tied');
    await patchJson(join(dir, 'config.json'), { num_hidden_layers: 1 });
    const { problems } = await inspectModel(dir);
    expect(problems.filter((problem) => problem.severity === 'warning' && problem.where.startsWith('model.layers.1.'))).toHaveLength(11);
  });
});
