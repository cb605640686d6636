// Where `pocket` answers a prompt: in a window about it, or in the whole picture at half the size.
//
// The same as src/napari_sam/models/pocket_windows.py, for one prompt at a time and without an
// earlier plane. A prompt is
//   points: [[x, y, label], ...], label 1 on the object, 0 beside it, -1 for padding
//   box: [x0, y0, x1, y1] or null
//   mask: {data, height, width} or null, logits of an earlier answer
// in pixels of the frame that it is answered in; a mask has a cell for 4 x 4 pixels.

import { roundEven } from "./image.js";

const STRIDE = 4; // pixels along a cell of the logits
const COARSEST = 16; // pixels along a cell of the coarsest features
const WINDOW = 256; // side of a window, in pixels
const LARGEST = 176; // a prompt whose extent is larger is answered at half the size
const OUTSIDE = -10; // logit of what lies outside the window

// Returns the least and the largest place of a prompt's object points, box and mask.
export function findExtent(prompt) {
  const corners = [prompt.box, outlineBox(prompt.mask)]
    .filter((box) => box)
    .flatMap(([x0, y0, x1, y1]) => [[x0, y0], [x1, y1]]);
  let places = [...prompt.points.filter(([, , label]) => label === 1), ...corners];
  if (!places.length) places = prompt.points.filter(([, , label]) => label >= 0);
  if (!places.length) places = [[0, 0]];
  const along = (axis) => places.map((place) => place[axis]);
  return {
    low: [Math.min(...along(0)), Math.min(...along(1))],
    high: [Math.max(...along(0)), Math.max(...along(1))],
  };
}

// Returns the box, in pixels, of what a mask marks; null if that is nothing.
export function outlineBox(mask) {
  if (!mask) return null;
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let y = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++) {
      if (mask.data[y * mask.width + x] <= 0) continue;
      [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
      [x1, y1] = [Math.max(x1, x), Math.max(y1, y)];
    }
  }
  if (x1 < 0) return null;
  return [x0 * STRIDE, y0 * STRIDE, (x1 + 1) * STRIDE - 1, (y1 + 1) * STRIDE - 1];
}

// Tells whether a prompt is answered in a window (near) and at half the size (far). A click does
// not say how large its object is: it is answered at both. `frame` is the frame's longer side.
export function chooseScales(prompt, extent, frame) {
  const [wide, high] = [0, 1].map((axis) => extent.high[axis] - extent.low[axis]);
  const near = Math.max(wide, high) <= LARGEST || frame <= WINDOW;
  const sized = prompt.box !== null || outlineBox(prompt.mask) !== null;
  return { near, far: !near || !sized };
}

// Places a prompt in a window about its extent, which begins at a whole cell of every level of
// features. Points beyond it become padding. Returns {start: [x, y], size: [w, h], prompt}.
export function inWindow(prompt, extent, frame) {
  const limits = [frame.width, frame.height];
  const size = limits.map((limit) => Math.min(WINDOW, limit));
  const start = size.map((side, axis) => {
    const middle = (extent.low[axis] + extent.high[axis] - side) / 2;
    const nearest = roundEven(middle / COARSEST) * COARSEST;
    return Math.min(Math.max(nearest, 0), limits[axis] - side);
  });
  const points = prompt.points.map(([x, y, label]) => {
    const place = [x - start[0], y - start[1]];
    const inside = place.every((at, axis) => at >= -0.5 && at <= size[axis] - 0.5);
    return [...place, inside ? label : -1];
  });
  const box = prompt.box && prompt.box.map((at, index) => at - start[index % 2]);
  const mask = prompt.mask && cutMask(prompt.mask, start, size);
  return { start, size, prompt: { points, box, mask } };
}

function cutMask(mask, start, size) {
  const [width, height] = size.map((side) => side / STRIDE);
  const part = { data: new Float32Array(width * height), height, width };
  for (let y = 0; y < height; y++) {
    const from = (start[1] / STRIDE + y) * mask.width + start[0] / STRIDE;
    part.data.set(mask.data.subarray(from, from + width), y * width);
  }
  return part;
}

// Places a prompt in the whole picture at half its size, whose logits are `grid` cells.
export function atHalf(prompt, grid) {
  const halved = (at) => (at + 0.5) / 2 - 0.5; // a coordinate is a pixel's centre
  const points = prompt.points.map(([x, y, label]) => [halved(x), halved(y), label]);
  const box = prompt.box && prompt.box.map(halved);
  const mask = prompt.mask && halveMask(prompt.mask, grid);
  const size = [grid.width * STRIDE, grid.height * STRIDE];
  return { start: [0, 0], size, prompt: { points, box, mask } };
}

// Returns the means of 2 x 2 cells, continued at the far ends to a grid.
function halveMask(mask, grid) {
  const half = { data: new Float32Array(grid.height * grid.width), ...grid };
  for (let y = 0; y < grid.height; y++) {
    const above = 2 * Math.min(y, mask.height / 2 - 1) * mask.width;
    for (let x = 0; x < grid.width; x++) {
      const at = above + 2 * Math.min(x, mask.width / 2 - 1);
      const below = at + mask.width;
      const sum = mask.data[at] + mask.data[at + 1] + mask.data[below] + mask.data[below + 1];
      half.data[y * grid.width + x] = sum / 4;
    }
  }
  return half;
}

// Returns logits of a window in the whole frame, whose logits are `grid` cells.
export function fromWindow(logits, placed, grid) {
  const whole = { data: new Float32Array(grid.height * grid.width).fill(OUTSIDE), ...grid };
  const [width, height] = placed.size.map((side) => side / STRIDE);
  for (let y = 0; y < height; y++) {
    const at = (placed.start[1] / STRIDE + y) * grid.width + placed.start[0] / STRIDE;
    whole.data.set(logits.subarray(y * width, (y + 1) * width), at);
  }
  return whole;
}

// Returns logits at half the size, of `half` cells, magnified by two and cut to `grid`.
export function fromHalf(logits, half, grid) {
  const whole = { data: new Float32Array(grid.height * grid.width), ...grid };
  for (let y = 0; y < grid.height; y++) {
    const row = nearest(y, half.height);
    for (let x = 0; x < grid.width; x++) {
      const column = nearest(x, half.width);
      const at = (r, c) => logits[r * half.width + c];
      whole.data[y * grid.width + x] =
        0.75 * (0.75 * at(row.near, column.near) + 0.25 * at(row.near, column.far)) +
        0.25 * (0.75 * at(row.far, column.near) + 0.25 * at(row.far, column.far));
    }
  }
  return whole;
}

// Returns the two cells that a cell of twice as many lies between.
function nearest(fine, count) {
  const near = fine >> 1;
  const far = fine % 2 ? near + 1 : near - 1;
  return { near, far: Math.min(Math.max(far, 0), count - 1) };
}
