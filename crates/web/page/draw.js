// Numbers to pixels. Nothing is computed here but colours.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
// 256 colours, computed once: a redrawn page asks for some hundred thousand.
const HEAT = Array.from({ length: 256 }, (_, value) => {
  const at = (value / 255) * 4, low = Math.min(3, Math.floor(at)), t = at - low;
  return STOPS[low].map((c, i) => Math.round(c + (STOPS[low + 1][i] - c) * t));
});
const heat = (value) => HEAT[Math.round(Math.min(1, Math.max(0, value || 0)) * 255)];
// Blue adds, red takes away, around the card's own colour.
function signed(value) {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches, t = Math.min(1, Math.abs(value));
  const from = dark ? [28, 32, 39] : [255, 255, 255], to = value >= 0 ? (dark ? [96, 150, 255] : [37, 99, 235]) : dark ? [255, 105, 97] : [220, 38, 38];
  return from.map((c, i) => Math.round(c + (to[i] - c) * t));
}
function paint(canvas, side, colour) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext('2d'), image = context.createImageData(side, side);
  const { data } = image;
  for (let p = 0; p < side * side; p++) {
    const rgb = colour(p);
    data[4 * p] = rgb[0];
    data[4 * p + 1] = rgb[1];
    data[4 * p + 2] = rgb[2];
    data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
const paintRgb = (canvas, rgb, side) => paint(canvas, side, (p) => [rgb[3 * p], rgb[3 * p + 1], rgb[3 * p + 2]]);
const range = (values) => values.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
// A patch map, 8 pixels a patch so that a ring fits; the first of the highest patches is ringed.
function paintMap(canvas, map) {
  const n = Math.round(Math.sqrt(map.length)), [low, high] = range(map), peak = map.indexOf(high);
  paint(canvas, n * 8, (p) => heat((map[Math.floor(Math.floor(p / (n * 8)) / 8) * n + Math.floor((p % (n * 8)) / 8)] - low) / (high - low || 1)));
  const context = canvas.getContext('2d');
  context.lineWidth = 1.2;
  context.strokeStyle = '#fff';
  context.beginPath();
  context.arc((peak % n) * 8 + 4, Math.floor(peak / n) * 8 + 4, 5, 0, 7);
  context.stroke();
  return { low, high, peak };
}
const paintPatches = (canvas, values, colour) => { const n = Math.round(Math.sqrt(values.length)); paint(canvas, n, (p) => colour(values[p])); };
function pixelOf(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top].map((at, i) => Math.max(0, Math.min(canvas.width - 1, Math.floor((at / (i ? box.height : box.width)) * canvas.width))));
}
// A canvas whose pixels are chosen by a click or by arrow keys.
function choosing(canvas, chosen) {
  let at = [32, 32];
  canvas.addEventListener('click', (event) => chosen(...(at = pixelOf(canvas, event))));
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2], Enter: [0, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    at = at.map((x, i) => Math.max(0, Math.min(canvas.width - 1, x + step[i])));
    chosen(...at);
  });
}
const colourOf = (label) => (label === 0 ? [40, 44, 52] : label === 65535 ? [0, 0, 0] : facts.palette[(label - 1) % facts.palette.length]);
function bar(low, high, value, mark) {
  const at = (x) => (100 * (x - low)) / (high - low), zero = at(Math.max(low, Math.min(high, 0))), end = at(Math.max(low, Math.min(high, value)));
  const track = el('span', { className: 'track' }), fill = el('i'), origin = el('s');
  fill.style.left = Math.min(zero, end) + '%';
  fill.style.width = Math.abs(end - zero) + '%';
  origin.style.left = zero + '%';
  track.append(fill, origin);
  if (mark != null) {
    const line = el('u');
    line.style.left = at(Math.max(low, Math.min(high, mark))) + '%';
    track.append(line);
  }
  return track;
}
