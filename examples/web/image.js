// From a picture to what an encoder takes: 8-bit RGB, resized. The same as images/transforms.py.

const PERCENTILES = [0.001, 0.999]; // of a grey picture, shown black and white

// Returns {height, width} of a picture whose longer side becomes `longest` pixels.
export function scaledSize(height, width, longest, largestScale) {
  const scale = Math.min(longest / Math.max(height, width), largestScale);
  const scaled = (side) => Math.max(1, Math.floor(side * scale + 0.5));
  return { height: scaled(height), width: scaled(width) };
}

// Returns RGB (Uint8Array) of RGBA. Opacity is left out; a grey picture is stretched.
export function toRgb(rgba) {
  const count = rgba.length / 4;
  const rgb = new Uint8Array(3 * count);
  let grey = true;
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    rgb[3 * i] = r;
    rgb[3 * i + 1] = g;
    rgb[3 * i + 2] = b;
    grey &&= r === g && g === b;
  }
  if (grey) stretch(rgb);
  return rgb;
}

function stretch(rgb) {
  const counts = new Array(256).fill(0);
  for (let i = 0; i < rgb.length; i += 3) counts[rgb[i]]++;
  const [low, high] = PERCENTILES.map((part) => percentile(counts, part, rgb.length / 3));
  if (low === high) return;
  const table = counts.map((_, value) => {
    const unit = (Math.min(Math.max(value, low), high) - low) / (high - low);
    return roundEven(255 * unit);
  });
  for (let i = 0; i < rgb.length; i++) rgb[i] = table[rgb[i]];
}

// Returns a percentile of values 0..255 that occur `counts` times, interpolated linearly.
function percentile(counts, part, total) {
  const place = part * (total - 1);
  const at = (index) => {
    let below = 0;
    return counts.findIndex((count) => (below += count) > index);
  };
  const lower = at(Math.floor(place));
  return lower + (at(Math.ceil(place)) - lower) * (place - Math.floor(place));
}

// Resizes RGB bilinearly and with anti-aliasing, exactly as Pillow does: columns, then rows, in
// fixed-point numbers with 22 bits after the point.
export function resize(rgb, from, to) {
  let picture = rgb;
  if (from.width !== to.width) {
    picture = resizeAxis(picture, from.height, from.width, to.width, 3);
  }
  if (from.height !== to.height) {
    // a row is one long cell
    picture = resizeAxis(picture, 1, from.height, to.height, 3 * to.width);
  }
  return picture;
}

// Resizes the middle axis of (outer, source, inner).
function resizeAxis(values, outer, source, target, inner) {
  const result = new Uint8Array(outer * target * inner);
  const taps = pillowTaps(source, target);
  for (let o = 0; o < outer; o++) {
    for (let t = 0; t < target; t++) {
      const { first, weights } = taps[t];
      const start = (o * source + first) * inner;
      const out = (o * target + t) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << 21; // rounds
        for (let k = 0; k < weights.length; k++) sum += weights[k] * values[start + k * inner + i];
        result[out + i] = Math.min(Math.max(sum >> 22, 0), 255);
      }
    }
  }
  return result;
}

// Returns for each target cell its first source cell and the whole-number weights from there on.
function pillowTaps(source, target) {
  const scale = source / target;
  const support = Math.max(scale, 1); // of the triangle, in source cells
  return Array.from({ length: target }, (_, cell) => {
    const centre = (cell + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(source, Math.trunc(centre + support + 0.5));
    const heights = [];
    for (let i = first; i < end; i++) {
      heights.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) / support)));
    }
    const sum = heights.reduce((a, b) => a + b, 0);
    const weights = heights.map((height) => Math.trunc(0.5 + (height / sum) * (1 << 22)));
    return { first, weights };
  });
}

// Rounds to the nearest whole number, halves to the even one, as numpy does.
export function roundEven(value) {
  const low = Math.floor(value);
  const part = value - low;
  if (part !== 0.5) return part < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
