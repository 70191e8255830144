// What npm would get is whole: every file it names, and nothing besides.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));
const npm = spawnSync('npm', ['--version']).status === 0;

test('the package that npm makes can be used', { skip: !npm && 'npm is not installed' }, async () => {
  const at = mkdtempSync(join(tmpdir(), 'danmakud-pack-'));
  try {
    execFileSync('npm', ['pack', '--offline', '--ignore-scripts', '--pack-destination', at], { cwd: folder, stdio: 'pipe' });
    const [archive] = readdirSync(at);
    execFileSync('tar', ['-xzf', archive], { cwd: at });
    const root = join(at, 'package');
    const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.deepEqual(readdirSync(root).sort(), [...about.files, 'LICENSE', 'README.md', 'package.json'].sort());
    assert.equal(about.dependencies, undefined);
    const { Client, connect } = await import(pathToFileURL(join(root, about.exports['.'].default)));
    assert.equal(typeof connect, 'function');
    const client = new Client({ url: 'ws://h', room: 'r', WebSocket: class {} });
    assert.equal(client.state, 'idle');
    client.close();
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
});

test('what Go embeds is what npm gets', () => {
  const { files } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const [, embedded] = /^\/\/go:embed (.*)$/m.exec(readFileSync(join(folder, 'files.go'), 'utf8'));
  assert.deepEqual(embedded.split(' ').sort(), files.filter((name) => name.endsWith('.js')).sort());
});
