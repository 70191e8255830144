// With ?from=MS besides: what was said in the room since then, each at its time of
// the film, from danmakud's replay API (--archive, --dplayer); live comments too.
import DPlayer from 'dplayer';
import { attach, backend } from '../dplayer.js';
import { from, open, room, server } from './page.js';
import { makeFilm } from './video.js';

const film = await makeFilm();
const client = open();
const player = new DPlayer({
  container: document.getElementById('player'),
  lang: 'en',
  mutex: false,
  loop: true,
  volume: 0,
  video: { url: film, type: 'normal' },
  danmaku: { id: `${room}&from=${from}`, api: new URL('dplayer/', server).href, user: 'me', bottom: '15%' },
  apiBackend: backend(client, { replay: from !== null }),
});
player.video.muted = true;
player.play();
attach(player, client);
window.player = player; // for the console
