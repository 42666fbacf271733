// Sections 1 and 2: a scene, three maps, three dials.
let looked = null;
function word() { return (state.w || (looked && looked.composition && looked.composition.objects[0] && facts.objects[looked.composition.objects[0].class - 1]) || 'fish').trim().toLowerCase(); }
function caption() { return `a ${$('swap-object').value} in the ${$('swap-context').value}.`; }
function look() {
  writeAddress();
  asked('look', { what: 'look', scene: scene(), word: word() === 'background' ? 'fish' : word(), caption: caption(), k: ks() }, (answer) => {
    const first = !looked, changed = first || JSON.stringify(looked.composition) !== JSON.stringify(answer.composition);
    looked = answer;
    if (changed) {
      // The captions and the word of a new scene are its own.
      const { objects = [], context = 0 } = answer.composition || {};
      if (objects[0]) $('swap-object').value = facts.objects[objects[0].class - 1];
      $('swap-context').value = facts.contexts[context];
      $('context').value = context;
      if (!state.w || first) return look();
    }
    showLook(answer);
  });
}
function showLook(answer) {
  const rgb = bytesOf(answer.rgb);
  for (const id of ['scene', 'c-scene']) paintRgb($(id), rgb, answer.side);
  const seen = answer.composition && answer.composition.objects.map((o) => facts.objects[o.class - 1]).join(' and ');
  $('scene').setAttribute('aria-label', answer.composition ? `scene ${state.i}: ${seen || 'nothing'} on ${facts.contexts[answer.composition.context]}. Click to add the chosen object.` : 'your picture, at 64×64 pixels');
  $('scene-number').textContent = answer.composition ? `${state.i}: ${seen || 'nothing'}, ${facts.contexts[answer.composition.context]}` : ': yours, 64×64';
  if (document.activeElement !== $('word')) $('word').value = word();
  const unknown = word().split(/\s+/).filter((part) => !facts.words.includes(part));
  $('word-note').textContent = unknown.length ? `The models never met “${unknown.join('”, “')}”: they read [UNK], a token without a meaning, and the maps mean nothing.` : '';
  $('dials').replaceChildren();
  for (const aligner of ALIGNERS) {
    const model = answer.models[aligner];
    if (!model) continue;
    const canvas = $('map-' + aligner), { low, high, peak } = paintMap(canvas, model.map);
    const on = answer.truth && onObject(answer, peak);
    canvas.nextElementSibling.lastElementChild.textContent = `${on == null ? '' : on ? '✓ on it, ' : '✗ beside it, '}${fixed(low, 2)} to ${fixed(high, 2)}`;
    canvas.setAttribute('aria-label', `${TITLES[aligner]}: map of “${word()}”, highest in row ${1 + Math.floor(peak / 8)}, column ${1 + (peak % 8)}${on == null ? '' : on ? ', on the object' : ', beside the object'}`);
    const drop = model.right == null ? null : model.right - model.caption;
    $('dials').append(el('div', { className: 'dial ' + aligner }, el('span', { className: 'name', textContent: TITLES[aligner] }), bar(-1, 1, model.caption, model.right),
      el('span', { className: 'numbers', textContent: fixed(model.caption) + (drop == null || Math.abs(drop) < 5e-4 ? '' : drop > 0 ? `, ${fixed(drop)} lower` : `, ${fixed(-drop)} higher`) })));
  }
  $('swap-caption').textContent = `“${caption()}”` + (answer.right ? (answer.right === caption() ? ' is right' : ` for “${answer.right}”`) : '');
}
// Whether the centre of a patch is on a pixel of the word's class; nothing for a word that is not there.
function onObject(answer, peak) {
  const label = facts.objects.indexOf(word()) + 1;
  if (!label || !answer.truth.includes(label)) return null;
  const [y, x] = [Math.floor(peak / 8) * 8 + 4, (peak % 8) * 8 + 4];
  return answer.truth[y * 64 + x] === label;
}
function changed() { look(); explain(); }
function setUpScene() {
  const option = (text, value = text) => el('option', { value, textContent: text });
  $('known').append(...facts.objects.concat(facts.contexts).map((name) => option(name)));
  $('context').append(...facts.contexts.map((name, i) => option(name, i)));
  $('brush').append(...facts.objects.map((name, i) => option(name, i + 1)));
  $('swap-object').append(...facts.objects.map((name) => option(name)));
  $('swap-context').append(...facts.contexts.map((name) => option(name)));
  $('parameters').textContent = facts.parameters.toLocaleString('en');
  const edit = (objects) => { picture = null; state.o = textOf(objects); changed(); };
  const now = () => (looked && looked.composition ? looked.composition.objects : []);
  $('next').onclick = () => { picture = null; Object.assign(state, { i: state.i + 1, c: '', o: '', w: '', l: '' }); changed(); };
  $('restore').onclick = () => { picture = null; Object.assign(state, { c: '', o: '' }); changed(); };
  $('erase').onclick = () => edit(now().slice(0, -1));
  $('context').onchange = () => { picture = null; state.c = $('context').value; changed(); };
  $('word').onchange = () => { state.w = $('word').value.trim().toLowerCase(); changed(); };
  for (const id of ['swap-object', 'swap-context']) $(id).onchange = look;
  choosing($('scene'), (x, y) => {
    if (now().length >= 6) return;
    edit([...now(), { class: Number($('brush').value), centre: [(x + 0.5) / 64, (y + 0.5) / 64], half: Number($('size').value) / 2, turn: 0, mirrored: false }]);
  });
  $('own').onchange = async () => {
    const file = $('own').files[0];
    if (!file) return;
    try {
      const bitmap = await createImageBitmap(file), canvas = el('canvas', { width: 64, height: 64 }), context = canvas.getContext('2d');
      context.drawImage(bitmap, 0, 0, 64, 64);
      const { data } = context.getImageData(0, 0, 64, 64), rgb = new Uint8Array(64 * 64 * 3);
      for (let p = 0; p < 64 * 64; p++) rgb.set(data.subarray(4 * p, 4 * p + 3), 3 * p);
      picture = { side: 64, rgb: base64Of(rgb) };
      changed();
    } catch { complain(new Error(`${file.name} is no picture that this browser can read.`)); }
  };
}
