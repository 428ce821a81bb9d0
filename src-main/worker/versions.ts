/** Versions of what the numbers of a run depend on, for its record. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { version_core } from '@tensorflow/tfjs-core';

const libraries = ['onnxruntime-node', 'webgpu', '@huggingface/tokenizers'] as const;

export function libraryVersions(): Record<string, string> {
  const found = libraries.flatMap((name) => {
    const version = packageVersion(name);
    return version ? [[name, version] as const] : [];
  });
  return { node: process.version, '@tensorflow/tfjs-core': version_core, ...Object.fromEntries(found) };
}

/** Null for packages that are not installed on this platform. */
function packageVersion(name: string): string | null {
  try {
    const entry = createRequire(import.meta.url)
      .resolve(name)
      .replaceAll('\\', '/');
    const folder = entry.slice(0, entry.lastIndexOf(`node_modules/${name}`) + `node_modules/${name}`.length);
    return (JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { version: string }).version;
  } catch {
    return null;
  }
}
