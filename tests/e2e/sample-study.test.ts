/**
 * A newcomer's first minutes in the real workbench: from the start screen to an exported report of the whole sample study, with the wizard
 * tried out on the way and the page closed and opened again while the study runs.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingChromium, Workbench } from '../support/workbench.ts';

if (missingChromium) console.warn(`skipped: ${missingChromium}`);

describe.skipIf(missingChromium !== null)('the workbench in Chromium', () => {
  const workbench = new Workbench();
  let page: Page;
  const at = (testId: string) => page.getByTestId(testId);

  beforeAll(async () => {
    await workbench.startHost();
    page = await workbench.openPage();
  });
  afterAll(() => workbench.stop());

  it('shows the start screen and takes the token out of the address', async () => {
    await at('start-sample-study').waitFor();
    expect(page.url()).not.toContain('token');
    await expect.poll(() => at('doctor-summary').textContent()).toMatch(/wasm/i);
  });

  it('creates a project and brings the sample study to review with an estimate', async () => {
    await at('start-sample-study').click();
    await at('plan-runs').waitFor();
    expect(await at('plan-runs').locator('tbody tr').count()).toBeGreaterThanOrEqual(9);
  });

  it('lets methods and protocol be changed, and goes back to the preset', async () => {
    await at('wizard-step-methods').click();
    const variants = at('variant-table').locator('tbody tr');
    const before = await variants.count();
    await variants
      .filter({ hasText: 'RTN W4G128' })
      .getByRole('button', { name: /remove/i })
      .click();
    await expect.poll(() => variants.count()).toBe(before - 1);
    await at('wizard-next').click();
    await at('chain-list').waitFor();
    await at('wizard-next').click();
    const limit = page.getByLabel('Problems per benchmark');
    await limit.fill('20');
    await limit.press('Tab');
    await at('wizard-next').click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(8);
    await page.getByRole('button', { name: /use a preset/i }).click();
    await page.getByRole('menuitem', { name: /first study/i }).click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(9);
  });

  it('adds training to a variant, says what is wrong with it, and copies it', async () => {
    await at('wizard-step-training').click();
    await at('chain-add').click();
    await at('chain-from-GPTQ W2G32').click();
    await expect.poll(() => at('chain-row').textContent()).toContain('GPTQ W2G32 → KD QAT');
    const rate = at('train-optimizer-learningRate');
    await rate.fill('7');
    await rate.press('Tab');
    await expect.poll(() => at('chain-editor').textContent()).toContain('above 1 nothing is learnt');
    expect(await at('wizard-next').isDisabled()).toBe(true);
    await rate.fill('2e-4');
    await rate.press('Tab');
    await at('chain-copy').click();
    await at('copy-RTN W2G32').click({ force: true });
    await at('copy-apply').click();
    await expect.poll(() => at('chain-row').count()).toBe(2);
    await at('wizard-step-review').click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(11);
    expect(await at('plan-runs').textContent()).toContain('RTN W2G32 → KD QAT → Evaluate 5 benchmarks');
    await page.getByRole('button', { name: /use a preset/i }).click();
    await page.getByRole('menuitem', { name: /first study/i }).click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(9);
  });

  it('offers every method with its schemes, mixed precision and exports, and says where variants load', async () => {
    await at('wizard-step-methods').click();
    const variants = at('variant-table').locator('tbody tr');
    await at('method-quarot').click();
    await at('chip-quarot-W4A4KV4').click();
    await at('method-nf4').click();
    await at('cell-nf4-NF4:double').click({ force: true });
    expect(await variants.filter({ hasText: 'QuaRot W4A4KV4' }).textContent()).toContain('Roundoff only');
    expect(await variants.filter({ hasText: 'NF4:double' }).textContent()).toContain('Loads in transformers');
    await variants.filter({ hasText: 'GPTQ W2G32' }).getByTestId('variant-menu').click();
    await page.getByRole('menuitem', { name: 'Mixed precision…' }).click();
    await at('mixed-apply').click();
    await expect.poll(() => variants.filter({ hasText: 'down_proj W4G32' }).count()).toBe(1);
    await variants.filter({ hasText: 'GPTQ W4G128' }).getByTestId('variant-menu').click();
    await page.getByRole('menuitem', { name: 'Export formats…' }).click();
    await at('format-gptq').click({ force: true });
    await at('formats-apply').click();
    await expect.poll(() => variants.filter({ hasText: 'Exports: GPTQ' }).count()).toBe(1);
    await at('wizard-step-review').click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(12);
    expect(await at('plan-runs').textContent()).toContain('GPTQ W4G128 → Export gptq');
    await page.getByRole('button', { name: /use a preset/i }).click();
    await page.getByRole('menuitem', { name: /first study/i }).click();
    await expect.poll(() => at('plan-runs').locator('tbody tr').count()).toBe(9);
  });

  it('runs the study, which survives the page being closed', async () => {
    await at('wizard-start').click();
    await expect.poll(() => at('run-row').count(), { timeout: 20_000 }).toBe(9);
    await page.context().close();
    page = await workbench.openPage();
    await at('continue-project').click();
    await at('nav-runs').click();
    const finished = at('run-row').filter({ hasText: /finished/i });
    await expect.poll(() => finished.count(), { timeout: 800_000, interval: 1000 }).toBe(9);
  });

  it('shows a finished run in detail', async () => {
    await at('run-row').filter({ hasText: 'GPTQ W2G32' }).click();
    await at('run-detail').waitFor();
    await at('layer-errors').waitFor();
    expect(await at('artifact-table').textContent()).toMatch(/[0-9a-f]{12}/);
    expect(await at('run-log').textContent()).not.toBe('');
  });

  it('compares the variants with the baseline', async () => {
    await at('nav-comparison').click();
    await at('comparison-table').waitFor();
    await expect.poll(() => at('comparison-table').textContent()).toMatch(/baseline[\s\S]*GPTQ W2G32/i);
    expect(await at('chart-accuracy-size').locator('canvas, svg').count()).toBeGreaterThan(0);
    await page.getByText('Methods × schemes').click();
    await expect.poll(() => at('matrix-cell').count()).toBe(8);
    await at('nav-comparison').click();
    await at('scheme-matrix').waitFor();
  });

  it('leads from what was lost to the completions beside the baseline’s, and says what the study could have seen', async () => {
    await page.getByRole('tab', { name: 'Resolution' }).click();
    await expect.poll(() => at('resolution-table').textContent()).toMatch(/GPTQ W2G32[\s\S]*±\d/);
    await page.getByRole('tab', { name: 'Failures' }).click();
    const lost = at('failures-table').locator('tbody tr').filter({ hasText: 'RTN W2G128' }).getByTestId('failures-lost');
    const count = await lost.textContent();
    await lost.click();
    await expect.poll(() => page.getByText(`${count} samples`).count()).toBe(1);
    await page.keyboard.press('b');
    await at('sample-beside').waitFor();
    expect(await at('beside-summary').textContent()).toMatch(/the same/);
  });

  it('browses samples with their completions, answers and verdicts', async () => {
    await at('nav-samples').click();
    await at('sample-row').first().click();
    await at('sample-detail').waitFor();
    expect(await at('gold').textContent()).toMatch(/\d/);
    await at('compare-runs').click();
    await at('sample-compare').waitFor();
  });

  it('exports the report as one self-contained file', async () => {
    await at('nav-comparison').click();
    await at('export-report').click();
    await at('export-html').click();
    const folder = workbench.home;
    await at('export-folder').fill(folder);
    await at('export-name').fill('first-study.html');
    await at('export-confirm').click();
    await at('export-done').waitFor();
    const file = path.join(folder, 'first-study.html');
    expect(existsSync(file)).toBe(true);
    const html = readFileSync(file, 'utf8');
    expect(html).toContain('GPTQ W2G32');
    expect(html).toContain('<svg');
    expect(html).not.toMatch(/<script|https?:\/\/[^"'\s]+\.(js|css)/);
  });

  it('exports tables for a paper and a workbook under the same name', async () => {
    await at('export-tex').click();
    expect(await at('export-name').inputValue()).toBe('first-study.tex');
    await at('export-confirm').click();
    await expect.poll(() => at('export-path').textContent()).toBe(path.join(workbench.home, 'first-study.tex'));
    expect(readFileSync(path.join(workbench.home, 'first-study.tex'), 'utf8')).toMatch(
      /\\begin\{table\}[\s\S]*GPTQ W2G32[\s\S]*\\end\{document\}/,
    );
    await at('export-xlsx').click();
    await at('export-confirm').click();
    await expect.poll(() => at('export-path').textContent()).toBe(path.join(workbench.home, 'first-study.xlsx'));
    expect(readFileSync(path.join(workbench.home, 'first-study.xlsx')).subarray(0, 4).toString('latin1')).toBe('PK\u0003\u0004');
  });

  it('never broke its content security policy nor logged an error', () => {
    expect(workbench.complaints).toEqual([]);
  });
});
