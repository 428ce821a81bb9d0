/**
 * The Electron workbench: the built entry under plain Node with a stand-in for `electron` (real services, real worker for the doctor), and
 * the real window where Electron's binary is installed.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { _electron } from 'playwright';
import { afterAll, describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const home = mkdtempSync(path.join(tmpdir(), 'roundoff-electron-'));
const env = { ...process.env, ROUNDOFF_HOME: home, HOME: home, ROUNDOFF_NODE: process.execPath };
afterAll(() => rmSync(home, { recursive: true, force: true }));

describe('the built Electron entry', () => {
  it('serves its bundle and answers commands through real services', async () => {
    const support = path.join(root, 'tests/support');
    const args = ['--import', path.join(support, 'electron-hook.mjs'), path.join(support, 'built-electron.ts')];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, maxBuffer: 16 * 1024 * 1024 });
    const report = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(report.info).toMatchObject({ ok: true, value: { host: 'electron' } });
    expect(report.presets.value.map((preset: { id: string }) => preset.id)).toContain('first-study');
    expect(report.doctor.value.backends).toContainEqual(expect.objectContaining({ name: 'wasm', available: true }));
    expect(report.pageStatus).toBe(200);
    expect(report.page).toContain('<title>Roundoff</title>');
    expect(report.preloadExists).toBe(true);
  });
});

const pathFile = path.join(root, 'node_modules/electron/path.txt');
const missingElectron = existsSync(pathFile) ? null : "Electron's binary is not installed; npm start fetches it where it can be downloaded";
if (missingElectron) console.warn(`skipped: ${missingElectron}`);

describe.skipIf(missingElectron !== null)('the Electron window', () => {
  it('opens on the start screen', async () => {
    const executablePath = path.join(root, 'node_modules/electron/dist', readFileSync(pathFile, 'utf8'));
    const app = await _electron.launch({ executablePath, args: [root, ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])], env });
    const window = await app.firstWindow();
    await window.getByTestId('start-sample-study').waitFor();
    await app.close();
  });
});
