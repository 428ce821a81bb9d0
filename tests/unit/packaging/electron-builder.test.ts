import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { appPaths } from '../../../src-main/app/app-paths.ts';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '../../..');
// electron-builder's own loader and schema check, which it also runs before building an installer.
const { getConfig, validateConfiguration } = require('app-builder-lib/out/util/config/config');
const { DebugLogger } = require('builder-util');
const { FileMatcher, getNodeModuleFileMatcher } = require('app-builder-lib/out/fileMatcher');

const configuration = await getConfig(root, 'electron-builder.yml', null);

describe('installers', () => {
  it('have a configuration that electron-builder accepts', async () => {
    await expect(validateConfiguration(configuration, new DebugLogger(false))).resolves.toBeUndefined();
    await expect(validateConfiguration({ ...configuration, asarr: true }, new DebugLogger(false))).rejects.toThrow(/asarr/);
  });

  it('flip the fuses of the security list', () => {
    expect(configuration.electronFuses).toEqual({
      runAsNode: false,
      enableCookieEncryption: true,
      enableNodeOptionsEnvironmentVariable: false,
      enableNodeCliInspectArguments: false,
      enableEmbeddedAsarIntegrityValidation: true,
      onlyLoadAppFromAsar: true,
      grantFileProtocolExtraPrivileges: false,
    });
  });

  it('unpack what plain Node runs, where the app looks for it', () => {
    expect(configuration.asarUnpack).toEqual(expect.arrayContaining(['out/main/**', 'node_modules/**']));
    const resources = path.join(path.sep, 'opt', 'Roundoff', 'resources');
    const paths = appPaths(path.join(resources, 'app.asar', 'out', 'main'), resources);
    expect(paths.workerEntry).toBe(path.join(resources, 'app.asar.unpacked', 'out', 'main', 'worker.js'));
    expect(paths.resourcesDir).toBe(path.join(resources, 'resources'));
    expect(configuration.files[0].filter).toContain('!out/runtime{,/**}');
    const targets = configuration.extraResources.map((entry: { to: string }) => entry.to);
    expect(targets).toEqual(['resources', 'runtime']);
  });

  it('bring the files that the sandbox reads, outside the archive', () => {
    const expand = (pattern: string) => pattern.replace(/\$\{platform\}/g, process.platform);
    const packed = getNodeModuleFileMatcher(root, root, expand, {}, { config: configuration, debugLogger: new DebugLogger(false) });
    const unpacked = new FileMatcher(root, root, expand, configuration.asarUnpack);
    const [isPacked, isUnpacked] = [packed.createFilter(), unpacked.createFilter()];
    for (const name of ['package.json', 'pyodide.mjs', 'pyodide.asm.mjs', 'pyodide.asm.wasm', 'python_stdlib.zip', 'pyodide-lock.json']) {
      const file = path.join(root, 'node_modules/pyodide', name);
      expect([name, isPacked(file, statSync(file)), isUnpacked(file, statSync(file))]).toEqual([name, true, true]);
    }
    const child = path.join(root, 'out/main/sandbox-child.js');
    expect(isUnpacked(child, statSync(import.meta.filename))).toBe(true);
    const source = path.join(root, 'node_modules/better-sqlite3/deps/common.gypi');
    expect(isPacked(source, statSync(source))).toBe(false);
  });
});
