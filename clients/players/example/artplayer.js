import Artplayer from 'artplayer';
import artplayerPluginDanmuku from 'artplayer-plugin-danmuku';
import { attach } from '../artplayer.js';
import { open } from './page.js';
import { makeFilm } from './video.js';

const art = new Artplayer({
  container: '#player',
  url: await makeFilm(),
  lang: 'en',
  muted: true,
  autoplay: true,
  loop: true,
  plugins: [artplayerPluginDanmuku({ danmuku: [], antiOverlap: true, fontSize: 24, emitter: true })],
});
attach(art, open());
