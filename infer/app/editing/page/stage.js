// The picture: photo, boxes, what is painted, the preview over it, and a wipe between before and after.
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas"), context = canvas.getContext("2d"), hint = find(".hint");
const state = {
  photo: null, picture: null, place: null, after: null, detail: null, marks: [], heat: null,
  mode: "look", wipe: 0, scale: 1, x: 0, y: 0, size: 40, fit: true, cursor: null,
};
const mask = document.createElement("canvas"), brush = mask.getContext("2d");
const tinted = document.createElement("canvas");
let drag = null, frame = 0, stamps = 0, shown = "", waiting = 0;

const loaded = (url) => new Promise((done) => {
  if (!url) { done(null); return; }
  const picture = new Image();
  picture.onload = () => done(picture);
  picture.onerror = () => done(null);
  picture.src = url;
});
const redraw = () => { if (!frame) frame = requestAnimationFrame(draw); };

// ------------------------------------------------------------------ drawing

function fit() {
  if (!state.photo) return;
  const { w, h } = state.photo, wide = canvas.clientWidth, high = canvas.clientHeight;
  state.scale = Math.min(wide / w, high / h);
  state.x = (wide - w * state.scale) / 2;
  state.y = (high - h * state.scale) / 2;
}
function zoom(to, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const next = Math.min(Math.max(to, 0.02), 16);
  state.x = x - (x - state.x) * next / state.scale;
  state.y = y - (y - state.y) * next / state.scale;
  state.scale = next;
  state.fit = false;
  redraw();
}
function draw() {
  frame = 0;
  const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  hint.hidden = !!state.photo;
  if (!state.photo || !state.picture) return;
  if (state.fit) fit();
  const { photo, detail, after } = state;
  const view = () => context.setTransform(ratio * state.scale, 0, 0, ratio * state.scale, ratio * state.x, ratio * state.y);
  view();
  context.imageSmoothingEnabled = state.scale * ratio < 3;
  context.drawImage(state.picture, 0, 0, photo.w, photo.h);
  if (detail?.before) context.drawImage(detail.before, detail.x, detail.y, detail.w, detail.h);
  const cut = state.wipe * photo.w;
  context.save();
  context.beginPath();
  context.rect(cut, -photo.h, 2 * photo.w, 3 * photo.h);
  context.clip();
  if (detail?.after && !(after?.picture && after.ticket > detail.ticket)) {
    context.drawImage(detail.after, detail.x, detail.y, detail.w, detail.h);
  } else if (after?.picture) {
    context.transform(...after.turn);
    context.drawImage(after.picture, after.x, after.y, after.w, after.h);
  }
  context.restore();
  if (state.heat?.picture) {
    context.save();
    context.globalAlpha = 0.8;
    context.transform(...state.heat.turn);
    context.drawImage(state.heat.picture, state.heat.x, state.heat.y, state.heat.w, state.heat.h);
    context.restore();
  }
  if (painting()) drawMasks(photo);
  if (state.mode === "place") drawBoxes();
  if (state.wipe > 0) {
    context.fillStyle = "#fff";
    context.fillRect(cut - 1 / state.scale, 0, 2 / state.scale, photo.h);
  }
  if (painting() && state.cursor) {
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5 / state.scale;
    context.beginPath();
    context.arc(state.cursor.x, state.cursor.y, state.size / 2 / state.scale, 0, 7);
    context.stroke();
  }
  canvas.dataset.shown = shown;
}
function drawMasks(photo) {
  for (const mark of state.marks) {
    const source = mark.chosen ? mask : mark.picture;
    if (!source?.width || !mark.on) continue;
    tinted.width = source.width;
    tinted.height = source.height;
    const tint = tinted.getContext("2d");
    tint.drawImage(source, 0, 0);
    tint.globalCompositeOperation = "source-in";
    tint.fillStyle = mark.colour;
    tint.fillRect(0, 0, tinted.width, tinted.height);
    context.globalAlpha = mark.chosen ? 0.5 : 0.25;
    context.drawImage(tinted, 0, 0, photo.w, photo.h);
    context.globalAlpha = 1;
  }
}
function drawBoxes() {
  const place = state.place;
  if (!place) return;
  const line = (width, colour) => { context.lineWidth = width / state.scale; context.strokeStyle = colour; };
  place.heads.forEach((head, i) => {
    line(2, "#ffd220");
    context.strokeRect(head.x, head.y, head.w, head.w);
    context.font = `600 ${18 / state.scale}px sans-serif`;
    context.fillStyle = "#ffd220";
    context.fillText(String(i + 1), head.x + 6 / state.scale, head.y + 20 / state.scale);
  });
  const box = drag?.box || place.box, half = box.w / 2;
  context.save();
  context.translate(box.x + half, box.y + half);
  context.rotate(place.roll * Math.PI / 180);
  line(3, "#ff4020");
  context.strokeRect(-half, -half, box.w, box.w);
  line(3, "#ff4020");
  context.beginPath();
  context.moveTo(-half, -half + 6 / state.scale);
  context.lineTo(half, -half + 6 / state.scale);
  context.stroke();
  const knob = 12 / state.scale;
  context.fillStyle = "#ff4020";
  context.fillRect(half - knob / 2, half - knob / 2, knob, knob);
  context.restore();
}

// ------------------------------------------------------------------ pointers and keys

const painting = () => state.mode === "brush" || state.mode === "eraser";
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left - state.x) / state.scale, y: (event.clientY - box.top - state.y) / state.scale };
};
function dab(from, to) {
  const share = mask.width / state.photo.w;
  brush.globalCompositeOperation = state.mode === "eraser" ? "destination-out" : "source-over";
  brush.strokeStyle = "#fff";
  brush.lineCap = "round";
  brush.lineWidth = Math.max(state.size / state.scale * share, 1);
  brush.beginPath();
  brush.moveTo(from.x * share, from.y * share);
  brush.lineTo(to.x * share + 0.01, to.y * share);
  brush.stroke();
  redraw();
}
function painted() {
  const chosen = state.marks.find((mark) => mark.chosen);
  const stamp = `here ${++stamps}`;
  if (chosen) chosen.stamp = stamp;
  trigger("paint", { mask: mask.toDataURL("image/png"), stamp });
}
const inside = (box, p) => p.x >= box.x && p.y >= box.y && p.x <= box.x + box.w && p.y <= box.y + box.w;
function upright(p) {  // a point as the rolled box sees it
  const { box, roll } = state.place, half = box.w / 2, angle = -roll * Math.PI / 180;
  const x = p.x - box.x - half, y = p.y - box.y - half;
  return { x: box.x + half + x * Math.cos(angle) - y * Math.sin(angle), y: box.y + half + x * Math.sin(angle) + y * Math.cos(angle) };
}
canvas.addEventListener("pointerdown", (event) => {
  if (!state.photo || event.button > 0) return;
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  const p = at(event);
  if (painting()) {
    drag = { kind: "paint", last: p };
    dab(p, p);
  } else if (state.mode === "place" && state.place) {
    const q = upright(p), { box, heads } = state.place, reach = 14 / state.scale;
    const other = heads.findIndex((head) => inside(head, p) && !(Math.abs(head.x - box.x) < 1 && Math.abs(head.w - box.w) < 1));
    if (Math.hypot(q.x - box.x - box.w, q.y - box.y - box.w) < reach) drag = { kind: "size", from: q, old: box, box };
    else if (inside(box, q)) drag = { kind: "move", from: p, old: box, box };
    else if (other >= 0) { trigger("pick", { number: other + 1 }); drag = null; }
    else drag = { kind: "pan", event, x: state.x, y: state.y };
  } else {
    drag = { kind: "pan", event, x: state.x, y: state.y };
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (!state.photo) return;
  const p = at(event);
  state.cursor = p;
  if (painting()) redraw();
  if (!drag) return;
  if (drag.kind === "paint") { dab(drag.last, p); drag.last = p; }
  if (drag.kind === "pan") {
    state.fit = false;
    state.x = drag.x + event.clientX - drag.event.clientX;
    state.y = drag.y + event.clientY - drag.event.clientY;
  }
  if (drag.kind === "move") {
    drag.box = { ...drag.old, x: Math.round(drag.old.x + p.x - drag.from.x), y: Math.round(drag.old.y + p.y - drag.from.y) };
  }
  if (drag.kind === "size") {
    const q = upright(p), w = Math.max(16, Math.round(2 * Math.max(q.x - drag.old.x - drag.old.w / 2, q.y - drag.old.y - drag.old.w / 2)));
    const by = Math.round((w - drag.old.w) / 2);
    drag.box = { x: drag.old.x - by, y: drag.old.y - by, w };
  }
  redraw();
});
const ended = () => {
  if (drag?.kind === "paint") painted();
  if ((drag?.kind === "move" || drag?.kind === "size") && drag.box !== drag.old) {
    state.place.box = drag.box;
    trigger("place", { box: drag.box });
  }
  drag = null;
  redraw();
};
canvas.addEventListener("pointerup", ended);
canvas.addEventListener("pointercancel", ended);
canvas.addEventListener("pointerleave", () => { state.cursor = null; redraw(); });
canvas.addEventListener("wheel", (event) => {
  if (!state.photo || (document.activeElement !== canvas && !event.ctrlKey)) return;
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(state.scale * Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!state.photo || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = event.shiftKey ? 10 : 1, unit = state.photo.w / 400;
  if (state.mode === "place" && state.place && (step || event.key === "+" || event.key === "-")) {
    const box = state.place.box, grow = step ? 0 : (event.key === "+" ? 2 : -2) * Math.max(1, Math.round(unit)) * by;
    const [dx, dy] = (step || [0, 0]).map((way) => Math.round(way * by * Math.max(1, unit)));
    state.place.box = { x: box.x + dx - grow / 2, y: box.y + dy - grow / 2, w: Math.max(16, box.w + grow) };
    clearTimeout(waiting);
    waiting = setTimeout(() => trigger("place", { box: state.place.box }), 500);
  } else if (painting() && (step || event.key === " ")) {
    const before = state.cursor || { x: state.photo.w / 2, y: state.photo.h / 2 };
    const [dx, dy] = (step || [0, 0]).map((way) => way * by * 4 * unit);
    state.cursor = { x: before.x + dx, y: before.y + dy };
    if (event.key === " ") { dab(state.cursor, state.cursor); painted(); }
  } else if (step) {
    state.fit = false;
    state.x -= step[0] * 20 * by;
    state.y -= step[1] * 20 * by;
  } else if (event.key === "+" || event.key === "-") {
    zoom(state.scale * (event.key === "+" ? 1.25 : 0.8));
  } else return;
  event.preventDefault();
  redraw();
});
for (const button of element.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => setMode(button.dataset.mode));
}
function setMode(mode) {
  state.mode = mode;
  for (const one of element.querySelectorAll("[data-mode]")) one.setAttribute("aria-pressed", String(one.dataset.mode === mode));
  canvas.dataset.mode = mode;
  redraw();
}
for (const button of element.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => {
    const to = button.dataset.zoom;
    if (to === "fit") { state.fit = true; redraw(); }
    else if (to === "1") {
      const box = state.place?.box, ratio = window.devicePixelRatio || 1;
      zoom(1 / ratio);
      if (box) {
        state.x = canvas.clientWidth / 2 - (box.x + box.w / 2) * state.scale;
        state.y = canvas.clientHeight / 2 - (box.y + box.w / 2) * state.scale;
        redraw();
      }
    } else zoom(state.scale * Number(to));
  });
}
find(".size").addEventListener("input", (event) => { state.size = Number(event.target.value); redraw(); });
find(".wipe").addEventListener("input", (event) => { state.wipe = Number(event.target.value) / 100; redraw(); });
new ResizeObserver(redraw).observe(canvas);

// ------------------------------------------------------------------ what the server says

let still = 0;
watch("photo", async () => {
  const photo = props.photo;
  if (photo?.number !== state.photo?.number || !photo) Object.assign(state, { after: null, detail: null, heat: null, fit: true });
  state.photo = photo;
  const picture = await loaded(photo?.url);
  if (props.photo !== photo) return;
  state.picture = picture;
  canvas.setAttribute("aria-label", photo ? `${photo.name}, ${photo.w} by ${photo.h} pixels` : "no photo");
  redraw();
});
watch("place", () => { state.place = props.place; redraw(); });
watch("after", async () => {
  const after = props.after;
  clearTimeout(still);
  if (after) after.picture = await loaded(after.url);
  if (after && state.after && state.after.ticket > after.ticket) return;
  state.after = after;
  shown = after ? `preview ${after.ticket}` : "";
  if (!after || (state.detail && state.detail.number !== after.number)) state.detail = null;
  if (after) still = setTimeout(() => trigger("still", { ticket: after.ticket }), 700);
  redraw();
});
watch("detail", async () => {
  const detail = props.detail;
  if (!detail) { state.detail = null; redraw(); return; }
  const [before, after] = await Promise.all([loaded(detail.before), loaded(detail.after)]);
  state.detail = { ...detail, before, after };
  if (!state.after || state.after.ticket <= detail.ticket) shown = `photo ${detail.ticket}`;
  redraw();
});
watch("marks", async () => {
  const marks = props.marks || [], known = state.marks.find((mark) => mark.chosen);
  for (const mark of marks) mark.picture = await loaded(mark.url);
  state.marks = marks;
  const chosen = marks.find((mark) => mark.chosen), photo = state.photo;
  if (!photo) return;
  if (chosen && known && known.key === chosen.key && known.stamp === chosen.stamp && mask.width === photo.across) { redraw(); return; }
  mask.width = photo.across;
  mask.height = photo.down;
  if (chosen?.picture) brush.drawImage(chosen.picture, 0, 0, mask.width, mask.height);
  redraw();
});
watch("heat", async () => {
  const heat = props.heat;
  if (heat) heat.picture = await loaded(heat.url);
  state.heat = heat;
  redraw();
});
watch("mode", () => { if (props.mode) setMode(props.mode); });
redraw();
