// Loads one of the page's modules that has no imports of its own, as the
// browser would: as an ES module, whatever Node thinks of the file's name.
import { readFile } from 'node:fs/promises';

const folder = new URL('../../cmd/danmakud/internal/page/assets/', import.meta.url);

export async function load(name) {
  const source = await readFile(new URL(name, folder), 'utf8');
  return import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`);
}
