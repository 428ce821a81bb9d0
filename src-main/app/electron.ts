/** The Electron host: one sandboxed window over the main process's services. */
import { app, BrowserWindow, dialog, ipcMain, Menu, protocol, session, shell } from 'electron';
import { createServices } from '../ipc/services.ts';
import { appPaths } from './app-paths.ts';
import { assertTrustedSender, bundleUrl, denyPermissions, limitContents, windowPreferences } from './electron-security.ts';
import type { HostServices } from './host-services.ts';
import { serveStatic } from './static-files.ts';

const paths = appPaths(import.meta.dirname, process.resourcesPath);

app.enableSandbox();
protocol.registerSchemesAsPrivileged([
  { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true } },
]);

if (app.requestSingleInstanceLock()) await start();
else app.quit();

async function start(): Promise<void> {
  app.on('web-contents-created', (_event, contents) => limitContents(contents, shell));
  await app.whenReady();
  protocol.handle('app', serveBundle);
  denyPermissions(session.defaultSession);
  const services = createServices({
    host: 'electron',
    version: app.getVersion(),
    resourcesDir: paths.resourcesDir,
    workerEntry: paths.workerEntry,
    nodeFile: paths.nodeFile,
  });
  ipcMain.handle('roundoff:command', (event, name: unknown, input: unknown) => {
    assertTrustedSender(event);
    return services.dispatch(String(name), input);
  });
  const window = openWindow(services);
  app.on('second-instance', () => {
    if (window.isMinimized()) window.restore();
    window.focus();
  });
  closeInOrder(window, services);
  await window.loadURL(`${bundleUrl}index.html`);
}

async function serveBundle(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (url.host !== 'bundle' || request.method !== 'GET') return new Response(null, { status: 403 });
  const result = await serveStatic(paths.rendererDir, url.pathname);
  return new Response(result.body, { status: result.status, headers: result.headers });
}

function openWindow(services: HostServices): BrowserWindow {
  Menu.setApplicationMenu(
    process.platform === 'darwin' ? Menu.buildFromTemplate([{ role: 'appMenu' }, { role: 'editMenu' }, { role: 'windowMenu' }]) : null,
  );
  const window = new BrowserWindow({
    width: 1440,
    height: 900,
    minWidth: 1024,
    minHeight: 680,
    show: false,
    title: 'Roundoff',
    webPreferences: windowPreferences(paths.preloadFile),
  });
  services.onEvent((event) => {
    if (!window.isDestroyed()) window.webContents.send('roundoff:event', event);
  });
  window.once('ready-to-show', () => window.show());
  return window;
}

/** A run goes on while the window is open; closing asks, then stops the run at a checkpoint from which it resumes. */
function closeInOrder(window: BrowserWindow, services: HostServices): void {
  let closing = false;
  window.on('close', (event) => {
    if (closing || services.activeRuns() === 0) return;
    const answer = dialog.showMessageBoxSync(window, {
      type: 'question',
      message: 'A study is running.',
      detail: 'It stops at its next checkpoint and can be resumed when the project is opened again.',
      buttons: ['Stop and close', 'Keep running'],
      defaultId: 1,
      cancelId: 1,
    });
    if (answer === 1) event.preventDefault();
  });
  app.on('window-all-closed', () => app.quit());
  app.on('before-quit', (event) => {
    if (closing) return;
    event.preventDefault();
    closing = true;
    void services.close().finally(() => app.quit());
  });
}
