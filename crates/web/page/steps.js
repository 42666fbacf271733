// Sections 3, 5, 6 and 7: one explanation, four views of it.
let told = null, patch = null;
const ask = (recipe = {}) => ({ aligner: state.a, scene: scene(), words: state.w ? [state.w] : [], k: ks(), recipe });
const kernels = () => { const [rounds, colour, place, sigma] = numbers(state.r); return { ...facts.kernels, iterations: rounds, bilateral_compat: colour, gaussian_compat: place, bilateral_srgb: sigma }; };
const dial = () => { const [k, n, background] = numbers(state.t); return { k, n, background: background === 1 }; };
function recipe() {
  const { k, n, background } = dial();
  return {
    threshold: { kind: 'statistics', k, top_n: n < 2 ? 'upper-half' : n, std: 'population', background },
    refine: { kind: 'crf', labels: 'class-or-rest', image: 'exact', closing: 'off', kernels: kernels() },
  };
}
function explain() {
  writeAddress();
  asked('explain', { what: 'explain', ...ask(recipe()) }, async (answer) => {
    told = answer;
    showClasses();
    for (const show of [showLedger, showPixels, showK, showScores, showRounds]) {
      await pause();
      show();
    }
  });
  asked('rules', { what: 'rules', ask: ask(recipe()), dial: dial() }, showRules);
}
const shownClass = () => Math.max(0, told.classes.findIndex((c) => c.name === (state.l || word())));
function showClasses() {
  const names = told.classes.map((c) => c.name).join();
  if ($('ledger-class').dataset.names !== names) {
    $('ledger-class').dataset.names = names;
    const options = () => told.classes.map((c, i) => el('option', { value: i, textContent: c.name }));
    $('ledger-class').replaceChildren(...options());
    $('ledger-versus').replaceChildren(el('option', { value: '', textContent: 'nothing' }), el('option', { value: -1, textContent: 'the mean class' }), ...options());
  }
  $('ledger-class').value = shownClass();
  $('ledger-versus').value = state.v;
}
function entries() {
  if (told.ledger.kind !== 'split') return null;
  const of = (c) => told.ledger.entries[c], own = of(shownClass()), v = state.v;
  if (v === '') return own;
  const count = told.classes.length;
  return own.map((x, p) => x - (v === '-1' ? told.ledger.entries.reduce((sum, row) => sum + row[p], 0) / count : of(Number(v))[p]));
}
function showLedger() {
  const all = entries(), grid = $('grid'), name = told.classes[shownClass()].name;
  grid.classList.toggle('whole', !all);
  if (!grid.children.length) for (let p = 0; p < 64; p++) grid.append(el('button', { type: 'button', tabIndex: p ? -1 : 0, onclick: () => choose(p), onkeydown: (event) => {
    const to = { ArrowLeft: p - 1, ArrowRight: p + 1, ArrowUp: p - 8, ArrowDown: p + 8 }[event.key];
    if (to == null || to < 0 || to > 63) return;
    event.preventDefault();
    for (const other of grid.children) other.tabIndex = -1;
    grid.children[to].tabIndex = 0;
    grid.children[to].focus();
  } }));
  const largest = all ? Math.max(...all.map(Math.abs), 1e-9) : 1;
  [...grid.children].forEach((button, p) => {
    const value = all ? all[p] : 0, [r, g, b] = signed(value / largest);
    button.style.backgroundColor = `rgb(${r} ${g} ${b})`;
    button.ariaPressed = String(p === patch);
    button.ariaLabel = `row ${1 + Math.floor(p / 8)}, column ${1 + (p % 8)}: ${all ? fixed(value) : 'not split'}`;
    button.title = all ? fixed(value, 4) : '';
  });
  if (!all) {
    $('ledger-sum').textContent = told.ledger.why;
    $('terms').tBodies[0].replaceChildren();
    $('twin').replaceChildren(el('tbody', {}, el('tr', {}, el('td', { textContent: told.ledger.why }))));
    return;
  }
  const sum = all.reduce((a, b) => a + b, 0), other = state.v === '' ? 0 : state.v === '-1' ? told.scores.reduce((a, b) => a + b, 0) / told.scores.length : told.scores[Number(state.v)];
  const score = told.scores[shownClass()] - other, right = Math.abs(sum - score) < 1e-5;
  $('ledger-sum').textContent = `Patches sum to ${fixed(sum, 5)}; ${name}${state.v === '' ? ' scores' : ', the difference of scores, is'} ${fixed(score, 5)} ${right ? '✓' : '✗'}`;
  $('ledger-sum').dataset.difference = Math.abs(sum - score);
  const row = (y) => el('tr', {}, el('th', { scope: 'row', textContent: `row ${y + 1}` }), ...all.slice(8 * y, 8 * y + 8).map((x) => el('td', { textContent: fixed(x, 4) })));
  $('twin').replaceChildren(el('caption', { textContent: `What each patch adds to the score of ${name}` }), el('tbody', {}, ...[...Array(8).keys()].map(row)));
  choose(patch == null || !(patch < 64) ? all.indexOf(Math.max(...all)) : patch);
}
function choose(p) {
  patch = p;
  [...$('grid').children].forEach((button, i) => (button.ariaPressed = String(i === p)));
  const versus = state.v === '' ? null : Number(state.v);
  asked('terms', { what: 'terms', class: shownClass(), patch: p, versus }, (terms) => {
    let subtotal = 0;
    const rows = terms.map((term) => {
      subtotal += term.adds;
      return el('tr', {}, ...[term.channel, fixed(term.value), `${term.rank} of 64`, fixed(term.class), fixed(term.adds, 4), fixed(subtotal, 4)].map((text) => el('td', { textContent: text })));
    });
    $('patch-title').textContent = `Patch in row ${1 + Math.floor(p / 8)}, column ${1 + (p % 8)}: ${terms.length} of ${told.channels} channels, ${fixed(subtotal, 4)}`;
    $('terms').tBodies[0].replaceChildren(...rows);
  });
}
function showPixels() {
  const side = told.input.width, present = [...new Set(told.composed)].sort((a, b) => a - b);
  paint($('labels'), side, (p) => colourOf(told.composed[p]));
  $('labels').setAttribute('aria-label', 'labels: ' + present.map((l) => told.classes[l] && told.classes[l].name).join(', '));
  $('legend').replaceChildren(...present.map((label) => {
    const key = el('span', { className: 'key' });
    key.style.background = `rgb(${colourOf(label)})`;
    return el('span', {}, key, told.classes[label] ? told.classes[label].name : 'none');
  }));
  $('pixel').textContent = told.truth ? `mIoU of this label map: ${fixed(told.truth.miou)}.` : '';
}
function showK() {
  const [image, text] = ks(), c = shownClass(), own = entries();
  for (const [id, value] of [['k-image', image], ['k-text', text]]) { $(id).value = value; $(id).nextElementSibling.value = value; }
  const map = told.text_to_image[c], [low, high] = range(map);
  if (own) { const largest = Math.max(...own.map(Math.abs), 1e-9); paintPatches($('k-share'), own, (x) => signed(x / largest)); }
  paintPatches($('k-raw'), map, (x) => signed(x));
  paintPatches($('k-map'), map, (x) => heat((x - low) / (high - low || 1)));
  const count = own && own.map(Math.abs).sort((a, b) => b - a), all = own && count.reduce((a, b) => a + b, 0), pooling = told.pooling;
  const picked = pooling.kind === 'per-channel' ? new Set(pooling.picks.flat().map((pick) => pick.token)).size : pooling.kind === 'uniform' ? 64 : null;
  $('k-note').textContent = `${TITLES[state.a]}: ${told.classes[c].name} scores ${fixed(told.scores[c])}. ` + (own ? `${picked} of 64 patches are pooled by some channel; the three largest entries are ${Math.round((100 * (count[0] + count[1] + count[2])) / (all || 1))}% of all entries' sizes. ` : '') +
    `Cosines go from ${fixed(low, 2)} to ${fixed(high, 2)}.` + (state.a === 'loda' ? '' : ' k changes LoDA alone: choose it in section 3.');
}
function showScores() {
  const { selection, scores, classes } = told, order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]);
  const entered = selection.statistics ? selection.statistics.entered : [];
  const [k, n, background] = numbers(state.t);
  for (const [id, value, text] of [['t-k', k, k], ['t-n', Math.max(1, n), n < 2 ? 'better half' : n]]) { $(id).value = value; $(id).nextElementSibling.value = text; }
  $('t-background').checked = background === 1;
  $('scores').replaceChildren(...order.map((c) => el('div', { className: 'bar' + (selection.selected.includes(c) ? ' drawn' : '') + (entered.includes(c) ? ' entered' : '') },
    el('span', { textContent: classes[c].name }), bar(-1, 1, scores[c], selection.threshold), el('span', { className: 'numbers', textContent: fixed(scores[c]) }))),
    el('p', { className: 'note', textContent: selection.statistics ? `μ = ${fixed(selection.statistics.mean)}, σ = ${fixed(selection.statistics.deviation)} of ${entered.length} scores: θ = ${fixed(selection.threshold)} (dashed). Bars start at zero.` : '' }));
}
function showRules(rows) {
  $('rules').tBodies[0].replaceChildren(...rows.map((row) => el('tr', {}, ...[row.rule, fixed(row.threshold), row.selected.map((c) => told ? told.classes[c].name : c).join(', ') || 'nothing', fixed(row.miou)].map((text) => el('td', { textContent: text })))));
}
function showRounds() {
  const values = numbers(state.r);
  ['c-iterations', 'c-colour', 'c-place', 'c-sigma'].forEach((id, i) => { $(id).value = values[i]; $(id).nextElementSibling.value = values[i]; });
  const side = told.input.width;
  const figures = told.found.slice(0, 3).flatMap((found) => {
    const one = (title, colour) => { const canvas = el('canvas'); canvas.setAttribute('role', 'img'); canvas.setAttribute('aria-label', title); paint(canvas, side, colour); return el('figure', {}, canvas, el('figcaption', { textContent: title })); };
    const name = told.classes[found.class].name, last = found.q.length - 1;
    const shown = found.q.map((q, t) => [q, t]).filter(([, t]) => t <= 3 || t === last);
    return [...shown.map(([q, t]) => one(t ? `${name}, round ${t}` : `${name}: its map`, (p) => heat(q[p]))), one(`${name}: mask`, (p) => (found.mask[p] ? [255, 255, 255] : [24, 24, 24]))];
  });
  $('rounds').replaceChildren(...(figures.length ? figures : [el('p', { textContent: 'No class reached the threshold: there is no map to refine.' })]));
}
function setUpSteps() {
  for (const aligner of ALIGNERS) $('ledger-aligner').append(el('label', {}, el('input', { type: 'radio', name: 'aligner', value: aligner, checked: state.a === aligner, onchange: () => { state.a = aligner; explain(); } }), TITLES[aligner]));
  const redraw = () => { writeAddress(); if (told) { showLedger(); showK(); } };
  $('ledger-class').onchange = () => { state.l = told.classes[$('ledger-class').value].name; redraw(); };
  $('ledger-versus').onchange = () => { state.v = $('ledger-versus').value; redraw(); };
  choosing($('labels'), (x, y) => asked('pixel', { what: 'pixel', x, y }, (pixel) => { $('pixel').textContent = `Row ${y + 1}, column ${x + 1}: ${pixel.sentence}`; }));
  for (const id of ['k-image', 'k-text']) $(id).oninput = () => { state.k = `${$('k-image').value}.${$('k-text').value}`; changed(); };
  for (const id of ['t-k', 't-n', 't-background']) $(id).oninput = () => { const n = Number($('t-n').value); state.t = `${$('t-k').value}_${n < 2 ? 0 : n}_${$('t-background').checked ? 1 : 0}`; explain(); };
  for (const id of ['c-iterations', 'c-colour', 'c-place', 'c-sigma']) $(id).oninput = () => { state.r = ['c-iterations', 'c-colour', 'c-place', 'c-sigma'].map((one) => $(one).value).join('_'); explain(); };
  choosing($('c-scene'), (x, y) => asked('kernel', { what: 'kernel', scene: scene(), x, y, kernels: kernels() }, (rows) => {
    for (const [id, row] of [['c-near', rows.position], ['c-alike', rows.colour]]) {
      const most = row.reduce((a, b) => Math.max(a, b), 0);
      paint($(id), rows.side, (p) => heat(Math.sqrt(row[p] / most)));
      $(id).setAttribute('aria-label', `what the pixel in row ${y + 1}, column ${x + 1} hears; its own share is ${fixed(row[y * rows.side + x])}`);
    }
  }));
}
