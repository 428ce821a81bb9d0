/** Loads the built Electron entry and reports, as one line of JSON, what it set up and how its services answer. */
import { existsSync } from 'node:fs';
import { recorded } from './fake-electron.ts';

await import(new URL('../../out/main/electron.js', import.meta.url).href);
const command = recorded.ipcHandlers.get('roundoff:command') as (event: unknown, name: string, input: unknown) => Promise<unknown>;
const trusted = { senderFrame: { url: 'app://bundle/index.html', parent: null } };
const page = await recorded.protocolHandlers.get('app')!(new Request('app://bundle/index.html'));
console.log(
  JSON.stringify({
    info: await command(trusted, 'app.info', {}),
    presets: await command(trusted, 'presets.list', {}),
    doctor: await command(trusted, 'app.doctor', {}),
    pageStatus: page.status,
    page: await page.text(),
    preloadExists: existsSync(String(recorded.windows[0]!.options.webPreferences.preload)),
  }),
);
process.exit(0);
