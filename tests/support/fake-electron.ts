/** A stand-in for the `electron` module that records how the host uses it; Electron's own behaviour is not imitated. */
import { EventEmitter } from 'node:events';

type Handler = (...args: never[]) => unknown;

export const recorded = {
  order: [] as string[],
  windows: [] as FakeWindow[],
  schemes: [] as { scheme: string; privileges: Record<string, boolean> }[],
  ipcHandlers: new Map<string, Handler>(),
  protocolHandlers: new Map<string, (request: Request) => Promise<Response>>(),
  permissionRequest: null as null | ((contents: unknown, permission: string, callback: (granted: boolean) => void) => void),
  permissionCheck: null as null | (() => boolean),
  openedExternally: [] as string[],
  dialogAnswer: 0,
  dialogs: 0,
  quits: 0,
};

class FakeContents extends EventEmitter {
  openHandler: (details: { url: string }) => { action: string } = () => ({ action: 'allow' });
  sent: unknown[][] = [];
  setWindowOpenHandler(handler: (details: { url: string }) => { action: string }): void {
    this.openHandler = handler;
  }
  send(...message: unknown[]): void {
    this.sent.push(message);
  }
}

export class FakeWindow extends EventEmitter {
  webContents = new FakeContents();
  url = '';
  options: { webPreferences: Record<string, unknown> };
  constructor(options: { webPreferences: Record<string, unknown> }) {
    super();
    this.options = options;
    recorded.windows.push(this);
    app.emit('web-contents-created', {}, this.webContents);
  }
  async loadURL(url: string): Promise<void> {
    this.url = url;
    this.emit('ready-to-show');
  }
  show(): void {}
  focus(): void {}
  restore(): void {}
  isMinimized(): boolean {
    return false;
  }
  isDestroyed(): boolean {
    return false;
  }
}

export const app = Object.assign(new EventEmitter(), {
  enableSandbox: () => recorded.order.push('enableSandbox'),
  requestSingleInstanceLock: () => true,
  whenReady: async () => void recorded.order.push('ready'),
  getVersion: () => '0.0.0-test',
  quit: () => {
    recorded.quits += 1;
  },
});
export const BrowserWindow = FakeWindow;
export const ipcMain = { handle: (channel: string, handler: Handler) => recorded.ipcHandlers.set(channel, handler) };
export const protocol = {
  registerSchemesAsPrivileged: (schemes: typeof recorded.schemes) => {
    recorded.order.push('registerSchemes');
    recorded.schemes.push(...schemes);
  },
  handle: (scheme: string, handler: (request: Request) => Promise<Response>) => recorded.protocolHandlers.set(scheme, handler),
};
export const session = {
  defaultSession: {
    setPermissionRequestHandler: (handler: typeof recorded.permissionRequest) => {
      recorded.permissionRequest = handler;
    },
    setPermissionCheckHandler: (handler: () => boolean) => {
      recorded.permissionCheck = handler;
    },
  },
};
export const shell = { openExternal: async (url: string) => void recorded.openedExternally.push(url) };
export const dialog = {
  showMessageBoxSync: () => {
    recorded.dialogs += 1;
    return recorded.dialogAnswer;
  },
};
export const Menu = { setApplicationMenu: () => undefined, buildFromTemplate: () => null };
