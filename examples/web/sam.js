// Runs an exported SAM, whose decoder has the published inputs and outputs.

const BOX_CORNERS = [2, 3]; // labels of the first and the second corner of a box
const PADDING = [0, 0, -1]; // closes the points of a prompt without a box

export class Sam {
  largestScale = Infinity;
  halfPixel = false; // coordinates are multiplied
  tidy = false;

  constructor(ort, encoder, decoder) {
    this.ort = ort;
    this.encoder = encoder;
    this.decoder = decoder;
  }

  // Returns the embedding of a resized picture.
  async encode(rgb, { height, width }) {
    const image = new this.ort.Tensor("uint8", rgb, [height, width, 3]);
    return (await this.encoder.run({ image })).image_embeddings;
  }

  // Answers a prompt (see windows.js): {logits, iou} of the best mask, where `several` offers three
  // masks instead of one.
  async answer(embedding, { points, box, mask }, several) {
    const { Tensor } = this.ort;
    const side = 4 * embedding.dims[3]; // of the logits
    const asked = [...points];
    if (box) asked.push([box[0], box[1], BOX_CORNERS[0]], [box[2], box[3], BOX_CORNERS[1]]);
    else asked.push(PADDING);
    const real = (values, shape) => new Tensor("float32", Float32Array.from(values), shape);
    const outputs = await this.decoder.run({
      image_embeddings: embedding,
      point_coords: real(asked.flatMap(([x, y]) => [x, y]), [1, asked.length, 2]),
      point_labels: real(asked.map(([, , label]) => label), [1, asked.length]),
      mask_input: new Tensor("float32", mask?.data ?? new Float32Array(side * side), [1, 1, side, side]),
      has_mask_input: real([mask ? 1 : 0], [1]),
      orig_im_size: real([1, 1], [2]), // the full masks are not used: masks.js magnifies the best one
    });
    const iou = outputs.iou_predictions.data;
    const wanted = iou.length === 1 || !several ? [0] : [1, 2, 3];
    const best = wanted.reduce((a, b) => (iou[b] > iou[a] ? b : a));
    const cells = side * side;
    const data = outputs.low_res_masks.data.slice(best * cells, (best + 1) * cells);
    return { logits: { data, height: side, width: side }, iou: iou[best], presence: 1 };
  }
}
