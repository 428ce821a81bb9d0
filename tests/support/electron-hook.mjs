/** Preloaded with `--import`: lets the built Electron entry run under plain Node, with the recording stand-in for `electron`. */
import { registerHooks } from 'node:module';

const standIn = new URL('./fake-electron.ts', import.meta.url).href;
registerHooks({
  resolve: (specifier, context, next) => (specifier === 'electron' ? { url: standIn, shortCircuit: true } : next(specifier, context)),
});
