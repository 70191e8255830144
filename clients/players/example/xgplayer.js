import Player from 'xgplayer';
import 'xgplayer/dist/index.min.css';
import Danmu from 'xgplayer/es/plugins/danmu';
import 'xgplayer/es/plugins/danmu/index.css';
import { attach } from '../xgplayer.js';
import { open } from './page.js';
import { makeFilm } from './video.js';

const player = new Player({
  el: document.getElementById('player'),
  url: await makeFilm(),
  lang: 'en',
  fluid: true,
  autoplay: true,
  autoplayMuted: true,
  loop: true,
  plugins: [Danmu],
  danmu: { isLive: true, channelSize: 40, fontSize: 24, defaultOpen: true },
});
player.once('ready', () => attach(player.danmu, open()));
