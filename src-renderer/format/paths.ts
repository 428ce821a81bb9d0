/** Paths of the machine that main runs on, which may write them in its own way. */

/** Joins with the separator that the folder already uses. */
export function joinPath(folder: string, name: string): string {
  const separator = folder.includes('\\') && !folder.includes('/') ? '\\' : '/';
  return folder.endsWith(separator) ? folder + name : folder + separator + name;
}

export function baseName(path: string): string {
  return (
    path
      .replace(/^sample:/, '')
      .split(/[\\/]/)
      .filter(Boolean)
      .at(-1) ?? path
  );
}

export function parentPath(path: string): string {
  const name = baseName(path);
  const parent = path.slice(0, path.lastIndexOf(name)).replace(/[\\/]+$/, '');
  return parent === '' ? '/' : parent;
}

/** A name that is free among `taken`: `Study`, `Study 2`, `Study 3`, … each with the extension. */
export function freeName(stem: string, extension: string, taken: readonly string[]): string {
  const used = new Set(taken.map((name) => name.toLowerCase()));
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? `${stem}${extension}` : `${stem} ${number}${extension}`;
    if (!used.has(name.toLowerCase())) return name;
  }
}

/** Replaces what file systems refuse in names. */
export function safeFileName(text: string): string {
  return text.replace(/[\\/:*?"<>|]+/g, '-').trim() || 'untitled';
}
