"use strict";

/* The panes of a report. Browsers keep few WebGL contexts at a time, and a study may have many panes, slices and samples: one
   NiiVue, out of sight, holds one slice; for each pane it is given that pane's pixels, window and colours, draws them, and the
   picture is copied into the pane's own canvas. So zoom, position and slice are the same in all panes by construction. */

(() => {
const byId = (id) => document.getElementById(id);
const study = JSON.parse(byId("study").textContent);
const COLOURS = { magnitude: "gray", samples: "gray", std: "inferno", error: "inferno" };
const MARK = [80, 200, 255]; // as --mark in the style
const FLIP = 250; // ms a sample is shown
const first = () => ({ width: study.grey, level: study.grey / 2, zoom: 1, x: 0, y: 0 }); // x, y: mm the image is moved

const state = {
  ...first(),
  slice: Math.floor(study.slices.length / 2), // a position among those shown
  sample: 0,
  large: null, // a pane, or null: all
  flipping: null, // a timer, or null
  erring: study.panes.findIndex((pane) => pane.kind === "magnitude"), // whose error is shown
};
const volumes = {};
let viewer, shape, panes;

// ---------------------------------------------------------------- images

/** A NIfTI of the page as {pixels, slope, rows, columns}, pixels one slice after the other, one sample after the other. */
async function load(id) {
  const element = byId(id);
  const image = await niivue.NVImage.loadFromBase64({ base64: element.textContent, name: `${id}.nii.gz` });
  element.remove(); // the text is no longer needed
  const [, columns, rows] = image.hdr.dims;
  return { image, pixels: image.img, slope: image.hdr.scl_slope, columns, rows, mm: image.hdr.pixDims.slice(1, 3) };
}

async function makeViewer() {
  const nv = new niivue.Niivue({
    isResizeCanvas: false, interactive: false, crosshairWidth: 0, isOrientationTextVisible: false,
    backColor: [0, 0, 0, 1], logLevel: "error",
  });
  const canvas = document.createElement("canvas");
  document.createElement("div").append(canvas); // NiiVue wants a parent
  await nv.attachToCanvas(canvas, false);
  nv.setSliceType(nv.sliceTypeAxial);
  nv.addColormap("mark", { R: [0, MARK[0]], G: [0, MARK[1]], B: [0, MARK[2]], A: [0, 255], I: [0, 255] });
  const blank = await load("blank");
  const [base, overlay] = [blank.image, blank.image.clone()];
  for (const image of [base, overlay]) {
    image.img = new Float32Array(blank.rows * blank.columns);
    image.hdr.datatypeCode = 16; // float32
    image.hdr.numBitsPerVoxel = 32;
    image.hdr.scl_slope = 1;
    nv.addVolume(image);
  }
  overlay.colormap = "mark";
  [overlay.cal_min, overlay.cal_max] = [0, 1];
  return { nv, canvas, base, overlay, shape: blank };
}

/** One slice of a volume into ``target``: value = code * slope; less the same slice of ``other``, if given, as |difference|. */
function fill(target, volume, sample, other) {
  const size = target.length;
  const start = (sample * study.slices.length + state.slice) * size;
  for (let i = 0; i < size; i++) target[i] = volume.pixels[start + i] * volume.slope;
  if (!other) return;
  for (let i = 0; i < size; i++) target[i] = Math.abs(target[i] - other.pixels[start + i] * other.slope);
}

/** Marks pixels that coils see and of which the data settle less than 1 - threshold; returns the marked share of those seen. */
function mark() {
  const share = volumes.determined_share;
  const least = 1 - Number(byId("threshold").value);
  const target = viewer.overlay.img;
  fill(target, share, 0);
  let seen = 0, marked = 0;
  for (let i = 0; i < target.length; i++) {
    const value = target[i];
    target[i] = value > 0 && value < least ? 1 : 0;
    seen += value > 0;
    marked += target[i];
  }
  return seen ? marked / seen : 0;
}

const isMagnitude = (pane) => pane.kind === "magnitude" || pane.kind === "samples";
const windowOf = (pane) => {
  const { level, width } = state;
  return isMagnitude(pane) ? [level - width / 2, level + width / 2] : [0, Math.max((level + width / 2) / study.gain, 1e-3)];
};

function draw(pane) {
  const { nv, canvas, base, overlay } = viewer;
  const ratio = window.devicePixelRatio || 1;
  const wide = Math.round(pane.canvas.clientWidth * ratio);
  const high = Math.round(pane.canvas.clientHeight * ratio);
  if (!wide || !high) return; // not shown
  for (const each of [pane.canvas, canvas]) {
    if (each.width !== wide || each.height !== high) [each.width, each.height] = [wide, high];
  }
  const erring = pane.kind === "error" ? volumes[panes[state.erring].volume] : null;
  fill(base.img, erring || volumes[pane.volume], pane.kind === "samples" ? state.sample : 0, erring && volumes.reference);
  base.colormap = COLOURS[pane.kind]; // makes NiiVue guess a window
  [base.cal_min, base.cal_max] = windowOf(pane);
  overlay.opacity = isMagnitude(pane) && byId("overlay").checked ? 0.35 : 0;
  nv.scene.pan2Dxyzmm = [state.x, state.y, 0, state.zoom];
  nv.updateGLVolume(); // draws too
  pane.canvas.getContext("2d").drawImage(canvas, 0, 0);
}

// ---------------------------------------------------------------- what is said

function say() {
  const number = study.slices[state.slice];
  byId("slice-shown").value = `${number} (${study.slices[0]} to ${study.slices[study.slices.length - 1]})`;
  byId("slice").value = state.slice;
  byId("sample-shown").value = `${state.sample + 1} of ${study.samples}`;
  byId("sample").value = state.sample;
  byId("width").value = Math.round(state.width);
  byId("level").value = Math.round(state.level);
  byId("zoom-shown").value = `${state.zoom.toFixed(1)} x`;
  byId("threshold-shown").value = `${Math.round(100 * byId("threshold").value)} %`;
  byId("play").setAttribute("aria-pressed", String(state.flipping !== null));
  byId("play").textContent = state.flipping === null ? "Play" : "Stop";
  document.querySelectorAll("#residuals tbody tr").forEach((row, i) => row.classList.toggle("current", i === state.slice + 1));
  for (const pane of panes) {
    pane.said.textContent = reading(pane);
    if (pane.bar) pane.said.append(pane.bar);
    pane.canvas.setAttribute("aria-label", `${titleOf(pane)}, slice ${number}. ${pane.said.textContent}`);
    if (pane.kind === "samples") pane.name.textContent = titleOf(pane);
  }
  if (state.flipping === null) byId("said").textContent = `Slice ${number}. ${state.large ? titleOf(state.large) : ""}`;
}

const titleOf = (pane) => (pane.kind === "samples" ? `${pane.title}: ${state.sample + 1} of ${study.samples}` : pane.title);

function reading(pane) {
  if (pane.misfits.length) return `misfit ${pane.misfits[state.slice]} x noise`;
  if (isMagnitude(pane)) return "";
  return `0 to ${windowOf(pane)[1].toFixed(0)}, the images' / ${study.gain} `;
}

// ---------------------------------------------------------------- doing

let waiting = null; // panes to draw at the next frame
function redraw(which = panes) {
  if (waiting === null) {
    requestAnimationFrame(() => {
      const chosen = waiting;
      waiting = null;
      byId("marked").value = `marks ${(100 * mark()).toFixed(1)} % of this slice`;
      chosen.forEach(draw);
      document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1; // for whoever waits for it
    });
    waiting = new Set();
  }
  which.forEach((pane) => waiting.add(pane));
  say();
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);
function change(values) {
  Object.assign(state, values);
  state.slice = within(state.slice, 0, study.slices.length - 1);
  state.sample = study.samples ? (state.sample + study.samples) % study.samples : 0;
  state.width = within(state.width, 1, 20 * study.grey);
  state.level = within(state.level, -10 * study.grey, 10 * study.grey);
  redraw();
}
function zoomBy(factor) {
  const zoom = within(state.zoom * factor, 1, 16);
  const moved = zoom === 1 ? 0 : zoom / state.zoom; // the middle of the picture stays
  change({ zoom, x: state.x * moved, y: state.y * moved });
}
function moveBy(right, down) { // CSS pixels of a pane
  const { clientWidth, clientHeight } = (state.large || panes[0]).canvas;
  const [width, height] = [shape.columns * shape.mm[0], shape.rows * shape.mm[1]];
  const mm = Math.max(width / clientWidth, height / clientHeight);
  change({ x: within(state.x + right * mm, -width * state.zoom, width * state.zoom),
    y: within(state.y - down * mm, -height * state.zoom, height * state.zoom) });
}
function flip() {
  if (!study.samples) return;
  clearInterval(state.flipping);
  state.flipping = state.flipping === null ? setInterval(() => showSample(state.sample + 1), FLIP) : null;
  say();
}
function showSample(sample) {
  if (!study.samples) return;
  state.sample = (sample + study.samples) % study.samples;
  redraw(panes.filter((pane) => pane.kind === "samples"));
}
function enlarge(pane) {
  state.large = pane === state.large ? null : pane;
  byId("panes").classList.toggle("one", state.large !== null);
  for (const each of panes) {
    each.figure.classList.toggle("large", each === state.large);
    each.button.setAttribute("aria-pressed", String(each === state.large));
  }
  state.large?.figure.scrollIntoView({ block: "nearest" });
  redraw();
}

const KEYS = {
  ArrowUp: (shift) => (shift ? moveBy(0, -20) : change({ slice: state.slice - 1 })),
  ArrowDown: (shift) => (shift ? moveBy(0, 20) : change({ slice: state.slice + 1 })),
  ArrowLeft: (shift) => (shift ? moveBy(-20, 0) : showSample(state.sample - 1)),
  ArrowRight: (shift) => (shift ? moveBy(20, 0) : showSample(state.sample + 1)),
  " ": flip,
  "+": () => zoomBy(1.25), "=": () => zoomBy(1.25),
  "-": () => zoomBy(0.8),
  "0": () => state.large && enlarge(null), Escape: () => state.large && enlarge(null),
  o: () => byId("overlay").click(),
  r: () => change(first()),
};
function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.closest("input, select, summary, .scroll");
  const onButton = event.target.closest("button, input, select, summary") && event.key === " ";
  if (onButton || (typing && event.key !== "Escape" && !(typing.type === "checkbox" && event.key !== " "))) return;
  const nth = panes["123456789".indexOf(event.key)];
  const action = KEYS[event.key] || (nth && (() => enlarge(nth)));
  if (!action) return;
  event.preventDefault();
  action(event.shiftKey);
}

function listenToDrags(canvas, pane) {
  let at = null;
  canvas.addEventListener("pointerdown", (event) => {
    at = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (at === null) return;
    const [right, down] = [event.clientX - at[0], event.clientY - at[1]];
    at = [event.clientX, event.clientY];
    const moves = event.buttons !== 1 || event.shiftKey || document.querySelector("[name=drag]:checked").value === "pan";
    if (moves) moveBy(right, down);
    else change({ width: state.width + right * study.grey / 300, level: state.level + down * study.grey / 300 });
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { at = null; });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => enlarge(pane));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && study.slices.length < 2) return; // scroll the page
    event.preventDefault();
    if (event.ctrlKey) zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    else change({ slice: state.slice + Math.sign(event.deltaY) });
  }, { passive: false });
}

// ---------------------------------------------------------------- the page

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function makePane(pane, index) {
  const name = element("span", { textContent: pane.title });
  const number = index < 9 ? [element("kbd", { textContent: index + 1 }), " "] : [];
  const button = element("button", { type: "button", title: "Show large, or all again" }, ...number, name);
  button.setAttribute("aria-pressed", "false");
  const caption = element("figcaption", {}, button);
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  canvas.style.aspectRatio = `${shape.columns * shape.mm[0]} / ${shape.rows * shape.mm[1]}`;
  const said = element("p", { className: "small" });
  const made = { ...pane, name, button, canvas, said, figure: element("figure", { className: "pane" }, caption, canvas, said) };
  if (pane.kind === "error") caption.append(errorChoice());
  if (!isMagnitude(pane)) made.bar = colourBar(COLOURS[pane.kind]);
  button.addEventListener("click", () => enlarge(made));
  listenToDrags(canvas, made);
  return made;
}

function errorChoice() {
  const choice = element("select");
  choice.setAttribute("aria-label", "Error of which method");
  study.panes.forEach((pane, index) => {
    if (pane.kind === "magnitude" && pane.volume !== "reference") choice.append(new Option(pane.title, index));
  });
  choice.addEventListener("change", () => change({ erring: Number(choice.value) }));
  return choice;
}

function colourBar(name) {
  const table = viewer.nv.colormap(name); // 256 x RGBA
  const stops = [0, 36, 73, 109, 146, 182, 219, 255].map((i) => `rgb(${table.slice(4 * i, 4 * i + 3).join(" ")})`);
  const bar = element("span", { className: "bar" });
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return bar;
}

function listen() {
  const on = (id, event, action) => byId(id).addEventListener(event, action);
  byId("slice").max = study.slices.length - 1;
  byId("sample").max = study.samples - 1;
  byId("slice-controls").hidden = study.slices.length < 2;
  byId("sample-controls").hidden = !study.samples;
  on("slice", "input", (event) => change({ slice: Number(event.target.value) }));
  on("sample", "input", (event) => showSample(Number(event.target.value)));
  on("play", "click", flip);
  for (const id of ["width", "level"]) {
    on(id, "change", (event) => change(event.target.value === "" ? {} : { [id]: event.target.valueAsNumber }));
  }
  on("rewindow", "click", () => change({ width: first().width, level: first().level }));
  on("larger", "click", () => zoomBy(1.25));
  on("smaller", "click", () => zoomBy(0.8));
  on("unzoom", "click", () => change({ zoom: 1, x: 0, y: 0 }));
  on("overlay", "change", () => redraw());
  on("threshold", "input", () => redraw());
  on("controls", "submit", (event) => event.preventDefault());
  document.addEventListener("keydown", pressed);
  new ResizeObserver(() => redraw()).observe(byId("panes"));
}

async function start() {
  viewer = await makeViewer();
  shape = viewer.shape;
  for (const id of ["determined_share", ...study.panes.map((pane) => pane.volume)]) volumes[id] ||= await load(id);
  panes = study.panes.map(makePane);
  byId("panes").append(...panes.map((pane) => pane.figure));
  listen();
  redraw();
}

start().catch((error) => {
  byId("problem").textContent = `The images can't be drawn: ${error.message || error} They need WebGL 2, in any browser since 2022; ` +
    "the reconstruction's file holds them too.";
  byId("problem").hidden = false;
});
})();
