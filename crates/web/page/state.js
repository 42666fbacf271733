// What is set lives in the address, so that a link says it all.
const DEFAULTS = { i: 0, w: '', c: '', o: '', a: 'loda', k: '3.1', l: '', v: '', t: '1_0_0', r: '3_10_3_13', s: '' };
const state = { ...DEFAULTS };
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, DEFAULTS);
  for (const key of Object.keys(DEFAULTS)) if (given.has(key)) state[key] = given.get(key);
  state.i = Math.max(0, Math.min(1e6, Math.floor(Number(state.i) || 0)));
  if (!ALIGNERS.includes(state.a)) state.a = 'loda';
}
function writeAddress() {
  const all = Object.entries(state).filter(([key, value]) => String(value) !== String(DEFAULTS[key]));
  history.replaceState(null, '', all.length ? '#' + new URLSearchParams(all) : location.pathname + location.search);
}
let picture = null; // a picture of one's own stays in the tab: an address can't hold it
const numbers = (text, separator = '_') => text.split(separator).map(Number);
const ks = () => numbers(state.k, '.').map((k, i) => Math.max(1, Math.min(i ? 25 : 64, Math.floor(k) || 1)));
// Objects in the address: class_x_y_half_turn_mirrored, separated by dots of their own (`~`).
const objectsOf = (text) => text.split('~').filter(Boolean).slice(0, 6).map((one) => {
  const [kind, x, y, half, turn, mirrored] = numbers(one);
  return { class: kind, centre: [x, y], half, turn: turn || 0, mirrored: mirrored === 1 };
});
const textOf = (objects) => objects.map((o) => [o.class, ...o.centre.map((x) => +x.toFixed(3)), +o.half.toFixed(3), +o.turn.toFixed(3), o.mirrored ? 1 : 0].join('_')).join('~') || '~';
function scene() {
  if (picture) return { picture };
  const request = { index: state.i };
  if (state.c !== '') request.context = Number(state.c);
  if (state.o !== '') request.objects = objectsOf(state.o);
  return request;
}
