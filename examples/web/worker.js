// Holds the model, so that the page never waits for it. Messages in:
//   {type: "load", folder, provider, threads}
//   {type: "encode", picture, rgba, height, width}
//   {type: "ask", prompt, several}, a prompt in pixels of the picture (see windows.js)
// Messages out: {type: "progress" | "loaded" | "encoded" | "answer" | "failed", ...}.

import { resize, scaledSize, toRgb } from "./image.js";
import { maskOf, tidied } from "./masks.js";
import { Pocket } from "./pocket.js";
import { Sam } from "./sam.js";

const FORMAT = { format: "napari_sam ONNX", version: 1 };
const FAMILIES = { pocket: Pocket, sam: Sam };

let model; // of FAMILIES, with image_size
let scene; // {features, picture, input}: what was encoded last, and its sizes

const answers = { load, encode, ask };
let queue = Promise.resolve(); // one thing after another

self.onmessage = ({ data }) => {
  queue = queue.then(async () => {
    try {
      await answers[data.type](data);
    } catch (error) {
      self.postMessage({ type: "failed", during: data.type, message: String(error.message ?? error) });
    }
  });
};

async function load({ folder, provider, threads }) {
  const start = performance.now();
  const library = loadLibrary(provider, threads); // while the model is being fetched
  const description = await describe(folder);
  const family = FAMILIES[description.family];
  if (!family) throw new Error(`this page does not know the family ${description.family}.`);
  const [encoderFile, decoderFile] = fetchFiles(folder, description.files);
  const ort = await library;
  // only int8 gains more by optimised graphs than it takes to optimise them
  const graphOptimizationLevel = description.precision === "int8" ? "all" : "disabled";
  const options = { executionProviders: [provider], graphOptimizationLevel };
  const decoder = await ort.InferenceSession.create(await decoderFile, options);
  const encoder = await ort.InferenceSession.create(await encoderFile, options);
  model = new family(ort, encoder, decoder);
  model.imageSize = description.image_size;
  const milliseconds = performance.now() - start;
  self.postMessage({ type: "loaded", name: description.name, milliseconds });
}

async function loadLibrary(provider, threads) {
  const ort = await import(`./vendor/ort.${provider}.min.mjs`).catch(() => {
    throw new Error("vendor/ is not complete: run npm install in examples/web.");
  });
  ort.env.wasm.wasmPaths = new URL("vendor/", import.meta.url).href;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return ort;
}

async function describe(folder) {
  const missing = `there is no exported model in ${folder}; see docs/onnx.md.`;
  const response = await fetch(`${folder}model.json`);
  if (!response.ok) throw new Error(missing);
  const description = await response.json();
  for (const [key, value] of Object.entries(FORMAT)) {
    if (description[key] !== value) {
      throw new Error(`${folder}model.json has ${key} ${description[key]}, not ${value}.`);
    }
  }
  return description;
}

// Begins to fetch both graphs, and returns promises of them; tells how far that is.
function fetchFiles(folder, files) {
  const names = ["encoder.onnx", "decoder.onnx"];
  const others = Object.keys(files).filter((name) => !names.includes(name));
  if (others.length) throw new Error(`the model is too large for this page: it has ${others[0]}.`);
  const total = names.reduce((sum, name) => sum + files[name].bytes, 0);
  let loaded = 0;
  const progress = (count) => {
    loaded += count;
    self.postMessage({ type: "progress", part: loaded / total });
  };
  return names.map((name) => fetchFile(folder + name, files[name].bytes, progress));
}

async function fetchFile(address, size, progress) {
  const wrong = new Error(`${address} is missing, or not the one that model.json describes.`);
  const response = await fetch(address);
  if (!response.ok) throw wrong;
  const bytes = new Uint8Array(size);
  const reader = response.body.getReader();
  let end = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (end + part.value.length > size) throw wrong;
    bytes.set(part.value, end);
    end += part.value.length;
    progress(part.value.length);
  }
  if (end !== size) throw wrong;
  return bytes;
}

async function encode({ picture, rgba, height, width }) {
  const start = performance.now();
  const size = { height, width };
  const input = scaledSize(height, width, model.imageSize, model.largestScale);
  scene = undefined;
  const features = await model.encode(resize(toRgb(rgba), size, input), input);
  scene = { features, input, size };
  self.postMessage({ type: "encoded", picture, milliseconds: performance.now() - start });
}

async function ask({ prompt, several }) {
  const start = performance.now();
  const { features, input, size } = scene;
  const answer = await model.answer(features, moved(prompt, size, input), several);
  let mask = maskOf(answer.logits, input, size);
  if (mask && model.tidy) mask = tidied(mask, prompt.points);
  const area = mask ? mask.bits.reduce((sum, bit) => sum + bit, 0) : 0;
  const milliseconds = performance.now() - start;
  self.postMessage({ type: "answer", ...answer, mask, area, milliseconds });
}

// Returns a prompt in pixels of the input. A box there holds the outer edges of its pixels.
function moved({ points, box, mask }, size, input) {
  const factors = [input.width / size.width, input.height / size.height];
  const shift = model.halfPixel ? 0.5 : 0;
  const move = (at, axis) => (at + shift) * factors[axis] - shift;
  const grow = (index) => (index < 2 ? -shift : shift);
  return {
    points: points.map(([x, y, label]) => [move(x, 0), move(y, 1), label]),
    box: box && box.map((at, index) => move(at + grow(index), index % 2) - grow(index)),
    mask,
  };
}
