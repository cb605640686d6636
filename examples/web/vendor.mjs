// Copies what the page needs of onnxruntime-web into vendor/; npm runs it after an installation.
import { cpSync, mkdirSync, rmSync } from "node:fs";

const FILES = [
  "ort.wasm.min.mjs", // on the processor
  "ort-wasm-simd-threaded.mjs",
  "ort-wasm-simd-threaded.wasm",
  "ort.webgpu.min.mjs", // on a graphics card
  "ort-wasm-simd-threaded.asyncify.mjs",
  "ort-wasm-simd-threaded.asyncify.wasm",
];

const here = new URL("./", import.meta.url);
const source = new URL("node_modules/onnxruntime-web/dist/", here);
const target = new URL("vendor/", here);
rmSync(target, { recursive: true, force: true });
mkdirSync(target);
for (const file of FILES) cpSync(new URL(file, source), new URL(file, target));
