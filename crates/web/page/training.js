// Section 4: three workers, one training each. Section 8: exercises.
const FIELDS = [['bias', 'object at home', 0, 1, 0.05], ['naming', 'context named', 0, 1, 0.05], ['left_out', 'object left out', 0, 1, 0.05], ['k', 'LoDA k', 1, 16, 1], ['batch', 'batch', 4, 64, 4], ['steps', 'steps', 10, 600, 10], ['pictures', 'pictures', 100, 8000, 100], ['seed', 'seed', 0, 99, 1]];
let running = [];
function setUpTraining() {
  const given = state.s ? numbers(state.s) : [];
  FIELDS.forEach(([name, title, min, max, step], i) => {
    const start = name === 'k' ? facts.training.k[0] : facts.training[name];
    $('settings').append(el('label', {}, title + ' ', el('input', { type: 'number', id: 's-' + name, min, max, step, value: given[i] ?? start, onchange: () => { state.s = FIELDS.map(([one]) => $('s-' + one).value).join('_'); writeAddress(); } })));
  });
  for (const aligner of ALIGNERS) {
    const card = el('div', { className: 'card ' + aligner, id: 'card-' + aligner });
    card.innerHTML = `<h3 class="name">${TITLES[aligner]}</h3><div><span class="big">–</span> <span class="note">of objects pointed at</span></div><progress max="1" value="0" aria-label="progress of ${TITLES[aligner]}"></progress><svg viewBox="0 0 240 80" role="img" aria-label="point on object over steps"></svg><div class="note numbers">not trained here yet</div>`;
    $('cards').append(card);
  }
  $('train').onclick = () => train().catch(complain);
  $('stop').onclick = () => stop('Stopped: the models above are as they were.');
}
function stop(note) {
  running.forEach((side) => side.end());
  running = [];
  $('train').disabled = false;
  $('stop').disabled = true;
  $('train-note').textContent = note;
}
async function train() {
  const value = (name) => { const input = $('s-' + name); if (!input.checkValidity()) throw new Error(`${name}: ${input.validationMessage}`); return Number(input.value); };
  const request = { bias: value('bias'), naming: value('naming'), left_out: value('left_out'), batch: value('batch'), steps: value('steps'), pictures: value('pictures'), seed: value('seed'), k: [value('k'), 1] };
  $('train').disabled = true;
  $('stop').disabled = false;
  $('train-note').textContent = 'Training …';
  const start = performance.now();
  const one = async (aligner) => {
    const side = new Side(module), points = [[0, null]], losses = [], card = $('card-' + aligner);
    running.push(side);
    await side.ready;
    const { weights } = await side.send({ train: { aligner, ...request } }, ({ progress, judged }) => {
      losses.push(progress.loss / progress.chance);
      if (judged) points.push([progress.step, judged.point_on_object]);
      showCard(card, progress, points, losses);
    });
    await desk.ask({ what: 'load', aligner, weights });
    side.end();
    return points.at(-1)[1];
  };
  const ended = await Promise.all(ALIGNERS.map(one));
  stop(`Done in ${((performance.now() - start) / 1000).toFixed(1)} s. Sections 1 to 7 now show these models.`);
  $('train-note').dataset.points = JSON.stringify(Object.fromEntries(ALIGNERS.map((aligner, i) => [aligner, ended[i]])));
  changed();
}
function showCard(card, progress, points, losses) {
  const last = points.at(-1)[1], x = (step) => (8 + (224 * step) / progress.steps).toFixed(1), y = (share) => (72 - 64 * share).toFixed(1);
  const line = (all) => all.map(([step, share]) => `${x(step)},${y(share)}`).join(' ');
  card.querySelector('.big').textContent = last == null ? '…' : Math.round(100 * last) + '%';
  card.querySelector('progress').value = progress.step / progress.steps;
  const known = points.filter(([, share]) => share != null);
  card.querySelector('svg').innerHTML = `<line x1="8" y1="72" x2="232" y2="72" stroke="currentColor" opacity=".4"/><line x1="8" y1="8" x2="232" y2="8" stroke="currentColor" opacity=".15"/>` +
    `<polyline points="${line(losses.map((loss, i) => [i + 1, Math.min(1, loss)]))}" fill="none" stroke="currentColor" opacity=".35" stroke-dasharray="3 2"/>` +
    `<polyline points="${line(known)}" fill="none" stroke="currentColor" stroke-width="2.5"/>` + known.map(([step, share]) => `<circle cx="${x(step)}" cy="${y(share)}" r="2.5" fill="currentColor"/>`).join('');
  card.querySelector('svg').setAttribute('aria-label', `point on object: ${known.map(([step, share]) => `${Math.round(100 * share)}% after ${step} steps`).join(', ') || 'not asked yet'}`);
  card.querySelector('.numbers').textContent = `step ${progress.step} of ${progress.steps}, loss ${progress.loss.toFixed(2)} (guessing: ${progress.chance.toFixed(2)}, dashed line: their ratio)`;
}
function setUpExercises() {
  facts.exercises.forEach((exercise, i) => {
    const said = el('output', {}), input = el('input', { type: 'number', step: 'any', ariaLabel: `answer to exercise ${i + 1}` });
    const form = el('form', { className: 'controls', onsubmit: (event) => {
      event.preventDefault();
      const answer = input.valueAsNumber;
      if (Number.isNaN(answer)) return (said.textContent = 'A number, please.');
      desk.ask({ what: 'exercise', number: i + 1, answer }).then((marked) => { said.textContent = marked.text; said.className = marked.right ? 'right' : 'wrong'; }, complain);
    } }, input, el('button', { type: 'submit', textContent: 'Check' }), said);
    $('exercises').append(el('li', {}, exercise.question, form));
  });
}
