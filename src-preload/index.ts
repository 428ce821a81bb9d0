/** Exposes `window.roundoff`, derived from the contract: known commands only, never a generic send. */
import { contextBridge, ipcRenderer } from 'electron';
import { type CommandName, commandNames, type RoundoffApi } from './contract/commands.ts';
import type { HostEvent } from './contract/records.ts';

const known = new Set<string>(commandNames);

const api: RoundoffApi = {
  invoke: (name: CommandName, input: unknown) => {
    if (!known.has(name)) return Promise.reject(new Error(`unknown command ${name}`));
    return ipcRenderer.invoke('roundoff:command', name, input);
  },
  onEvent: (listener) => {
    const forward = (_event: unknown, message: HostEvent) => listener(message);
    ipcRenderer.on('roundoff:event', forward);
    return () => ipcRenderer.off('roundoff:event', forward);
  },
};

contextBridge.exposeInMainWorld('roundoff', api);
