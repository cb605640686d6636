// From logits to the mask that is shown. The same as predict/upsampling.py and masks/cleanup.py.

const STRIDE = 4; // pixels of the padded input along a cell of the logits
const PIECE = 0.1; // pieces below this part of the largest are loose ones, where no click tells
const HOLE = 0.02; // holes up to this part of the object are filled

// Returns the mask of logits {data, height, width} in a picture: {x, y, width, height, bits}, a
// box and a byte for each of its pixels; null if nothing is marked. `input` is the picture's size
// as the encoder got it. Logits are magnified to the padded input and resized to the picture, each
// time bilinearly, here in one step for each axis.
export function maskOf(logits, input, picture) {
  const rows = axisTaps(logits.height, input.height, picture.height);
  const columns = axisTaps(logits.width, input.width, picture.width);
  const marked = markedBox(logits);
  if (!marked) return null;
  const [y0, y1] = reach(rows, marked.y0, marked.y1);
  const [x0, x1] = reach(columns, marked.x0, marked.x1);
  const [width, height] = [x1 - x0 + 1, y1 - y0 + 1];
  const bits = new Uint8Array(width * height);
  const line = new Float32Array(logits.width);
  for (let y = y0; y <= y1; y++) {
    const first = rows.first[y] * logits.width;
    for (let c = 0; c < logits.width; c++) {
      line[c] = 0;
      for (let k = 0; k < 3; k++) {
        const weight = rows.weights[3 * y + k];
        if (weight) line[c] += weight * logits.data[first + k * logits.width + c];
      }
    }
    for (let x = x0; x <= x1; x++) {
      let value = 0;
      for (let k = 0; k < 3; k++) {
        const weight = columns.weights[3 * x + k];
        if (weight) value += weight * line[columns.first[x] + k];
      }
      bits[(y - y0) * width + (x - x0)] = value > 0 ? 1 : 0;
    }
  }
  return { x: x0, y: y0, width, height, bits };
}

// Returns for each pixel of one axis its first cell and the weights of three cells from there on.
function axisTaps(cells, input, pixels) {
  const first = new Int32Array(pixels);
  const weights = new Float32Array(3 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const inner = between(pixel, input, pixels);
    const low = between(inner.lower, cells, cells * STRIDE);
    const high = between(inner.upper, cells, cells * STRIDE);
    first[pixel] = low.lower;
    const add = (cell, weight) => (weights[3 * pixel + cell - low.lower] += weight);
    add(low.lower, (1 - inner.part) * (1 - low.part));
    add(low.upper, (1 - inner.part) * low.part);
    add(high.lower, inner.part * (1 - high.part));
    add(high.upper, inner.part * high.part);
  }
  return { first, weights };
}

// Returns the two cells, of `source`, that the centre of a cell, of `target`, lies between.
function between(cell, source, target) {
  const place = Math.min(Math.max((cell + 0.5) * (source / target) - 0.5, 0), source - 1);
  const lower = Math.min(Math.floor(place), Math.max(source - 2, 0));
  return { lower, upper: Math.min(lower + 1, source - 1), part: place - lower };
}

function markedBox(logits) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let y = 0; y < logits.height; y++) {
    for (let x = 0; x < logits.width; x++) {
      if (logits.data[y * logits.width + x] <= 0) continue;
      [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
      [x1, y1] = [Math.max(x1, x), Math.max(y1, y)];
    }
  }
  return x1 < 0 ? null : { x0, y0, x1, y1 };
}

// Returns the first and the last pixel of an axis that cells `low` to `high` reach.
function reach(taps, low, high) {
  const count = taps.first.length;
  let [start, end] = [0, count - 1];
  while (start < count - 1 && taps.first[start] + 2 < low) start++;
  while (end > start && taps.first[end] > high) end--;
  return [start, end];
}

// Removes what lies apart from the prompted object and fills small holes. Pieces that an object
// point touches stay, or, if there is none, those not much smaller than the largest. A hole with a
// background point stays. `points` are [[x, y, label], ...] in pixels of the picture.
export function tidied(mask, points) {
  const padded = pad(mask);
  const places = (wanted) =>
    points
      .filter(([, , label]) => label === wanted)
      .map(([x, y]) => [Math.round(x) - mask.x + 1, Math.round(y) - mask.y + 1]);
  const pieces = regions(padded, 1, true);
  let kept = touched(pieces, places(1));
  if (!kept.size) {
    const least = PIECE * Math.max(...pieces.sizes);
    pieces.sizes.forEach((size, region) => size > least && kept.add(region));
  }
  let area = 0;
  padded.bits.forEach((bit, i) => {
    if (bit && !kept.has(pieces.of[i])) padded.bits[i] = 0;
    area += padded.bits[i];
  });
  const holes = regions(padded, 0, false);
  const open = touched(holes, places(0)).add(holes.of[0]); // the first one is what lies outside
  padded.bits.forEach((bit, i) => {
    if (!bit && holes.sizes[holes.of[i]] <= HOLE * area && !open.has(holes.of[i])) {
      padded.bits[i] = 1;
    }
  });
  return unpad(padded, mask);
}

function pad(mask) {
  const [width, height] = [mask.width + 2, mask.height + 2];
  const bits = new Uint8Array(width * height);
  for (let y = 0; y < mask.height; y++) {
    const row = mask.bits.subarray(y * mask.width, (y + 1) * mask.width);
    bits.set(row, (y + 1) * width + 1);
  }
  return { width, height, bits };
}

function unpad(padded, mask) {
  const bits = new Uint8Array(mask.bits.length);
  for (let y = 0; y < mask.height; y++) {
    const from = (y + 1) * padded.width + 1;
    bits.set(padded.bits.subarray(from, from + mask.width), y * mask.width);
  }
  return { ...mask, bits };
}

// Numbers the connected regions of pixels of a value, from 1; 0 is every other pixel. Diagonal
// neighbours are connected or not. Returns {of, sizes, width, height}.
function regions({ width, height, bits }, value, diagonal) {
  const of = new Int32Array(bits.length);
  const sizes = [0];
  const stack = [];
  for (let seed = 0; seed < bits.length; seed++) {
    if (bits[seed] !== value || of[seed]) continue;
    const region = sizes.push(0) - 1;
    of[seed] = region;
    stack.push(seed);
    while (stack.length) {
      const at = stack.pop();
      sizes[region]++;
      const [x, y] = [at % width, Math.floor(at / width)];
      for (let dy = y ? -1 : 0; dy <= (y < height - 1 ? 1 : 0); dy++) {
        for (let dx = x ? -1 : 0; dx <= (x < width - 1 ? 1 : 0); dx++) {
          const next = at + dy * width + dx;
          if ((diagonal || !dx || !dy) && bits[next] === value && !of[next]) {
            of[next] = region;
            stack.push(next);
          }
        }
      }
    }
  }
  return { of, sizes, width, height };
}

// Returns the numbers of the regions that lie at places [[x, y], ...] or next to them.
function touched(found, places) {
  const numbers = new Set();
  for (const [px, py] of places) {
    for (let y = Math.max(py - 1, 0); y <= Math.min(py + 1, found.height - 1); y++) {
      for (let x = Math.max(px - 1, 0); x <= Math.min(px + 1, found.width - 1); x++) {
        const region = found.of[y * found.width + x];
        if (region) numbers.add(region);
      }
    }
  }
  return numbers;
}
