/**
 * What the Electron window may and may not do: only its own bundle, no new windows, no webviews, no permissions, IPC from the main frame
 * of the bundle alone.
 */
import type { IpcMainInvokeEvent, Session, Shell, WebContents, WebPreferences } from 'electron';

/** Compared as text: Node's URL gives the origin "null" for every custom scheme. */
export const bundleUrl = 'app://bundle/';
const externalHosts = new Set(['github.com', 'huggingface.co', 'arxiv.org']);

export function windowPreferences(preloadFile: string): WebPreferences {
  return {
    preload: preloadFile,
    sandbox: true,
    contextIsolation: true,
    nodeIntegration: false,
    nodeIntegrationInWorker: false,
    nodeIntegrationInSubFrames: false,
    webSecurity: true,
    allowRunningInsecureContent: false,
    webviewTag: false,
    navigateOnDragDrop: false,
    spellcheck: false,
  };
}

/** Throws for IPC that does not come from the main frame of our own bundle. */
export function assertTrustedSender(event: Pick<IpcMainInvokeEvent, 'senderFrame'>): void {
  const frame = event.senderFrame;
  if (!frame || frame.parent !== null || !frame.url.startsWith(bundleUrl)) throw new Error('command from an untrusted frame');
}

export function limitContents(contents: WebContents, shell: Pick<Shell, 'openExternal'>): void {
  contents.on('will-navigate', (event) => {
    if (!event.url.startsWith(bundleUrl)) event.preventDefault();
  });
  contents.on('will-redirect', (event) => {
    if (!event.url.startsWith(bundleUrl)) event.preventDefault();
  });
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.setWindowOpenHandler(({ url }) => {
    if (isAllowedExternal(url)) void shell.openExternal(url);
    return { action: 'deny' };
  });
}

export function denyPermissions(session: Pick<Session, 'setPermissionRequestHandler' | 'setPermissionCheckHandler'>): void {
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false));
  session.setPermissionCheckHandler(() => false);
}

function isAllowedExternal(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && url.protocol === 'https:' && externalHosts.has(url.hostname);
}
