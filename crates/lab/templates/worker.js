'use strict';
// One WebAssembly module, one question at a time. Messages: {module} once, then {id, request}; or {id, train} for a whole training.
let wasm;
function ask(request) {
  const bytes = new TextEncoder().encode(JSON.stringify(request));
  const at = wasm.room(bytes.length);
  new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
  const length = wasm.answer(), from = wasm.said(); // memory may have grown: look at it afterwards
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, from, length)));
  if (answer && answer.error) throw new Error(answer.error);
  return answer;
}
function train(id, request) {
  ask({ what: 'train', ...request });
  for (let step = 0; step < request.steps; ) {
    const progress = ask({ what: 'step', count: 1 });
    step = progress.step;
    const judged = step % 10 === 0 || step === request.steps ? ask({ what: 'judge' }) : null;
    postMessage({ id, progress, judged });
  }
  postMessage({ id, answer: ask({ what: 'weights' }) });
}
onmessage = async ({ data: { id, module, request, train: training } }) => {
  try {
    if (module) {
      wasm = (await WebAssembly.instantiate(module, {})).exports;
      postMessage({ id, answer: {} });
    } else if (training) train(id, training);
    else postMessage({ id, answer: ask(request) });
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
