import Danmaku from 'danmaku';
import { attach } from '../danmaku.js';
import { open } from './page.js';
import { makeFilm } from './video.js';

const film = document.getElementById('film');
film.src = await makeFilm();
await film.play();

const container = document.getElementById('layer');
const danmaku = new Danmaku({ container });
new ResizeObserver(() => danmaku.resize()).observe(container);
attach(danmaku, open());
