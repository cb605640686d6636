// Draws the picture, the mask and the prompts, one upon the other.

const FILL = [0, 114, 178, 110]; // of a mask, RGBA
const EDGE = [255, 255, 255, 255];
const RADIUS = 5; // of a point, in pixels on screen

const canvas = document.getElementById("picture");
const masks = document.getElementById("mask");
const marks = document.getElementById("marks");

// Draws a picture, and returns its pixels (RGBA).
export function drawPicture(bitmap, width, height) {
  for (const layer of [canvas, masks]) [layer.width, layer.height] = [width, height];
  marks.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`); // a pixel's centre is whole
  const stage = canvas.parentElement;
  stage.style.setProperty("--width", width);
  stage.style.setProperty("--height", height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

// Draws a mask (see masks.js) with a white edge; nothing for null.
export function drawMask(mask, hovered) {
  const context = masks.getContext("2d");
  context.clearRect(0, 0, masks.width, masks.height);
  masks.classList.toggle("hover", hovered);
  if (!mask) return;
  const { x, y, width, height, bits } = mask;
  const edge = Math.max(1, Math.round(masks.width / masks.clientWidth)); // a pixel on screen
  const image = context.createImageData(width, height);
  const marked = (column, row) =>
    column >= 0 && row >= 0 && column < width && row < height && bits[row * width + column];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (!marked(column, row)) continue;
      const inner =
        marked(column - edge, row) && marked(column + edge, row) &&
        marked(column, row - edge) && marked(column, row + edge);
      image.data.set(inner ? FILL : EDGE, 4 * (row * width + column));
    }
  }
  context.putImageData(image, x, y);
}

// Returns the mask that is shown as a PNG file, white on black.
export async function maskPicture() {
  const result = new OffscreenCanvas(masks.width, masks.height);
  const context = result.getContext("2d");
  const image = masks.getContext("2d").getImageData(0, 0, masks.width, masks.height);
  for (let i = 0; i < image.data.length; i += 4) {
    image.data.fill(image.data[i + 3] ? 255 : 0, i, i + 3);
    image.data[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return result.convertToBlob({ type: "image/png" });
}

// Draws points, the box and the pointer of the keyboard.
export function drawMarks(picture, { points, box }, pointer) {
  marks.replaceChildren();
  if (!picture) return;
  const r = (RADIUS * picture.width) / marks.getBoundingClientRect().width;
  for (const [x, y, label] of points) {
    if (label) add("circle", "object", { cx: x, cy: y, r });
    else add("path", "background", { d: cross(x, y, r) });
  }
  if (box) {
    const [x, y] = [Math.min(box[0], box[2]), Math.min(box[1], box[3])];
    const [width, height] = [Math.abs(box[2] - box[0]), Math.abs(box[3] - box[1])];
    add("rect", "box", { x, y, width, height });
  }
  if (pointer) add("path", "pointer", { d: cross(...pointer, 2 * r) });
}

const cross = (x, y, r) => `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;

function add(name, kind, attributes) {
  const mark = document.createElementNS("http://www.w3.org/2000/svg", name);
  mark.setAttribute("class", kind);
  for (const [key, value] of Object.entries(attributes)) mark.setAttribute(key, value);
  marks.append(mark);
}
