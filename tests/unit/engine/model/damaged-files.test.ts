import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { inspectModel } from '../../../../src-main/engine/model/inspect.ts';
import { fixturePath } from '../../../golden/fixtures.ts';
import { copyOfModel } from '../model-folder.ts';

/** One random edit: a changed byte, a cut, a doubled stretch or a stretch of zeros. */
function damage(bytes: Buffer, random: RandomStream, reach: number): Buffer {
  const at = random.integer(0, Math.min(reach, bytes.length) - 1);
  const end = Math.min(bytes.length, at + 1 + random.integer(0, 15));
  const kind = random.integer(0, 3);
  if (kind === 0) return bytes.subarray(0, at);
  if (kind === 1) return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
  const changed = Buffer.from(bytes);
  if (kind === 2) changed[at] = random.integer(0, 255);
  else changed.fill(0, at, end);
  return changed;
}

describe('inspectModel on randomly damaged files', () => {
  it.each([
    ['model.safetensors', 2600],
    ['config.json', 1000],
    ['generation_config.json', 300],
    ['tokenizer.json', 6000],
    ['tokenizer_config.json', 600],
  ])('always gives a result, with a remedy for every problem: %s', async (name, reach) => {
    const dir = await copyOfModel('qwen2-bias');
    for (const file of ['tokenizer.json', 'tokenizer_config.json'])
      await cp(fixturePath('tokenizers', 'byte-level', file), join(dir, file));
    const original = await readFile(join(dir, name));
    const undamaged = JSON.stringify((await inspectModel(dir)).problems);
    const random = new RandomStream(11, name);
    let reported = 0;
    for (let round = 0; round < 25; round++) {
      await writeFile(join(dir, name), damage(original, random, reach));
      const { problems } = await inspectModel(dir);
      if (JSON.stringify(problems) !== undamaged) reported++;
      expect(problems.every((problem) => problem.where && problem.message && problem.hint)).toBe(true);
    }
    expect(reported).toBeGreaterThan(5);
  });
});
