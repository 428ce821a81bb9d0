import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJsonObject, readOptionalJsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { temporaryFolder } from '../model-folder.ts';

describe('readJsonObject', () => {
  it('reads an object, with or without a byte order mark', async () => {
    const path = join(await temporaryFolder(), 'file.json');
    await writeFile(path, '\ufeff{"a": [1]}');
    expect(await readJsonObject(path)).toEqual({ a: [1] });
  });

  it.each([
    ['{"a": 1,}', 'is not valid JSON'],
    ['', 'is not valid JSON'],
    ['null', 'holds null where a JSON object is expected'],
    ['[1]', 'holds a list where'],
    ['7', 'holds a number where'],
  ])('refuses %j with the code and remedy of the caller', async (content, message) => {
    const path = join(await temporaryFolder(), 'file.json');
    await writeFile(path, content);
    const options = { code: 'model-invalid', hint: 'Download it again.' } as const;
    await expect(readJsonObject(path, options)).rejects.toMatchObject({ ...options, message: expect.stringContaining(message) });
    await expect(readJsonObject(path, options)).rejects.toMatchObject({ message: expect.stringContaining(path) });
  });

  it('names a missing file and a folder in its place', async () => {
    const dir = await temporaryFolder();
    await expect(readJsonObject(join(dir, 'none.json'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(readJsonObject(join(dir, 'none', 'none.json'))).rejects.toMatchObject({ code: 'not-found' });
    await mkdir(join(dir, 'folder'));
    await expect(readJsonObject(join(dir, 'folder'))).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringContaining('is a folder'),
    });
  });
});

describe('readOptionalJsonObject', () => {
  it('gives null without the file, and the error of a broken one', async () => {
    const dir = await temporaryFolder();
    expect(await readOptionalJsonObject(join(dir, 'none.json'))).toBeNull();
    await writeFile(join(dir, 'file.json'), '{');
    await expect(readOptionalJsonObject(join(dir, 'file.json'))).rejects.toMatchObject({ code: 'bad-input' });
  });
});
