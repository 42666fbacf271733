'use strict';
(() => {
  const $ = (id) => document.getElementById('live-' + id), text = (id) => $(id).textContent.trim();
  const recipe = JSON.parse(text('recipe')), colours = JSON.parse(text('colours'));
  const dialled = (recipe.threshold || {}).kind === 'statistics';
  let worker, picture, told, last = 0;
  const waiting = new Map();
  const send = (message) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, ...message });
  });
  const say = (words, wrong = false) => { $('status').textContent = words; $('status').className = wrong ? 'wrong' : 'soft'; };

  // The picture as it stands above; a photograph at 512 pixels at most.
  function pixels() {
    const image = $('original'), scale = Math.min(1, 512 / Math.max(image.naturalWidth, image.naturalHeight));
    const width = Math.max(1, Math.round(image.naturalWidth * scale)), height = Math.max(1, Math.round(image.naturalHeight * scale));
    const canvas = Object.assign(document.createElement('canvas'), { width, height }), context = canvas.getContext('2d');
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    let bytes = '';
    for (let p = 0; p < width * height; p++) bytes += String.fromCharCode(data[4 * p], data[4 * p + 1], data[4 * p + 2]);
    return { width, height, rgb: btoa(bytes) };
  }
  function paint(canvas, [height, width], colour) {
    Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d'), image = context.createImageData(width, height);
    for (let p = 0; p < width * height; p++) image.data.set([...colour(p), 255], 4 * p);
    context.putImageData(image, 0, 0);
  }
  const signed = (value) => { const t = Math.min(1, Math.abs(value)), end = value < 0 ? [214, 69, 65] : [31, 111, 205]; return end.map((c) => Math.round(255 + (c - 255) * t)); };
  const colourOf = (label) => (label >= colours.length ? (label > 60000 ? [0, 0, 0] : colours[1 + ((label - 1) % (colours.length - 1))] || [128, 128, 128]) : colours[label]);

  function show() {
    const order = told.scores.map((_, i) => i).sort((a, b) => told.scores[b] - told.scores[a]);
    $('scores').replaceChildren(...order.slice(0, 20).map((c) => {
      const row = document.createElement('tr');
      for (const cell of [told.classes[c], told.scores[c].toFixed(3), told.selected.includes(c) ? 'drawn' : '']) row.append(Object.assign(document.createElement('td'), { textContent: cell }));
      return row;
    }));
    const chosen = told.classes.indexOf($('class').value);
    $('class').replaceChildren(...told.classes.map((name) => Object.assign(document.createElement('option'), { textContent: name })));
    $('class').selectedIndex = chosen >= 0 ? chosen : told.selected[0] || 0;
    paint($('labels'), told.input, (p) => colourOf(told.composed[p]));
    showLedger();
    say(told.threshold == null ? 'This rule has no threshold.' : `θ = ${told.threshold.toFixed(3)}; drawn: ${told.selected.map((c) => told.classes[c]).join(', ') || 'nothing'}.`);
  }
  function showLedger() {
    const entries = told.entries && told.entries[$('class').selectedIndex];
    $('ledger').parentElement.hidden = !entries;
    if (!entries) return;
    const most = Math.max(...entries.map(Math.abs), 1e-9), sum = entries.reduce((a, b) => a + b, 0);
    paint($('ledger'), told.grid, (p) => signed(entries[p] / most));
    $('sum').textContent = `Patches sum to ${sum.toFixed(5)}; the score is ${told.scores[$('class').selectedIndex].toFixed(5)}.`;
  }

  // Of several changes the last one counts: a slider is faster than a network.
  let busy = false, again = false;
  async function answer() {
    if (busy) return void (again = true);
    busy = true;
    do {
      again = false;
      if (dialled) { recipe.threshold.k = Number($('k').value); $('k').nextElementSibling.value = $('k').value; }
      const refine = { cut: { kind: 'cut' }, crf: { kind: 'crf' } }[$('refine').value] || JSON.parse(text('recipe')).refine;
      try {
        told = await send({ request: { what: 'own', ...picture, classes: $('words').value, recipe: { ...recipe, refine } } });
        show();
      } catch (error) { say(error.message, true); }
    } while (again);
    busy = false;
  }
  $('start').onclick = async () => {
    $('start').disabled = true;
    say('Reading the module and the model …');
    try {
      const code = await (await fetch('data:application/octet-stream;base64,' + text('module'))).arrayBuffer();
      worker = new Worker(URL.createObjectURL(new Blob([$('worker').textContent], { type: 'text/javascript' })));
      worker.onmessage = ({ data }) => {
        const one = waiting.get(data.id);
        waiting.delete(data.id);
        data.error ? one.reject(new Error(data.error)) : one.resolve(data.answer);
      };
      await send({ module: await WebAssembly.compile(code) });
      await send({ request: { what: 'open', config: text('config'), weights: text('weights'), tokenizer: text('vocabulary') } });
      picture = pixels();
      if (dialled) $('k').value = recipe.threshold.k; else $('k').disabled = true;
      $('form').hidden = false;
      await answer();
    } catch (error) { say(error.message, true); }
  };
  $('class').onchange = showLedger;
  for (const id of ['k', 'refine', 'words']) $(id).oninput = answer;
})();
