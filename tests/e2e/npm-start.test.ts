/** `npm start` where Electron cannot be downloaded: one line says so, the browser host starts, its page opens, Ctrl-C ends it in order. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright';
import { afterAll, describe, expect, it } from 'vitest';
import { chromiumFile, missingChromium } from '../support/workbench.ts';

const root = path.resolve(import.meta.dirname, '../..');
const hasElectron = existsSync(path.join(root, 'node_modules/electron/path.txt'));
const reason = hasElectron ? 'Electron is installed, so npm start opens its window' : missingChromium;
if (reason) console.warn(`skipped: ${reason}`);

describe.skipIf(reason !== null)('npm start', () => {
  const home = mkdtempSync(path.join(tmpdir(), 'roundoff-start-'));
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  it('falls back to the browser host and opens the workbench', async () => {
    // A mirror that refuses connections makes the download fail at once, with or without a network.
    const env = { ...process.env, ROUNDOFF_HOME: home, HOME: home, ELECTRON_MIRROR: 'http://127.0.0.1:9/' };
    const child = spawn('npm', ['start'], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data;
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    try {
      await expect.poll(() => output, { timeout: 120_000 }).toMatch(/http:\/\/127\.0\.0\.1:\d+\/#token=\S+/);
      expect(output.match(/Electron could not be downloaded.*starting the browser host instead/g)).toHaveLength(1);
      const browser = await chromium.launch({ executablePath: chromiumFile, args: ['--no-sandbox', '--disable-gpu'] });
      const page = await browser.newPage();
      await page.goto(/http:\/\/\S+#token=\S+/.exec(output)![0]);
      await page.getByTestId('start-sample-study').waitFor();
      await browser.close();
    } finally {
      process.kill(-child.pid!, 'SIGINT');
    }
    await ended;
    await expect.poll(() => fetch(/http:\/\/127\.0\.0\.1:\d+/.exec(output)![0]).catch(() => 'closed')).toBe('closed');
  });
});
