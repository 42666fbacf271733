'use strict';
// From the page to the workers, and small helpers for everything that follows.
const $ = (id) => document.getElementById(id);
const ALIGNERS = ['holistic', 'dense', 'loda'], TITLES = { holistic: 'holistic', dense: 'dense', loda: 'LoDA' };
const el = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const fixed = (x, digits = 3) => (x == null ? '–' : (x < 0 ? '−' : '') + Math.abs(x).toFixed(digits));
const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const base64Of = (bytes) => {
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};

const workerUrl = URL.createObjectURL(new Blob([$('worker-text').textContent], { type: 'text/javascript' }));
class Side {
  constructor(module) {
    this.worker = new Worker(workerUrl);
    this.waiting = new Map();
    this.last = 0;
    this.worker.onmessage = ({ data }) => {
      const one = this.waiting.get(data.id);
      if (!one) return;
      if (data.progress) return one.progress(data);
      this.waiting.delete(data.id);
      data.error ? one.reject(new Error(data.error)) : one.resolve(data.answer);
    };
    this.ready = this.send({ module });
  }
  send(message, progress) {
    return new Promise((resolve, reject) => {
      const id = ++this.last;
      this.waiting.set(id, { resolve, reject, progress });
      this.worker.postMessage({ id, ...message });
    });
  }
  ask(request) { return this.send({ request }); }
  end() { this.worker.terminate(); this.waiting.clear(); }
}

// Of questions of one kind the newest alone counts: a slider asks faster than answers come.
const newest = new Map();
async function asked(kind, request, draw) {
  const own = newest.get(kind) || { busy: false, next: null };
  newest.set(kind, own);
  own.next = { request, draw };
  if (own.busy) return;
  own.busy = true;
  while (own.next) {
    const { request, draw } = own.next;
    own.next = null;
    try {
      const answer = await desk.ask(request);
      if (!own.next) await draw(answer);
    } catch (error) { complain(error); }
  }
  own.busy = false;
}
function complain(error) {
  $('status').textContent = error.message;
  $('status').className = 'error';
}
// Lets the browser do something else, so that no task of the page is a long one.
const pause = () => new Promise((done) => setTimeout(done));
let desk, module, facts;
