/** Installing TensorFlow from the start screen: progress as it goes, cancelling it, and what is said when it fails. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FakeIndex, fakeTools, serveIndex, writeFakeWheel } from '../support/fake-wheel.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { missingChromium, Workbench } from '../support/workbench.ts';

const reason =
  missingChromium ?? (process.platform === 'linux' && process.arch === 'x64' ? null : 'the stand-in wheel is for Linux on x86-64');
if (reason) console.warn(`skipped: ${reason}`);

describe.skipIf(reason !== null)('the TensorFlow pack on the start screen', () => {
  const folder = temporaryFolder('runtime-e2e');
  const runtimes = path.join(folder, 'runtimes');
  const workbench = new Workbench();
  let index: FakeIndex;
  let page: Page;
  let hold = true;
  const at = (testId: string) => page.getByTestId(testId);

  beforeAll(async () => {
    const wheel = writeFakeWheel(folder);
    index = await serveIndex(wheel, {
      sha256: '0'.repeat(64),
      answer: (_request, response, bytes) => {
        if (!hold) return false;
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, bytes.length / 2));
        return true;
      },
    });
    Object.assign(process.env, { PIP_INDEX_URL: index.url, CXX: fakeTools(folder).compiler, ROUNDOFF_RUNTIMES: runtimes });
    await workbench.startHost();
    page = await workbench.openPage();
  });
  afterAll(async () => {
    await workbench.stop();
    await index?.close();
  });

  it('shows how far it is, on a page that is opened meanwhile too, and cancels', async () => {
    await at('runtime-install').click();
    await expect.poll(() => at('runtime-pack').textContent()).toContain('Downloading TensorFlow');
    await expect.poll(() => at('runtime-pack').textContent()).toMatch(/of \d/);
    const other = await workbench.openPage();
    await other.getByTestId('runtime-cancel').click();
    await at('runtime-install').waitFor();
    expect(await at('runtime-pack').getByRole('alert').count()).toBe(0);
  });

  it('says what went wrong and what to do', async () => {
    hold = false;
    await at('runtime-install').click();
    await at('runtime-pack').getByRole('alert').waitFor();
    expect(await at('runtime-pack').getByRole('alert').textContent()).toContain('the index says');
    expect(await at('runtime-install').isEnabled()).toBe(true);
  });

  it('shows and removes what is installed', async () => {
    const dir = path.join(runtimes, 'tensorflow');
    mkdirSync(path.join(dir, 'lib'), { recursive: true });
    writeFileSync(path.join(dir, 'lib/tfjs_binding.node'), 'abc');
    const pack = { format: 1, version: '2.21.0', variant: 'cpu', wheel: 'a.whl', sha256: '0', installedAt: '', cudaDirs: [] };
    const files = { 'tfjs_binding.node': 3 };
    writeFileSync(path.join(dir, 'pack.json'), JSON.stringify({ ...pack, files, platform: `${process.platform}-${process.arch}` }));
    await page.reload();
    await at('runtime-remove').click();
    await at('runtime-install').waitFor();
    expect(workbench.complaints).toEqual([]);
  });
});
