// Builds the pages and serves them on the loopback address.
//
//	npm start -- [PORT]     default 8000
//
// danmakud must let their pages in: --origin http://127.0.0.1:8000
import { fileURLToPath } from 'node:url';
import { context } from 'esbuild';

const here = new URL('./', import.meta.url);
const pages = ['danmaku', 'artplayer', 'xgplayer', 'dplayer'];

/** Serves the pages, built into out/players; gives their origin and the way to end it. */
export async function serve(port = 0) {
  const build = await context({
    absWorkingDir: fileURLToPath(here),
    entryPoints: [...pages.flatMap((page) => [`${page}.js`, `${page}.html`]), 'index.html', 'page.css'],
    loader: { '.html': 'copy' },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    sourcemap: true,
    logLevel: 'warning',
    outdir: fileURLToPath(new URL('../../../out/players', here)),
  });
  const { port: taken } = await build.serve({ host: '127.0.0.1', port, servedir: fileURLToPath(new URL('../../../out/players', here)) });
  return { origin: `http://127.0.0.1:${taken}`, stop: () => build.dispose() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { origin } = await serve(Number(process.argv[2] ?? 8_000));
  console.log(`${origin}/?server=http://127.0.0.1:8080&room=lobby\ndanmakud --origin ${origin} --archive FOLDER --dplayer`);
}
