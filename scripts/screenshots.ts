/**
 * Takes the pictures in docs/screenshots from a finished study: the five main screens, light and dark.
 *
 *   node scripts/screenshots.ts PROJECT [FOLDER] [WIDTHxHEIGHT]
 *
 * Needs a build (`npm run build`) and a Chromium (ROUNDOFF_CHROMIUM, or Debian's).
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium, type Page } from 'playwright';

const [project, folder = 'docs/screenshots', size = '1280x800'] = process.argv.slice(2);
if (!project) {
  console.error('usage: node scripts/screenshots.ts PROJECT [FOLDER] [WIDTHxHEIGHT]');
  process.exit(2);
}
const [width = 1280, height = 800] = size.split('x').map(Number);
const root = path.resolve(import.meta.dirname, '..');
const home = mkdtempSync(path.join(tmpdir(), 'roundoff-pictures-'));
mkdirSync(folder, { recursive: true });

const host = spawn(process.execPath, [path.join(root, 'out/main/browser.js'), '--project', path.resolve(project)], {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { ...process.env, ROUNDOFF_HOME: home, HOME: home, ROUNDOFF_NODE: process.execPath },
});
const url = await new Promise<string>((resolve, reject) => {
  let output = '';
  host.stdout.on('data', (data) => {
    output += data;
    const address = /http:\/\/\S+#token=\S+/.exec(output);
    if (address) resolve(address[0]);
  });
  host.once('exit', () => reject(new Error(`the browser host ended: ${output}`)));
});
const browser = await chromium.launch({
  executablePath: process.env.ROUNDOFF_CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});

const screens: [name: string, open: (page: Page) => Promise<void>][] = [
  ['start', async (page) => page.getByTestId('doctor-summary').getByText('CPU (wasm)').waitFor()],
  [
    'runs',
    async (page) => {
      await page.getByTestId('continue-project').click();
      await page.getByTestId('nav-runs').click();
      await page.getByTestId('run-row').filter({ hasText: 'GPTQ W2G32' }).click();
      await page.getByTestId('run-detail').waitFor();
    },
  ],
  [
    'comparison',
    async (page) => {
      await page.getByTestId('nav-comparison').click();
      // A wide study opens on its matrix.
      await page.getByTestId('comparison-row').or(page.getByTestId('matrix-cell')).first().waitFor();
    },
  ],
  [
    'samples',
    async (page) => {
      await page.getByTestId('nav-samples').click();
      await page.getByTestId('sample-row').first().click();
      await page.getByTestId('sample-detail').waitFor();
    },
  ],
  [
    'wizard',
    async (page) => {
      await page.getByTestId('nav-studies').click();
      await page.getByTestId('from-preset').click();
      await page.getByRole('menuitem', { name: /first study/i }).click();
      await page.getByTestId('wizard-step-methods').click();
      await page.getByTestId('variant-table').waitFor();
    },
  ],
];

try {
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    await page.goto(url);
    for (const [name, open] of screens) {
      await open(page);
      await page.waitForTimeout(800);
      await page.screenshot({ path: path.join(folder, `${name}-${colorScheme}.png`) });
      console.log(`${name}-${colorScheme}.png`);
    }
    await context.close();
  }
} finally {
  await browser.close();
  host.kill();
  rmSync(home, { recursive: true, force: true });
}
