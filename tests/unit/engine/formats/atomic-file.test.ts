import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashFile, writeFileAtomically, writeFolderAtomically, writeWholeFile } from '../../../../src-main/engine/formats/atomic-file.ts';
import { temporaryFolder } from '../model-folder.ts';

describe('writeFileAtomically', () => {
  it('writes all pieces and reports size and sha256', async () => {
    const path = join(await temporaryFolder(), 'file');
    const written = await writeFileAtomically(path, async (write) => {
      await write(Uint8Array.of(1, 2));
      await write(Uint8Array.of(3));
    });
    const sha256 = createHash('sha256')
      .update(Uint8Array.of(1, 2, 3))
      .digest('hex');
    expect(written).toEqual({ path, sizeBytes: 3, sha256 });
    expect(await hashFile(path)).toEqual({ sizeBytes: 3, sha256 });
    expect([...(await readFile(path))]).toEqual([1, 2, 3]);
  });

  it('keeps the old file and leaves nothing else when the producer fails', async () => {
    const dir = await temporaryFolder();
    const path = join(dir, 'file');
    await writeWholeFile(path, 'old');
    const failing = writeFileAtomically(path, async (write) => {
      await write(new Uint8Array(1000));
      throw new Error('stopped');
    });
    await expect(failing).rejects.toThrow('stopped');
    expect(await readdir(dir)).toEqual(['file']);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  it.runIf(existsSync('/dev/full'))('reports a full disk by its code and leaves nothing', async () => {
    const dir = await temporaryFolder();
    const failing = writeFileAtomically(join(dir, 'file'), async (write) => {
      await write(new Uint8Array(10));
      const full = await open('/dev/full', 'w');
      await full.write('x').finally(() => full.close());
    });
    await expect(failing).rejects.toMatchObject({ code: 'disk-full', message: expect.stringContaining(join(dir, 'file')) });
    expect(await readdir(dir)).toEqual([]);
  });

  it('names a folder that does not exist', async () => {
    await expect(writeWholeFile(join(await temporaryFolder(), 'none', 'file'), 'x')).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('writeFolderAtomically', () => {
  const fill = (content: string) => (dir: string) => writeFile(join(dir, 'file'), content);

  it('creates, fills an empty folder, and replaces only when asked', async () => {
    const parent = await temporaryFolder();
    const dir = join(parent, 'out');
    await writeFolderAtomically(dir, fill('one'));
    await expect(writeFolderAtomically(dir, fill('two'))).rejects.toMatchObject({ code: 'bad-input' });
    await writeFolderAtomically(dir, fill('three'), { replace: true });
    expect(await readFile(join(dir, 'file'), 'utf8')).toBe('three');
    await mkdir(join(parent, 'empty'));
    await writeFolderAtomically(join(parent, 'empty'), fill('four'));
    expect((await readdir(parent)).sort()).toEqual(['empty', 'out']);
  });

  it('leaves the old folder whole when filling the new one fails', async () => {
    const parent = await temporaryFolder();
    const dir = join(parent, 'out');
    await writeFolderAtomically(dir, fill('one'));
    const failing = writeFolderAtomically(dir, () => Promise.reject(new Error('stopped')), { replace: true });
    await expect(failing).rejects.toThrow('stopped');
    expect(await readdir(parent)).toEqual(['out']);
    expect(await readFile(join(dir, 'file'), 'utf8')).toBe('one');
  });

  it('names the final path in errors from inside', async () => {
    const dir = join(await temporaryFolder(), 'out');
    const failing = writeFolderAtomically(dir, (inner) => writeWholeFile(join(inner, 'a', 'file'), 'x'));
    await expect(failing).rejects.toMatchObject({ message: expect.stringContaining(join(dir, 'a', 'file')) });
  });
});
