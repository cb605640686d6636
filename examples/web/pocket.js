// Runs an exported `pocket`. Its graphs' inputs and outputs are described in docs/onnx.md.

import { atHalf, chooseScales, findExtent, fromHalf, fromWindow, inWindow } from "./windows.js";

const STRIDES = { features_s4: 4, features_s8: 8, image_embeddings: 16, instances: 4 };

export class Pocket {
  largestScale = 4; // a picture is never magnified by more
  halfPixel = true; // coordinates move by the centres of pixels
  tidy = true; // loose pieces and small holes are better removed

  constructor(ort, encoder, decoder) {
    this.ort = ort;
    this.encoder = encoder;
    this.decoder = decoder;
  }

  // Returns the features of a resized picture, {full, half}.
  async encode(rgb, { height, width }) {
    const image = new this.ort.Tensor("uint8", rgb, [height, width, 3]);
    const outputs = await this.encoder.run({ image });
    const [full, half] = [{}, {}];
    for (const name of Object.keys(STRIDES)) {
      full[name] = outputs[name];
      half[name] = outputs[`half_${name}`];
    }
    return { full, half };
  }

  // Answers a prompt (see windows.js): {logits, iou, presence} of the best mask, where `several`
  // offers three masks instead of one. It is asked at one scale or at both; the scale whose best
  // mask has the higher predicted IoU answers.
  async answer(features, prompt, several) {
    const grid = gridOf(features.full);
    const frame = { height: 4 * grid.height, width: 4 * grid.width };
    const extent = findExtent(prompt);
    const { near, far } = chooseScales(prompt, extent, Math.max(frame.height, frame.width));
    const answers = [];
    if (near) {
      const placed = inWindow(prompt, extent, frame);
      const answer = await this.decode(cut(features.full, placed), placed.prompt);
      answers.push({ ...answer, whole: (logits) => fromWindow(logits, placed, grid) });
    }
    if (far) {
      const half = gridOf(features.half);
      const answer = await this.decode(features.half, atHalf(prompt, half).prompt);
      answers.push({ ...answer, whole: (logits) => fromHalf(logits, half, grid) });
    }
    const better = answers.reduce((a, b) => (Math.max(...b.iou) > Math.max(...a.iou) ? b : a));
    const wanted = several ? [1, 2, 3] : [0];
    const best = wanted.reduce((a, b) => (better.iou[b] > better.iou[a] ? b : a));
    const cells = better.logits.length / better.iou.length;
    return {
      logits: better.whole(better.logits.subarray(best * cells, (best + 1) * cells)),
      iou: better.iou[best],
      presence: 1 / (1 + Math.exp(-better.presence)),
    };
  }

  // Runs the decoder for one prompt on the features of one window.
  async decode(features, { points, box, mask }) {
    const { Tensor } = this.ort;
    const { height, width } = gridOf(features);
    const asked = points.length ? points : [[0, 0, -1]];
    const coords = asked.flatMap(([x, y]) => [x, y]);
    const labels = asked.map(([, , label]) => label);
    const owner = () => new Tensor("int64", BigInt64Array.of(0n), [1]);
    const real = (values, shape) => new Tensor("float32", Float32Array.from(values), shape);
    const zeros = (shape) =>
      new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b)), shape);
    const outputs = await this.decoder.run({
      ...features,
      owner: owner(),
      point_coords: real(coords, [1, asked.length, 2]),
      point_labels: real(labels, [1, asked.length]),
      boxes: real(box ?? [NaN, NaN, NaN, NaN], [1, 4]),
      mask_input: mask
        ? new Tensor("float32", mask.data, [1, 1, height, width])
        : zeros([1, 1, height, width]),
      has_mask_input: real([mask ? 1 : 0], [1]),
      guide_embeddings: zeros(features.image_embeddings.dims), // no object of another plane
      guide_owner: owner(),
      guide_mask: zeros([1, 1, height, width]),
      has_guide: real([0], [1]),
    });
    return {
      logits: outputs.low_res_masks.data,
      iou: Array.from(outputs.iou_predictions.data),
      presence: outputs.presence.data[0],
    };
  }
}

// Returns the size of the finest features, and so of the logits.
function gridOf(features) {
  const [, , height, width] = features.features_s4.dims;
  return { height, width };
}

// Returns the features of a window.
function cut(features, { start, size }) {
  const parts = {};
  for (const [name, stride] of Object.entries(STRIDES)) {
    const tensor = features[name];
    const [, channels, height, width] = tensor.dims;
    const [x, y] = start.map((at) => at / stride);
    const [w, h] = size.map((side) => side / stride);
    const part = new Float32Array(channels * h * w);
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < h; row++) {
        const from = (channel * height + y + row) * width + x;
        part.set(tensor.data.subarray(from, from + w), (channel * h + row) * w);
      }
    }
    parts[name] = new tensor.constructor("float32", part, [1, channels, h, w]);
  }
  return parts;
}
