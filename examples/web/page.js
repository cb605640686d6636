// What the user does, and what is shown. The model works in worker.js, by one question at a time.

import { drawMask, drawMarks, drawPicture, maskPicture } from "./drawing.js";

// ?model=NAME loads models/NAME instead, and ?on=webgpu computes on a graphics card
const options = new URLSearchParams(location.search);
const MODEL = options.get("model") ?? "pocket";
const FOLDER = new URL(`models/${MODEL}/`, document.baseURI).href;
const PROVIDER = options.get("on") === "webgpu" ? "webgpu" : "wasm";
const MOST_THREADS = 8;
const SAMPLE = "sample.png";
const LARGEST = 2048; // a picture's longer side, in pixels; larger ones are reduced
const DRAG = 5; // a press that moves by fewer pixels on screen is a click
const STEP = 10; // pixels that an arrow key moves the pointer by

const element = (id) => document.getElementById(id);
const stage = element("stage");

const NOTHING = { points: [], box: null, answer: null };
let picture = null; // {number, width, height, encoded}
let steps = [NOTHING]; // prompts of the object, each with its answer; the last one is shown
let loaded = false;
let failure = null; // why there is no model
let asked = null; // the question that the worker is at
let waiting = null; // the newest question after it
let pressed = null; // where a press began
let keyboard = null; // the pointer that the arrow keys move
let over = false; // whether a pointer is on the picture

const worker = new Worker("worker.js", { type: "module" });
worker.onmessage = ({ data }) => received[data.type](data);
worker.onerror = () => fail("This browser cannot run the page. A current one is needed.");
worker.postMessage({
  type: "load",
  folder: FOLDER,
  provider: PROVIDER,
  // without isolation (serve.py) a browser gives a page one thread
  threads: self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1,
});

const received = {
  progress({ part }) {
    element("loaded").value = `${Math.round(100 * part)} %`;
  },
  loaded({ name, milliseconds }) {
    loaded = true;
    element("loaded").value = time(milliseconds);
    document.title = `Segment by clicks: ${name}`;
    // from now on it works without a network
    navigator.serviceWorker?.register(`sw.js?model=${encodeURIComponent(MODEL)}`);
    describe();
  },
  encoded({ picture: number, milliseconds }) {
    if (number !== picture.number) return;
    picture.encoded = true;
    element("encoded").value = time(milliseconds);
    describe();
    askNext();
  },
  answer(answer) {
    const question = asked;
    asked = null;
    if (question.picture === picture.number) {
      if (question.hover && over && !prompts().length) showAnswer(answer, true);
      if (!question.hover) keepAnswer(question.step, answer);
    }
    askNext();
  },
  failed({ during, message }) {
    asked = null;
    if (during === "load") fail(`The model was not loaded: ${message}`);
    else if (!failure) say(`That did not work: ${message}`);
  },
};

function fail(message) {
  failure = message;
  describe();
}

// --- pictures

async function open(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    say("This is no image that the browser can open. PNG and JPEG files always are.");
    return;
  }
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.round(scale * side));
  const rgba = drawPicture(bitmap, width, height);
  picture = { number: (picture?.number ?? 0) + 1, width, height, encoded: false };
  clear();
  worker.postMessage({ type: "encode", picture: picture.number, rgba, width, height }, [rgba.buffer]);
}

async function openSample() {
  await open(await (await fetch(SAMPLE)).blob());
}

// --- prompts

const last = () => steps[steps.length - 1];
const prompts = () => [...last().points, ...(last().box ? [last().box] : [])];

function addPoint([x, y], label) {
  addStep({ ...last(), points: [...last().points, [x, y, label]] });
}

function addBox([x0, y0], [x1, y1]) {
  const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  addStep({ ...last(), box });
}

function addStep(step) {
  if (!picture) return;
  const earlier = last().answer;
  steps.push({ ...step, answer: null });
  showPrompts();
  ask({ hover: false, step: last(), ...step, mask: earlier?.logits ?? null });
  describe();
}

function undo() {
  if (steps.length > 1) steps.pop();
  show();
}

function clear() {
  steps = [NOTHING];
  show();
}

function show() {
  waiting = null;
  showPrompts();
  if (last().answer) showAnswer(last().answer, false);
  else hideAnswer();
  describe();
}

// --- questions

function hover(place) {
  over = true;
  if (picture?.encoded && !prompts().length) {
    ask({ hover: true, points: [[...place, 1]], box: null, mask: null });
  }
}

// Asks now, or as soon as the worker is free: of the questions until then only the newest.
function ask(question) {
  waiting = { ...question, picture: picture.number };
  askNext();
}

function askNext() {
  if (asked || !waiting || !picture.encoded) return;
  [asked, waiting] = [waiting, null];
  const { points, box, mask } = asked;
  const several = points.length === 1 && !box && !mask; // a lone point does not say how much is meant
  worker.postMessage({ type: "ask", prompt: { points, box, mask }, several });
}

function keepAnswer(step, answer) {
  step.answer = answer;
  if (step !== last()) return;
  showAnswer(answer, false);
  describe();
}

// --- showing

function showAnswer(answer, hovered) {
  const { mask, area, iou, milliseconds } = answer;
  drawMask(mask, hovered);
  element("score").value = iou.toFixed(2);
  element("area").value = `${area} px`;
  element("answered").value = time(milliseconds);
  element("save").disabled = hovered || !mask;
  const detail = { hovered, iou, milliseconds };
  stage.dispatchEvent(new CustomEvent("answer", { detail })); // for programs that drive the page
}

function hideAnswer() {
  drawMask(null, false);
  for (const id of ["score", "area", "answered"]) element(id).value = "–";
  element("save").disabled = true;
}

function showPrompts() {
  drawMarks(picture, last(), keyboard);
  element("undo").disabled = element("clear").disabled = steps.length === 1;
}

function say(text) {
  element("status").textContent = text;
}

// Says what is shown, and what can be done next.
function describe() {
  const { answer } = last();
  if (failure) say(failure);
  else if (!loaded) say("The model is being loaded. A click is answered as soon as it is there.");
  else if (!picture?.encoded) say("The image is being read.");
  else if (!prompts().length) say("Ready. Click on an object, or drag a box around it.");
  else if (!answer) say("The model is asked.");
  else if (!answer.mask) say("The model finds nothing here. Esc begins anew.");
  else if (answer.presence < 0.5) say("The model doubts that there is an object here.");
  else say(`An object of ${answer.area} pixels. Further clicks improve it, Esc begins anew.`);
}

const time = (milliseconds) =>
  milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

// --- pointer

// Returns where an event is, (x, y) in pixels of the picture; a pixel's centre is a whole number.
function placeOf(event) {
  const box = stage.getBoundingClientRect();
  const within = (at, side) => Math.min(Math.max(at * side - 0.5, 0), side - 1);
  return [
    within((event.clientX - box.left) / box.width, picture.width),
    within((event.clientY - box.top) / box.height, picture.height),
  ];
}

const isDrag = (event) =>
  Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) >= DRAG;

stage.addEventListener("pointerdown", (event) => {
  if (!picture || event.button === 1) return;
  stage.setPointerCapture(event.pointerId);
  const { clientX, clientY } = event;
  pressed = { clientX, clientY, place: placeOf(event), beside: event.button === 2 || event.shiftKey };
  keyboard = null;
});

stage.addEventListener("pointerup", (event) => {
  if (!pressed) return;
  if (isDrag(event)) addBox(pressed.place, placeOf(event));
  else addPoint(pressed.place, pressed.beside ? 0 : 1);
  pressed = null;
});

stage.addEventListener("pointercancel", () => {
  pressed = null;
  showPrompts();
});

let moved = null; // the latest move of the pointer that no frame has shown
stage.addEventListener("pointermove", (event) => {
  if (!moved) requestAnimationFrame(showMove);
  moved = event;
});

function showMove() {
  const event = moved;
  moved = null;
  if (!picture) return;
  if (!pressed) hover(placeOf(event));
  else if (isDrag(event)) {
    drawMarks(picture, { ...last(), box: [...pressed.place, ...placeOf(event)] }, null);
  }
}

stage.addEventListener("pointerleave", () => {
  over = false;
  if (prompts().length) return;
  waiting = null;
  hideAnswer();
});

stage.addEventListener("contextmenu", (event) => event.preventDefault());

// --- keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") clear();
  else if (event.key.toLowerCase() === "u") undo();
});

stage.addEventListener("keydown", (event) => {
  if (!picture || event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (arrow) movePointer(arrow, event.shiftKey ? 1 : STEP);
  else if (event.key === " ") addPoint(pointer(), 1);
  else if (event.key.toLowerCase() === "b") addPoint(pointer(), 0);
  else return;
  event.preventDefault();
});

function pointer() {
  keyboard ??= [Math.floor(picture.width / 2), Math.floor(picture.height / 2)];
  return keyboard;
}

function movePointer(direction, step) {
  const sides = [picture.width, picture.height];
  keyboard = pointer().map((at, axis) =>
    Math.min(Math.max(at + step * direction[axis], 0), sides[axis] - 1),
  );
  showPrompts();
  hover(keyboard);
}

// --- files

element("file").addEventListener("change", ({ target }) => target.files[0] && open(target.files[0]));
element("sample").addEventListener("click", openSample);
element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);
element("save").addEventListener("click", async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await maskPicture());
  link.download = "mask.png";
  link.click();
  URL.revokeObjectURL(link.href);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("target");
});
document.addEventListener("dragleave", () => stage.classList.remove("target"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("target");
  const file = event.dataTransfer.files[0];
  if (file) open(file);
});

openSample();
