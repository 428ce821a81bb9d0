import { beforeAll, describe, expect, it, vi } from 'vitest';
import { app, recorded } from '../../support/fake-electron.ts';
import { FakeServices } from '../../support/fake-services.ts';

const services = new FakeServices();
vi.mock('electron', () => import('../../support/fake-electron.ts'));
vi.mock('../../../src-main/ipc/services.ts', () => ({ createServices: () => services }));

beforeAll(async () => {
  await import('../../../src-main/app/electron.ts');
});

const window = () => recorded.windows[0]!;
const prevented = (event: string, url: string) => {
  let stopped = false;
  window().webContents.emit(event, { url, preventDefault: () => (stopped = true) });
  return stopped;
};
const trusted = { senderFrame: { url: 'app://bundle/index.html', parent: null } };

describe('Electron host', () => {
  it('enables the sandbox and registers its scheme before the app is ready', () => {
    expect(recorded.order).toEqual(['enableSandbox', 'registerSchemes', 'ready']);
    expect(recorded.schemes[0]!.scheme).toBe('app');
    expect(recorded.schemes[0]!.privileges.bypassCSP).toBeUndefined();
  });

  it('opens one sandboxed window on its own bundle', () => {
    expect(recorded.windows).toHaveLength(1);
    expect(window().url).toBe('app://bundle/index.html');
    expect(window().options.webPreferences).toMatchObject({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webSecurity: true,
      allowRunningInsecureContent: false,
      webviewTag: false,
    });
    expect(window().options.webPreferences.preload).toMatch(/index\.cjs$/);
  });

  it('stays on its bundle', () => {
    expect(prevented('will-navigate', 'https://evil.example/')).toBe(true);
    expect(prevented('will-navigate', 'app://bundle.evil/')).toBe(true);
    expect(prevented('will-navigate', 'app://bundle/index.html')).toBe(false);
    expect(prevented('will-redirect', 'https://evil.example/')).toBe(true);
    expect(prevented('will-attach-webview', 'about:blank')).toBe(true);
  });

  it('opens listed sites in the system browser and no window of its own', () => {
    const open = window().webContents.openHandler;
    for (const url of ['https://evil.example/', 'file:///etc/passwd', 'http://github.com/', 'not a url', 'https://github.com/x'])
      expect(open({ url })).toEqual({ action: 'deny' });
    expect(recorded.openedExternally).toEqual(['https://github.com/x']);
  });

  it('denies every permission', () => {
    let granted: boolean | null = null;
    recorded.permissionRequest!({}, 'media', (answer) => {
      granted = answer;
    });
    expect(granted).toBe(false);
    expect(recorded.permissionCheck!()).toBe(false);
  });

  it('serves its bundle with the policy and refuses other hosts and paths', async () => {
    const serve = recorded.protocolHandlers.get('app')!;
    const outside = await serve(new Request('app://bundle/%2e%2e%2f%2e%2e%2fpackage.json'));
    expect(outside.status).toBe(403);
    expect(outside.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'self'/);
    expect((await serve(new Request('app://other/index.html'))).status).toBe(403);
  });

  it('takes commands from the main frame of the bundle alone', async () => {
    const handle = recorded.ipcHandlers.get('roundoff:command') as (event: unknown, name: unknown, input: unknown) => Promise<unknown>;
    expect(await handle(trusted, 'app.info', {})).toEqual({ ok: true, value: { name: 'app.info', input: {} } });
    const strangers = [
      null,
      { url: 'https://evil.example/', parent: null },
      { url: 'app://other/', parent: null },
      { url: 'app://bundle/x', parent: {} },
    ];
    for (const senderFrame of strangers) expect(() => handle({ senderFrame }, 'app.info', {})).toThrow(/untrusted/);
  });

  it('forwards events to the window', () => {
    services.emit({ type: 'project-changed', project: null });
    expect(window().webContents.sent.at(-1)).toEqual(['roundoff:event', { type: 'project-changed', project: null }]);
  });

  it('asks before closing over a running study, and stops the services once before quitting', async () => {
    const close = () => {
      let kept = false;
      window().emit('close', { preventDefault: () => (kept = true) });
      return kept;
    };
    expect(close()).toBe(false);
    expect(recorded.dialogs).toBe(0);
    services.running = 1;
    recorded.dialogAnswer = 1;
    expect(close()).toBe(true);
    recorded.dialogAnswer = 0;
    expect(close()).toBe(false);
    let delayed = false;
    app.emit('before-quit', { preventDefault: () => (delayed = true) });
    expect(delayed).toBe(true);
    await expect.poll(() => recorded.quits).toBe(1);
    expect(services.closed).toBe(1);
  });
});
