/* The explorer around registration.js: move the template by hand, then let the computer do it. */

const SHARP = 1e-3; /* the blur at which losses are compared */
const STARTS = Array.from({ length: 24 }, (_, k) => 15 * k - 180);
const HANDLES = 0.55; /* of the box: where the frame and its handles are drawn */
const RUNS = { single: "Single scale", path: "From blurred to sharp" };

/* A map as a hand makes it: stretch and shear along the template's own axes, turn, shift. */
export function poseOf(problem, q) {
  const { half, unit } = problem.frame;
  const A = [0, 1].map((k) => [0, 1].map((b) => (unit[k] * q[3 * k + b]) / half[b]));
  const shift = [0, 1].map((k) => unit[k] * q[3 * k + 2]);
  const turn = Math.atan2(A[1][0], A[1][1]), c = Math.cos(turn), s = Math.sin(turn);
  const U = [A[0][0] * c - A[0][1] * s, A[0][0] * s + A[0][1] * c, Math.hypot(...A[1])];
  const det = A[0][0] * A[1][1] - A[0][1] * A[1][0];
  return {
    turn: (180 * turn) / Math.PI,
    stretch: [1 / U[0], 1 / U[2]],
    shear: -U[1] / (U[0] * U[2]),
    shift: [(A[0][1] * shift[1] - A[1][1] * shift[0]) / det, (A[1][0] * shift[0] - A[0][0] * shift[1]) / det],
  };
}

export function parametersOf(problem, { turn, stretch, shear, shift }) {
  const { half, unit } = problem.frame, t = (turn * Math.PI) / 180, c = Math.cos(t), s = Math.sin(t);
  const U = [1 / stretch[0], -shear / (stretch[0] * stretch[1]), 1 / stretch[1]];
  const A = [[U[0] * c + U[1] * s, U[1] * c - U[0] * s], [U[2] * s, U[2] * c]];
  return [0, 1].flatMap((k) => [
    ...[0, 1].map((b) => (A[k][b] * half[b]) / unit[k]),
    -(A[k][0] * shift[0] + A[k][1] * shift[1]) / unit[k],
  ]);
}

const REST = { turn: 0, stretch: [1, 1], shear: 0, shift: [0, 0] };

/* 2 × 2 points for each cell: the moved template, or with q = null the reference. */
function picture(problem, q, theta) {
  const { m, h, box, frame } = problem, out = new Float64Array(6), values = new Float64Array(4 * problem.n);
  const c = coefficients(q ? problem.template : problem.reference, theta);
  for (let i = 0; i < 2 * m[0]; i++) {
    for (let j = 0; j < 2 * m[1]; j++) {
      let u = i / 2 - 0.25, v = j / 2 - 0.25;
      if (q) {
        const x = [0, 1].map((k) => (box[2 * k] + ((k ? v : u) + 0.5) * h[k] - frame.centre[k]) / frame.half[k]);
        const y = [0, 1].map((k) => q[3 * k] * x[0] + q[3 * k + 1] * x[1] + q[3 * k + 2]);
        [u, v] = y.map((value, k) => (frame.centre[k] + frame.unit[k] * value - box[2 * k]) / h[k] - 0.5);
      }
      const margin = problem.goesOn ? 0.5 : 2; /* where there is something to see */
      const seen = u > -margin && u < m[0] - 1 + margin && v > -margin && v < m[1] - 1 + margin;
      if (seen) taylor(c, u, v, out);
      values[i * 2 * m[1] + j] = seen ? out[0] : NaN;
    }
  }
  return values;
}

/* Draw red, green and blue, each from 0 to 1, from the arrays' values at a place. */
function paint(canvas, [width, height], colour) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < height; j++) {
      const rgb = colour(i * height + j), at = 4 * ((height - 1 - j) * width + i);
      for (let k = 0; k < 3; k++) image.data[at + k] = 255 * rgb[k];
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/* A chart: axes, ticks and labels, and a place to draw in. */
function chart({ title, x, y, width = 300, height = 215 }) {
  const left = 46, bottom = 38, top = 10, right = 12;
  const at = ({ from, to }, low, high) => (value) => low + ((value - from) / (to - from)) * (high - low);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  const said = (tick) => String(tick).replace("-", "−");
  const draw = (x, y) => {
    const px = at(x, left, width - right), py = at(y, height - bottom, top);
    svg.replaceChildren(
      ...x.ticks.flatMap((tick) => [
        make("line", { class: "rt-grid", x1: px(tick), x2: px(tick), y1: top, y2: height - bottom }),
        make("text", { x: px(tick), y: height - bottom + 13, "text-anchor": "middle" }, said(tick)),
      ]),
      ...y.ticks.flatMap((tick) => [
        make("line", { class: "rt-grid", x1: left, x2: width - right, y1: py(tick), y2: py(tick) }),
        make("text", { x: left - 5, y: py(tick) + 3.5, "text-anchor": "end" }, said(tick)),
      ]),
      make("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
      make("text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label),
    );
    return { px, py, add: (...elements) => svg.append(...elements) };
  };
  return { svg, draw };
}

const round = (value, digits = 0) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
const strength = (theta) => `θ = ${Number(theta.toPrecision(2))} px⁴`;
const percent = (part) => `${(100 * part).toFixed(0)} %`;

/* The grey values of a file, as large a part of it as fills m pixels. */
async function read(file, m) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.max(m[0] / bitmap.width, m[1] / bitmap.height);
  const canvas = make("canvas", { width: m[0], height: m[1] }), context = canvas.getContext("2d");
  const size = [bitmap.width * scale, bitmap.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (m[0] - size[0]) / 2, (m[1] - size[1]) / 2, ...size);
  const { data } = context.getImageData(0, 0, ...m), values = new Float64Array(m[0] * m[1]);
  for (let i = 0; i < m[0]; i++) {
    for (let j = 0; j < m[1]; j++) {
      const at = 4 * ((m[1] - 1 - j) * m[0] + i); /* transparent counts as black */
      const grey = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      values[i * m[1] + j] = (grey * data[at + 3]) / 255;
    }
  }
  return values;
}

/* Whether a picture ends in a dark border, as regtools.registration.choose_surround judges it. */
export function isDark(values, m) {
  const sorted = Float64Array.from(values).sort(), n = values.length;
  const range = sorted[Math.round(0.999 * (n - 1))] - sorted[Math.round(0.001 * (n - 1))];
  const border = Array.from(values).filter((_, at) => {
    const i = Math.floor(at / m[1]), j = at % m[1];
    return i === 0 || j === 0 || i === m[0] - 1 || j === m[1] - 1;
  });
  const level = Math.sqrt(border.reduce((sum, value) => sum + value * value, 0) / border.length);
  return level <= 0.2 * range;
}

export function mount(root, data) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let problem, range, pose, theta, running = 0, runs, tried, done, lowest;
  let blur = SHARP; /* as the reader chose it; theta is what is shown, and a path changes it */
  let active = 0; /* the run or sweep under way */
  let after = false; /* whether the template lies where a run left it */

  /* -- What stands on the page -- */
  const canvases = ["template", "reference", "overlay"].map(() => make("canvas", { role: "img" }));
  const overlay = make("svg", {
    class: "rt-handles",
    "aria-hidden": "true",
    touchstart: (event) => { /* each move draws the handles anew, and with the old one goes its touch-action */
      if (event.target !== overlay) event.preventDefault();
    },
  });
  const line = make("p", { class: "rt-describe", "aria-live": "polite" });
  const losses = chart({ title: "The loss of the sharp pictures over the steps of each run." }), starts = chart({ title: "The turn at the end of each run over the turn at its start." });
  const first = choices({
    label: "The path begins at θ =",
    options: [1, 2, 3].map((power) => [power, String(10 ** power)]),
    value: data.choose_first ? 1 : 3,
    change: () => { if (active === running) moved(); },
  });
  const thetas = () => scales(first.value, -3, 2 * (first.value + 3) + 1);
  const side = (k) => (problem ? problem.box[2 * k + 1] - problem.box[2 * k] : 1);
  const degrees = (value) => `${round(value)}°`;
  const length = (value) => round(value, 1);
  const control = (label, min, max, step, format, change, value = 0) =>
    slider({ label, min, max, step, value, format, change: (number) => { change(number); moved(); } });
  const controls = {
    turn: control("Turn clockwise", -180, 180, 1, degrees, (value) => { pose.turn = value; }),
    theta: control("Blur θ", -3, 3, 0.5, (value) => `${Number((10 ** value).toPrecision(2))} px⁴`, (value) => {
      theta = blur = 10 ** value;
    }, -3),
    ...Object.fromEntries(["right", "up"].map((way, k) => [`shift${k}`,
      control(`Shift ${way}`, -0.5, 0.5, 0.01, (value) => length(value * side(k)), (value) => {
        pose.shift[k] = value * side(k);
      })])),
    ...Object.fromEntries(["width", "height"].map((way, k) => [`stretch${k}`,
      control(`Stretch its ${way}`, 0.5, 2, 0.01, (value) => `× ${round(value, 2)}`, (value) => {
        pose.stretch[k] = value;
      }, 1)])),
    shear: control("Shear", -1, 1, 0.01, (value) => round(value, 2), (value) => { pose.shear = value; }),
  };
  const button = (text, click) => make("button", { type: "button", class: "rt-button", click }, text);
  const files = ["Template", "Reference"].map((name) =>
    make("input", { type: "file", accept: "image/*", "aria-label": `${name}, a file of yours`, change: own }));
  const rows = (...names) => make("div", { class: "rt-controls" }, ...names.map((name) => controls[name].row));
  const panel = (title, ...content) =>
    make("div", { class: "rt-panel" }, make("p", { class: "rt-panel-title" }, title), ...content);
  const key = (kind, text = RUNS[kind]) => make("span", { class: `rt-key rt-${kind}` }, text);
  root.append(
    make("p", { class: "rt-title" }, data.title),
    make("p", { class: "rt-lead" },
      "Turn or drag the template, then let the computer lay it onto the reference: on pictures as sharp as you see them, or from blurred to sharp."),
    rows("turn", "theta"),
    ...(data.choose_first ? [make("div", { class: "rt-controls rt-first" }, first.row)] : []),
    make("details", { class: "rt-more" }, make("summary", {}, "Shift, stretch and shear"),
      rows("shift0", "shift1", "stretch0", "stretch1", "shear")),
    make("div", { class: "rt-buttons" },
      button(RUNS.single, () => run("single")), button(RUNS.path, () => run("path")),
      button("Try 24 starts", sweep), button("Back to the start", () => { restart(); moved(); })),
    line,
    make("div", { class: "rt-panels rt-pictures" },
      panel("Template, moved", make("div", { class: "rt-stage" }, canvases[0], overlay)),
      panel("Reference", canvases[1]),
      panel("Both over each other", canvases[2])),
    make("p", { class: "rt-keys" }, key("template", "template alone"), key("reference", "reference alone"), key("both", "both")),
    make("div", { class: "rt-panels" },
      panel("Loss of the sharp pictures", losses.svg),
      panel("Where a start ends", starts.svg)),
    make("p", { class: "rt-keys" }, key("single"), key("path")),
    make("details", { class: "rt-more" }, make("summary", {}, "Two pictures of your own"),
      make("p", {}, "They stay on your computer, become grey, and are reduced to 64 pixels on their longer side. A template of another shape is cut to that of the reference."),
      make("div", { class: "rt-files" }, ...["Template ", "Reference "].map((name, k) => make("label", {}, name, files[k])))),
  );

  /* -- The pair -- */
  function start(template, reference, m, box, surround) {
    problem = registrationProblem(template, reference, m, box, surround);
    const all = [...template, ...reference];
    range = all.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    lowest = { share: Infinity };
    tried = [];
    done = new Set();
    blur = SHARP;
    root.style.setProperty("--rt-aspect", `${side(0)} / ${side(1)}`);
    restart();
  }

  function restart() {
    running++;
    runs = { single: [], path: [] };
    pose = structuredClone(REST);
    theta = blur;
  }

  /* A new run or sweep. If it breaks off another, the blur is the reader's again. */
  function begin() {
    if (active === running) theta = blur;
    return (active = ++running);
  }

  const left = (q) => evaluate(problem, q, SHARP).loss / outOfSight(problem, SHARP);

  async function own() {
    if (!files.every((input) => input.files.length)) {
      line.textContent = "Choose the other picture too.";
      return;
    }
    try {
      const [template, reference] = files.map((input) => input.files[0]);
      const { width, height } = await createImageBitmap(reference), unit = 64 / Math.max(width, height);
      const m = [width, height].map((n) => Math.max(8, Math.round(n * unit)));
      const pictures = await Promise.all([read(template, m), read(reference, m)]);
      const plain = pictures.findIndex((values) => values.every((value) => Math.abs(value - values[0]) < 1));
      if (plain >= 0) {
        line.textContent = `The ${plain ? "reference" : "template"} has the same grey everywhere: choose another one.`;
        return;
      }
      const dark = pictures.every((values) => isDark(values, m));
      start(...pictures, m, [0, m[0], 0, m[1]], dark ? "zero" : "overlap");
      moved();
      line.textContent = dark
        ? "Read. Both have a dark border: outside its box a picture counts as black."
        : "Read. The pictures go on outside: only what both show is compared.";
    } catch {
      line.textContent = "One of the files could not be read as a picture; choose another one. A browser reads PNG and JPEG, but rarely TIFF.";
    }
  }

  /* -- Runs -- */
  const solver = (kind, q) => (kind === "path" ? path(problem, q, thetas()) : newton(problem, q, theta));

  /* The end of a run into the map of starts, if it began with a turn alone. */
  function note(kind, from, end) {
    const share = left(end.q);
    done.add(kind);
    if (share < lowest.share) lowest = { share, turn: poseOf(problem, end.q).turn };
    if (from !== null) tried.push({ kind, from, share, to: poseOf(problem, end.q).turn });
    return share;
  }

  const turnedOnly = () => {
    const others = [...pose.shift, pose.shear, pose.stretch[0] - 1, pose.stretch[1] - 1];
    return others.every((value) => Math.abs(value) < 1e-9) ? pose.turn : null;
  };

  async function run(kind) {
    const mine = begin(), from = turnedOnly(), before = theta, again = after;
    after = true;
    const q = parametersOf(problem, pose), steps = solver(kind, q);
    runs[kind] = [left(q)];
    let next = steps.next();
    for (; !next.done; next = steps.next()) {
      if (mine !== running) return; /* the reader has moved something */
      pose = poseOf(problem, next.value.q);
      theta = next.value.theta;
      runs[kind].push(left(next.value.q));
      if (still) continue;
      show();
      await new Promise((after) => setTimeout(after, 70));
    }
    active = 0;
    const end = next.value, share = note(kind, from, end), count = runs[kind].length - 1;
    pose = poseOf(problem, end.q);
    theta = end.theta;
    show();
    const ended = end.status === "converged" ? "" : " It stopped before the gradient was zero.";
    const gone = problem.goesOn ? end.covered < 0.05 : Math.abs(share - 1) < 1e-9;
    const seen = gone ? " The template has left the reference." : "";
    const better = share > 1.01 * lowest.share ? `another run came down to ${percent(lowest.share)}`
      : done.size > 1 ? "the lowest so far" : "does the other button come lower?";
    const unmarked = from === null && !again ? " It did not begin with a turn alone: the chart of starts leaves it out." : "";
    const where = kind === "path" ? `${thetas().length} scales` : strength(before);
    const begun = again ? ", from where the last run ended" : "";
    line.textContent = `${RUNS[kind]}${begun}: ${count} ${count === 1 ? "step" : "steps"} at ${where}. The loss is ${percent(share)}: ${better}${better.endsWith("?") ? "" : "."}${seen}${ended}${unmarked}`;
  }

  async function sweep() {
    const mine = begin(), ends = { single: [], path: [] };
    tried = [];
    for (const turn of STARTS) {
      for (const kind of ["single", "path"]) {
        await new Promise((after) => setTimeout(after));
        if (mine !== running) return;
        ends[kind].push(note(kind, turn, finish(solver(kind, parametersOf(problem, { ...REST, turn })))));
        drawStarts();
      }
      line.textContent = `Start at ${degrees(turn)}.`;
    }
    active = 0;
    const best = Math.min(...ends.single, ...ends.path);
    const good = (kind) => ends[kind].filter((share) => share <= 1.01 * best).length;
    const other = best > 1.01 * lowest.share ? ` Another run came down to ${percent(lowest.share)}.` : "";
    line.textContent = `Of 24 start angles, ${good("single")} end in the lowest valley at the single scale, and ${good("path")} from blurred to sharp. The single scale was ${strength(theta)}.${other}`;
  }

  /* -- Drawing -- */
  function moved() { /* by the reader */
    if (active === running) theta = blur;
    running++;
    after = false;
    const share = left(parametersOf(problem, pose));
    line.textContent = `The loss of the sharp pictures is ${percent(share)} of what it is with the template out of sight.`;
    show();
  }

  function show() {
    const q = parametersOf(problem, pose), size = problem.m.map((n) => 2 * n);
    const grey = (value) => Math.min(1, Math.max(0, (value - range[0]) / (range[1] - range[0] || 1)));
    const [template, reference] = [picture(problem, q, theta), picture(problem, null, theta)];
    const seen = (value) => (Number.isNaN(value) ? 0 : grey(value));
    paint(canvases[0], size, (at) => Array(3).fill(seen(template[at])));
    paint(canvases[1], size, (at) => Array(3).fill(seen(reference[at])));
    paint(canvases[2], size, (at) => {
      const t = seen(template[at]), r = seen(reference[at]);
      return [t, (t + r) / 2, r];
    });
    const where = `turned by ${degrees(pose.turn)}`;
    ["The template, " + where, "The reference", "Both pictures, the template " + where].forEach((alt, k) =>
      canvases[k].setAttribute("aria-label", `${alt}.`));
    controls.turn.set(pose.turn);
    controls.theta.set(Math.log10(theta));
    for (const k of [0, 1]) {
      controls[`shift${k}`].set(pose.shift[k] / side(k));
      controls[`stretch${k}`].set(pose.stretch[k]);
    }
    controls.shear.set(pose.shear);
    drawHandles();
    drawLosses();
    drawStarts();
  }

  function drawLosses() {
    const longest = Math.max(20, ...Object.values(runs).map((run) => run.length - 1));
    const step = longest > 40 ? 20 : longest > 20 ? 10 : 5;
    const ticks = Array.from({ length: Math.floor(longest / step) + 1 }, (_, k) => k * step);
    const { px, py, add } = losses.draw(
      { from: 0, to: longest, ticks, label: "steps" },
      { from: 0, to: 120, ticks: [0, 50, 100], label: "loss [%]" },
    );
    for (const [kind, run] of Object.entries(runs)) {
      if (!run.length) continue;
      const height = (share) => py(Math.min(120, 100 * share)), at = (share, k) => `${px(k)},${height(share)}`;
      add(make("polyline", { class: `rt-line rt-${kind}`, points: run.map(at).join(" ") }),
        make("circle", { class: `rt-dot rt-${kind}`, cx: px(run.length - 1), cy: height(run.at(-1)), r: 4 }));
    }
  }

  function drawStarts() {
    const ticks = [-180, -90, 0, 90, 180];
    const { px, py, add } = starts.draw(
      { from: -190, to: 190, ticks, label: "turn at the start [degrees]" },
      { from: -190, to: 190, ticks, label: "turn at the end" },
    );
    if (lowest.turn !== undefined) {
      add(make("line", { class: "rt-lowest", x1: px(-190), x2: px(190), y1: py(lowest.turn), y2: py(lowest.turn) }));
    }
    const now = turnedOnly();
    if (now !== null) add(make("line", { class: "rt-now", x1: px(now), x2: px(now), y1: py(-190), y2: py(190) }));
    for (const { kind, from, to } of tried) {
      add(kind === "path"
        ? make("circle", { class: "rt-dot rt-path", cx: px(from), cy: py(to), r: 4 })
        : make("rect", { class: "rt-box rt-single", x: px(from) - 5, y: py(to) - 5, width: 10, height: 10 }));
    }
  }

  /* The frame of the moved template, its corners to turn and two edges to stretch. */
  function drawHandles() {
    const { box, frame } = problem, scale = 100 / side(0);
    overlay.setAttribute("viewBox", `0 0 100 ${scale * side(1)}`);
    const place = ([a, b]) => { /* from the template's own axes, ±1 at its borders, to the screen */
      const t = (pose.turn * Math.PI) / 180, c = Math.cos(t), s = Math.sin(t);
      const own = [a * frame.half[0] * pose.stretch[0] + pose.shear * b * frame.half[1], b * frame.half[1] * pose.stretch[1]];
      const x = [frame.centre[0] + pose.shift[0] + c * own[0] + s * own[1], frame.centre[1] + pose.shift[1] - s * own[0] + c * own[1]];
      return [scale * (x[0] - box[0]), scale * (box[3] - x[1])];
    };
    const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map((corner) => place(corner.map((k) => HANDLES * k)));
    overlay.replaceChildren(
      make("polygon", { class: "rt-frame", points: corners.map((x) => x.join(",")).join(" "), pointerdown: grab("move") }),
      ...corners.map(([cx, cy]) => make("circle", { class: "rt-handle", cx, cy, r: 4.5, pointerdown: grab("turn") })),
      ...[[HANDLES, 0], [0, HANDLES]].map((edge, k) => {
        const [x, y] = place(edge);
        return make("rect", { class: "rt-handle", x: x - 4, y: y - 4, width: 8, height: 8, pointerdown: grab(k) });
      }),
    );
  }

  const grab = (what) => (event) => {
    if (event.button) return; /* the left one, a finger or a pen */
    event.preventDefault();
    const { frame, box } = problem, bounds = overlay.getBoundingClientRect(), before = structuredClone(pose);
    const point = ({ clientX, clientY }) => [
      box[0] + ((clientX - bounds.left) / bounds.width) * side(0),
      box[3] - ((clientY - bounds.top) / bounds.height) * side(1),
    ];
    const first = point(event), arm = (x) => x.map((value, k) => value - frame.centre[k] - before.shift[k]);
    const angle = (x) => (-180 * Math.atan2(arm(x)[1], arm(x)[0])) / Math.PI;
    const along = (x, k) => { /* how far out on the template's own axis k */
      const t = (before.turn * Math.PI) / 180, [a, b] = arm(x);
      return k ? Math.sin(t) * a + Math.cos(t) * b : Math.cos(t) * a - Math.sin(t) * b;
    };
    const drag = (to) => {
      if (to.pointerId !== event.pointerId) return; /* another finger */
      const x = point(to);
      if (what === "move") pose.shift = before.shift.map((value, k) => value + x[k] - first[k]);
      else if (what === "turn") pose.turn = ((before.turn + angle(x) - angle(first) + 540) % 360) - 180;
      else pose.stretch[what] = Math.min(2, Math.max(0.5, (before.stretch[what] * along(x, what)) / along(first, what)));
      moved();
    };
    const drop = (from) => {
      if (from.pointerId !== event.pointerId) return;
      removeEventListener("pointermove", drag);
      removeEventListener("pointerup", drop);
      removeEventListener("pointercancel", drop);
    };
    addEventListener("pointermove", drag);
    addEventListener("pointerup", drop);
    addEventListener("pointercancel", drop);
  };

  start(data.template, data.reference, data.m, data.box, data.surround);
  moved();
}
