/** Starts the built browser host and drives its page in a real Chromium; collects everything the page complains about. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';

export const chromiumFile = process.env.ROUNDOFF_CHROMIUM ?? '';
export const missingChromium = chromiumFile === '' ? 'no Chromium is installed; set ROUNDOFF_CHROMIUM to run the end-to-end tests' : null;

const root = path.resolve(import.meta.dirname, '../..');
const chromiumFlags = [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export class Workbench {
  readonly home = mkdtempSync(path.join(tmpdir(), 'roundoff-e2e-'));
  readonly complaints: string[] = [];
  url = '';
  private host: ChildProcess | null = null;
  private browser: Browser | null = null;

  /** Starts the host on a home folder of its own; the printed address carries the token. */
  async startHost(): Promise<void> {
    const host = spawn(process.execPath, [path.join(root, 'out/main/browser.js')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ROUNDOFF_HOME: this.home, HOME: this.home, ROUNDOFF_NODE: process.execPath },
    });
    this.host = host;
    this.url = await new Promise<string>((resolve, reject) => {
      let output = '';
      host.stdout.on('data', (data) => {
        output += data;
        const address = /http:\/\/\S+#token=\S+/.exec(output);
        if (address) resolve(address[0]);
      });
      host.once('exit', (code) => reject(new Error(`the browser host ended with code ${code}: ${output}`)));
    });
  }

  async openPage(size = { width: 1280, height: 800 }, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    this.browser ??= await chromium.launch({ executablePath: chromiumFile, args: chromiumFlags });
    const context = await this.browser.newContext({ viewport: size, colorScheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    await page.goto(this.url);
    return page;
  }

  get hostPid(): number {
    return this.host?.pid ?? 0;
  }

  async stop(): Promise<void> {
    await this.browser?.close();
    if (this.host && this.host.exitCode === null) {
      const ended = new Promise((resolve) => this.host!.once('exit', resolve));
      this.host.kill('SIGTERM');
      await ended;
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}
