// Keeps what the page has loaded, so that it works without a network from then on.

const CACHE = "segment-by-clicks";
const MODEL = `models/${new URL(location).searchParams.get("model")}/`;
const FILES = [
  "./",
  "style.css",
  "page.js",
  "drawing.js",
  "worker.js",
  "image.js",
  "masks.js",
  "pocket.js",
  "sam.js",
  "windows.js",
  "sample.png",
  "vendor/ort.wasm.min.mjs",
  "vendor/ort-wasm-simd-threaded.mjs",
  "vendor/ort-wasm-simd-threaded.wasm",
  `${MODEL}model.json`,
  `${MODEL}encoder.onnx`,
  `${MODEL}decoder.onnx`,
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

// The network comes first, so that nothing that is shown is old.
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  try {
    const fresh = await fetch(request);
    const newer = fresh.headers.get("Last-Modified") !== kept?.headers.get("Last-Modified");
    if (fresh.ok && newer) cache.put(request, fresh.clone());
    return fresh;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}
