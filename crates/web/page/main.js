// Starts it all: one module, compiled once, shared by every worker.
async function start() {
  const began = performance.now();
  // The browser decodes an address of data in a thread of its own; two megabytes of it here would block the page.
  const inline = (id) => { const node = $(id); return node ? fetched('data:application/octet-stream;base64,' + node.textContent.trim()) : null; };
  const fetched = async (name) => { const answer = await fetch(name); if (!answer.ok) throw new Error(`${name.slice(0, 40)}: ${answer.status}`); return new Uint8Array(await answer.arrayBuffer()); };
  const [code, weights] = await Promise.all([inline('wasm') || fetched('simseg.wasm'), inline('weights') || fetched('weights.bin')]);
  module = await WebAssembly.compile(code);
  desk = new Side(module);
  await desk.ready;
  facts = await desk.ask({ what: 'facts' });
  const each = weights.length / 3;
  await Promise.all(ALIGNERS.map((aligner, i) => desk.ask({ what: 'load', aligner, weights: base64Of(weights.subarray(i * each, (i + 1) * each)) })));
  readAddress();
  setUpScene();
  setUpSteps();
  setUpTraining();
  setUpExercises();
  look();
  explain();
  addEventListener('hashchange', () => { readAddress(); changed(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => told && (showLedger(), showK()));
  $('status').textContent = `Ready: three models trained while this page was built, and a library of ${Math.round(code.length / 1000)} kB. First answers after ${Math.round(performance.now() - began)} ms.`;
  document.documentElement.dataset.ready = 'yes';
}
start().catch(complain);
