/* Chapter 7: CG on few unknowns, differentiated from a restart on, in 53, 106 or 400 bits. */

/* ---- arithmetics: of(double), add, sub, mul, div, number(x), fine(x), floor ----
   fine(x) is exact, in `fine` of 400 bits; floor is eps⁴, where CG has squared its residual away. */

export const double = {
  of: (x) => x,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  number: (a) => a,
  fine: (a) => fine.of(a),
  floor: 2 ** -208,
};

/* A pair of doubles, the second the rounding error of the first: 106 bits. */
const quick = (a, b) => {
  const sum = a + b;
  return [sum, b - (sum - a)];
};
const exactSum = (a, b) => {
  const sum = a + b, part = sum - a;
  return [sum, (a - (sum - part)) + (b - part)];
};
const halves = (a) => { /* 26 bits each, so that products of them are exact */
  const scaled = 134217729 * a, high = scaled - (scaled - a);
  return [high, a - high];
};
const exactProduct = (a, b) => {
  const product = a * b, [ah, al] = halves(a), [bh, bl] = halves(b);
  return [product, ((ah * bh - product) + ah * bl + al * bh) + al * bl];
};

export const pairs = {
  of: (x) => [x, 0],
  add(a, b) {
    const [high, low] = exactSum(a[0], b[0]), [next, last] = exactSum(a[1], b[1]);
    const [top, rest] = quick(high, low + next);
    return quick(top, rest + last);
  },
  sub: (a, b) => pairs.add(a, [-b[0], -b[1]]),
  mul(a, b) {
    const [high, low] = exactProduct(a[0], b[0]);
    return quick(high, low + (a[0] * b[1] + a[1] * b[0]));
  },
  div(a, b) { /* long division, a double at a time */
    const first = a[0] / b[0], left = pairs.sub(a, pairs.mul(b, [first, 0]));
    return quick(first, left[0] / b[0]);
  },
  number: (a) => a[0],
  fine: (a) => fine.add(fine.of(a[0]), fine.of(a[1])),
  floor: [2 ** -420, 0],
};

/* Floating point on whole numbers: [m, e] is m · 2^e, with m of at most so many bits. */
const length = (m) => {
  const digits = (m < 0n ? -m : m).toString(16);
  return 4 * digits.length + 28 - Math.clz32(parseInt(digits[0], 16));
};

export function whole(bits) {
  const round = (m, e) => {
    const over = m === 0n ? 0 : length(m) - bits;
    if (over <= 0) return m === 0n ? [0n, 0] : [m, e];
    return [(m + (1n << BigInt(over - 1))) >> BigInt(over), e + over];
  };
  const T = {
    of(x) {
      let e = 0;
      for (; !Number.isInteger(x); x *= 2) e--;
      return round(BigInt(x), e);
    },
    add(a, b) {
      if (a[0] === 0n) return b;
      if (b[0] === 0n) return a;
      const [big, small] = a[1] < b[1] ? [b, a] : [a, b], apart = big[1] - small[1];
      if (apart > 4 * bits) return big; /* the other lies far below its last bit */
      return round((big[0] << BigInt(apart)) + small[0], small[1]);
    },
    sub: (a, b) => T.add(a, [-b[0], b[1]]),
    mul: (a, b) => round(a[0] * b[0], a[1] + b[1]),
    div(a, b) {
      const shift = bits + 2 + length(b[0]);
      return round((a[0] << BigInt(shift)) / b[0], a[1] - b[1] - shift);
    },
    number(a) {
      const drop = a[0] === 0n ? 0 : Math.max(0, length(a[0]) - 64);
      return Number(a[0] >> BigInt(drop)) * 2 ** (a[1] + drop);
    },
    fine: (a) => a,
    floor: [1n, 4 - 4 * bits],
  };
  return T;
}
export const fine = whole(400);
export const text = ([m, e]) => `${m}p${e}`;

/* A dual number [v, d] is a value and its derivative, over any arithmetic. */
export function dual(T) {
  return {
    of: (x) => [T.of(x), T.of(0)],
    add: (a, b) => [T.add(a[0], b[0]), T.add(a[1], b[1])],
    sub: (a, b) => [T.sub(a[0], b[0]), T.sub(a[1], b[1])],
    mul: (a, b) => [T.mul(a[0], b[0]), T.add(T.mul(a[0], b[1]), T.mul(a[1], b[0]))],
    div(a, b) {
      const value = T.div(a[0], b[0]);
      return [value, T.div(T.sub(a[1], T.mul(value, b[1])), b[0])];
    },
    number: (a) => T.number(a[0]),
    fine: (a) => a.map(T.fine),
    floor: [T.floor, T.of(0)],
  };
}

export const arithmetic = (bits) => ({ 53: double, 106: pairs, 400: fine })[bits];

/* ---- CG over any arithmetic; over dual numbers it carries its derivative along ---- */

const dot = (T, u, v) => u.map((x, i) => T.mul(x, v[i])).reduce(T.add);
const apply = (T, matrix, v) => matrix.map((row) => dot(T, row, v));
const less = (T, u, a, v) => u.map((x, i) => T.sub(x, T.mul(a, v[i])));
const plus = (T, u, a, v) => u.map((x, i) => T.add(x, T.mul(a, v[i])));

/* All iterates f_0 … and residuals ρ_0 …, and the step lengths α_0 …, β_0 … */
export function cg(T, matrix, right, start, count) {
  let f = start, rho = less(T, right, T.of(1), apply(T, matrix, start));
  let delta = rho, square = dot(T, rho, rho);
  const least = T.mul(T.floor, dot(T, right, right));
  const run = { f: [f], rho: [rho], alpha: [], beta: [] };
  while (run.alpha.length < count && T.number(T.sub(square, least)) > 0) {
    const image = apply(T, matrix, delta), alpha = T.div(square, dot(T, delta, image));
    f = plus(T, f, alpha, delta);
    rho = less(T, rho, alpha, image);
    const next = dot(T, rho, rho), beta = T.div(next, square);
    delta = plus(T, rho, beta, delta);
    square = next;
    run.f.push(f);
    run.rho.push(rho);
    run.alpha.push(alpha);
    run.beta.push(beta);
  }
  return run;
}

/* Coefficients of 1 − t π_k(t), lowest first: CG with a number t in the place of the matrix. */
export function polynomial(T, alpha, beta, k) {
  const zero = T.of(0), at = (p, j) => p[j] ?? zero;
  let rho = [T.of(1)], delta = rho;
  for (let i = 0; i < k; i++) {
    const degrees = Array.from({ length: i + 2 }, (_, j) => j);
    rho = degrees.map((j) => (j ? T.sub(at(rho, j), T.mul(alpha[i], delta[j - 1])) : rho[0]));
    delta = rho.map((x, j) => T.add(x, T.mul(beta[i], at(delta, j))));
  }
  return rho;
}

export const evaluate = (T, coefficients, t) =>
  coefficients.reduceRight((sum, c) => T.add(T.mul(sum, t), c), T.of(0));

/* ---- the experiment: CG restarted at each s, with the derivative of the start taken as zero ---- */

/* Errors are in the norm of the matrix, relative to the solution (error) and its derivative (slope). */
export function experiment({ matrix, right, tangent, eigenvalues, vectors, count }, bits) {
  const T = arithmetic(bits), D = dual(T), exact = dual(fine);
  const N = matrix.map((row) => row.map(D.of)), b = right.map((x, i) => [T.of(x), T.of(tangent[i])]);
  const rows = matrix.map((row) => row.map(fine.of)), V = vectors.map((v) => v.map(exact.of));
  const along = (u, i) => exact.div(dot(exact, V[i], u), dot(exact, V[i], V[i]));
  const zero = (arithmetic) => b.map(() => arithmetic.of(0));
  const solution = V.reduce((f, v, i) => {
    return plus(exact, f, exact.div(along(b.map(D.fine), i), exact.of(eigenvalues[i])), v);
  }, zero(exact));
  const sizes = (f) => [0, 1].map((part) => {
    const u = f.map((x) => x[part]);
    return Math.sqrt(fine.number(dot(fine, u, apply(fine, rows, u))));
  });
  const full = sizes(solution);
  const error = (f) => sizes(less(exact, f.map(D.fine), exact.of(1), solution)).map((e, i) => e / full[i]);
  const runs = [];
  for (let s = 0; s <= count; s++) {
    const stop = s && runs[0].f[Math.min(s, runs[0].alpha.length)];
    const start = stop ? stop.map(([value]) => [value, T.of(0)]) : zero(D);
    const run = cg(D, N, b, start, count - s), errors = run.f.map(error);
    runs.push({ ...run, error: errors.map((both) => both[0]), slope: errors.map((both) => both[1]) });
  }
  /* The polynomial of the run that iteration k belongs to, and what it was fitted to. */
  const look = (s, k) => {
    const [run, j] = k > s ? [runs[s], Math.min(k - s, runs[s].alpha.length)] : [runs[0], k];
    const [alpha, beta] = [run.alpha, run.beta].map((all) => all.map(([value]) => T.fine(value)));
    const coefficients = polynomial(fine, alpha, beta, Math.min(j, alpha.length));
    const value = (t) => fine.number(evaluate(fine, coefficients, fine.of(t)));
    const start = run.rho[0].map(D.fine);
    const [own, other] = [0, 1].map((part) => {
      const sizes = vectors.map((v, i) => Math.abs(fine.number(along(start, i)[part])) * Math.hypot(...v));
      return sizes.map((x) => x / Math.hypot(...sizes));
    });
    return { value, own, other, values: eigenvalues.map(value) };
  };
  const numbers = (f) => [0, 1].map((part) => f.map((x) => fine.number(T.fine(x[part]))));
  /* Iterates 0 … k and their derivatives, which begin with zero at the restart. */
  const path = (s, k) => {
    const step = ({ f, error, slope }, j) => ({ at: numbers(f[j]), error: error[j], slope: slope[j] });
    const late = runs[s].f.map((_, j) => step(runs[s], j)), early = runs[0].f.slice(0, s).map((f, j) => {
      const { at, error } = step(runs[0], j);
      return { at: [at[0], f.map(() => 0)], error, slope: 1 };
    });
    return [...early, ...late].slice(0, k + 1);
  };
  const truth = [0, 1].map((part) => solution.map((x) => fine.number(x[part])));
  return { runs, look, path, truth, errors: runs.map((run) => run.slope.at(-1)) };
}

/* ---- words ---- */

const raised = (e) => [...String(e)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");

/* Two digits, or one and a power of ten. */
export function short(x) {
  const [digit, e] = Math.abs(x).toExponential(0).split("e").map(Number), sign = x < 0 ? "−" : "";
  if (x === 0 || (e >= -2 && e < 4)) return sign + Number(Math.abs(x).toPrecision(2));
  return `${sign}${digit === 1 ? "" : `${digit}·`}10${raised(e)}`;
}

/* What is seen at iteration k, with differentiation from iteration s on. */
export function describe({ count, eigenvalues }, bits, s, k, { runs, errors, path }, view, plain) {
  const rest = count - s, times = `the error is ${short(errors[s])} times that of no derivative`;
  const which = rest > 1 ? `The last ${rest} of ${count} iterations are` : `The last of ${count} iterations is`;
  const lines = [
    !rest ? "Nothing is differentiated: the error is that of no derivative, 1."
      : !s ? `${count > 2 ? `All ${count}` : "Both"} iterations are differentiated: ${times}.`
        : `${which} differentiated: ${times}${errors[s] > 1 ? ", so worse than none" : ""}.`,
  ];
  if (plain && rest && count > 2) lines.push(`In 53 bits it is ${short(plain.errors[s])} times.`);
  const left = path(s, s).at(-1).error;
  if (s && rest && left < 2 ** (-bits / 2)) {
    lines.push(`But at the restart CG had arrived, with an error of ${short(left)}: this differentiates rounding.`);
  }
  if (!k) return [...lines, "Before the first iteration the polynomial is 1."].join(" ");
  const large = view.values.reduce((best, x, i, all) => (Math.abs(x) > Math.abs(all[best]) ? i : best), 0);
  const [value, own, other] = [view.values, view.own, view.other].map((all) => short(all[large]));
  const late = s && k > s, steps = late ? k - s : k, after = `${steps} iteration${steps > 1 ? "s" : ""} after the`;
  const shares = `; the residual at the restart has a share of ${own} there, its derivative ${other}`;
  lines.push(`${after} ${late ? "restart" : "start"} the polynomial is ${value} `
    + `at the eigenvalue ${eigenvalues[large]}, larger than at the other${count > 2 ? "s" : ""}${late ? shares : ""}.`);
  return lines.join(" ");
}

/* ---- charts ---- */

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [216, 196, 46, 8, 8, 36];

/* From numbers to pixels; from and to are powers of ten where it is logarithmic. */
function scale({ from, to, log, step }, start, end) {
  const measure = (x) => (log ? Math.log10(Math.abs(x)) : x);
  const place = (u) => start + ((end - start) * (u - from)) / (to - from);
  const ticks = [];
  for (let u = Math.ceil(from / step) * step; u <= to + 1e-9; u += step) {
    ticks.push([place(u), log ? (u ? (u === 1 ? "10" : `10${raised(u)}`) : "1") : short(u)]);
  }
  return {
    ticks,
    beyond: (x) => (measure(x) > to ? 1 : measure(x) < from ? -1 : 0),
    at: (x) => place(Math.min(to, Math.max(from, measure(x)))),
  };
}

const SHAPES = {
  dot: (x, y) => make("circle", { cx: x, cy: y, r: 3.8 }),
  ring: (x, y) => make("circle", { cx: x, cy: y, r: 6.5 }),
  square: (x, y) => make("rect", { x: x - 2.5, y: y - 2.5, width: 5, height: 5 }),
  diamond: (x, y) => make("path", { d: `M${x} ${y - 5.5}l5 5.5l-5 5.5l-5-5.5z` }),
  cross: (x, y) => make("path", { d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` }),
};

class Chart {
  constructor({ x, y, xLabel, yLabel }) {
    this.x = scale(x, LEFT, WIDTH - RIGHT);
    this.y = scale(y, HEIGHT - BOTTOM, TOP);
    const [floor, middle] = [HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2];
    const write = (words, x, y, more) => make("text", { x, y, "text-anchor": "middle", ...more }, words);
    this.svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" },
      make("path", { class: "frame", d: `M${LEFT} ${TOP}V${floor}H${WIDTH - RIGHT}` }),
      ...this.x.ticks.map(([at, words]) => write(words, at, floor + 14)),
      ...this.y.ticks.map(([at, words]) => write(words, LEFT - 5, at + 4, { "text-anchor": "end" })),
      write(xLabel, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6),
      write(yLabel, 0, 0, { transform: `translate(11 ${middle}) rotate(-90)` }));
    this.legend = make("p", { class: "rt-cg-legend" });
  }
  entry(shape, style, words) {
    if (!words) return;
    const line = make("line", { class: style, x1: 1, x2: 23, y1: 7, y2: 7 });
    const sample = make("svg", { viewBox: "0 0 24 14", "aria-hidden": "true" });
    if (shape !== "line") sample.append(make("g", { class: style }, SHAPES[shape](12, 7)));
    else sample.append(line);
    this.legend.append(make("span", {}, sample, words));
  }
  line(points, style, words) {
    const path = points.map(([x, y]) => `${this.x.at(x).toFixed(1)} ${this.y.at(y).toFixed(1)}`);
    if (path.length > 1) this.svg.append(make("path", { class: style, d: `M${path.join("L")}` }));
    this.entry("line", style, words);
  }
  /* A triangle at the edge stands for what lies beyond. */
  marks(points, shape, style, words) {
    this.svg.append(make("g", { class: style }, ...points.map(([a, b]) => {
      const [x, y, out] = [this.x.at(a), this.y.at(b), this.y.beyond(b)];
      if (!out || shape === "ring") return SHAPES[shape](x, y);
      return make("path", { d: `M${x - 4} ${y + 3 * out}h8l-4 ${-7 * out}z` });
    })));
    this.entry(shape, style, words);
  }
  arrow([a, b], [c, d], style, words) {
    const [x, y, u, v] = [this.x.at(a), this.y.at(b), this.x.at(c), this.y.at(d)];
    const long = Math.hypot(u - x, v - y), [p, q] = [(u - x) / long, (v - y) / long];
    const barbs = [4, -4].map((side) => `M${u} ${v}L${u - 8 * p - side * q} ${v - 8 * q + side * p}`);
    if (long > 1) {
      this.svg.append(make("path", { class: style, d: `M${x} ${y}L${u} ${v}` }),
        make("path", { class: `${style} head`, d: barbs.join("") }));
    }
    this.entry("line", style, words);
  }
}

const CURVE = 240;
const AXES = {
  2: {
    t: { from: 0, to: 10, step: 2 }, polynomial: { from: -7, to: 1.5, step: 2 },
    first: { from: -0.4, to: 2.6, step: 1 }, second: { from: -1.75, to: 1.065, step: 1 },
    k: { from: -0.1, to: 2.1, step: 1 }, error: { from: -0.1, to: 2.2, step: 0.5 },
  },
  8: {
    t: { log: true, from: -0.4, to: 4.6, step: 1 }, polynomial: { log: true, from: -12, to: 16, step: 4 },
    k: { from: -0.4, to: 12.4, step: 2 }, error: { log: true, from: -12, to: 16, step: 4 },
  },
};

function drawPolynomial({ eigenvalues }, axes, view) {
  const yLabel = axes.polynomial.log ? "|1 − t π(t)|" : "1 − t π(t)";
  const chart = new Chart({ x: axes.t, y: axes.polynomial, xLabel: "t", yLabel });
  const values = ({ from, to, log }, n) => /* evenly spaced in the picture */
    Array.from({ length: n + 1 }, (_, i) => from + ((to - from) * i) / n).map((u) => (log ? 10 ** u : u));
  const ends = values(axes.t, 1), [bottom, top] = values(axes.polynomial, 1);
  for (const t of eigenvalues) chart.line([[t, bottom], [t, top]], "hair");
  for (const level of axes.t.log ? [1] : [0, 1]) chart.line(ends.map((t) => [t, level]), "hair");
  const places = [...values(axes.t, CURVE), ...eigenvalues].sort((a, b) => a - b);
  chart.line(places.map((t) => [t, view.value(t)]), "first", "polynomial");
  chart.marks(eigenvalues.map((t, i) => [t, view.values[i]]), "dot", "first", "at an eigenvalue");
  chart.marks(eigenvalues.map((t, i) => [t, view.own[i]]), "square", "own", "share in the residual");
  chart.marks(eigenvalues.map((t, i) => [t, view.other[i]]), "diamond", "second hollow", "share in its derivative");
  chart.alt = `The polynomial at the eigenvalues ${eigenvalues.join(", ")}: ${view.values.map(short).join(", ")}.`;
  return chart;
}

function drawWalk({ eigenvalues, vectors }, axes, { path, truth }, s, k) {
  const chart = new Chart({ x: axes.first, y: axes.second, xLabel: "first unknown", yLabel: "second unknown" });
  const [f, slope] = truth, steps = path(s, k).map((step) => step.at);
  const units = vectors.map((v) => v.map((x) => x / Math.hypot(...v)));
  const energy = units.reduce((sum, v, i) => sum + eigenvalues[i] * (v[0] * f[0] + v[1] * f[1]) ** 2, 0);
  const turn = Array.from({ length: 73 }, (_, i) => (Math.PI * i) / 36);
  for (const level of [1, 1 / 4, 1 / 16]) {
    const [a, b] = eigenvalues.map((t) => Math.sqrt((energy * level) / t));
    const around = (w) => [0, 1].map((j) => f[j] + a * Math.cos(w) * units[0][j] + b * Math.sin(w) * units[1][j]);
    chart.line(turn.map(around), "hair");
  }
  const [end, moves] = steps.at(-1), tip = (from, step) => from.map((x, j) => x + step[j]);
  chart.line(steps.map(([at]) => at), "first", "iterates of CG");
  chart.marks(steps.map(([at]) => at), "dot", "first");
  if (s && k >= s) chart.marks([steps[s][0]], "ring", "first", "restart");
  chart.marks([f], "cross", "text", "solution");
  chart.arrow(f, tip(f, slope), "text dotted", "its derivative");
  chart.arrow(end, tip(end, moves), "second", "derivative of the iterate");
  const say = (v) => `(${v.map(short).join(", ")})`;
  chart.alt = `Iterate ${steps.length - 1} at ${say(end)} with derivative ${say(moves)}; `
    + `the solution ${say(f)} with derivative ${say(slope)}.`;
  return chart;
}

function drawRun({ count }, axes, { path }, s, k) {
  const chart = new Chart({ x: axes.k, y: axes.error, xLabel: "iteration k", yLabel: "relative error" });
  const steps = path(s, count), points = (name) => steps.map((step, j) => [j, step[name]]);
  const [iterate, derivative] = ["error", "slope"].map(points);
  const here = Math.min(k, steps.length - 1);
  chart.line([[-1, 1], [count + 1, 1]], "hair");
  if (s) chart.line([[s, 1e-12], [s, 1e16]], "restart", "restart");
  chart.line(iterate, "first", "iterate");
  chart.marks([iterate[here]], "dot", "first");
  chart.line(derivative, "second dashed", "its derivative");
  chart.marks([derivative[here]], "diamond", "second");
  chart.alt = `Relative errors after ${here} iterations: of the iterate ${short(iterate[here][1])}, `
    + `of its derivative ${short(derivative[here][1])}.`;
  return chart;
}

/* The errors at the starts where the reader has been. */
function drawStarts(axes, { errors }, bits, s, plain, visited) {
  const [xLabel, yLabel] = ["differentiation begins at s", "error / error without"];
  const chart = new Chart({ x: axes.k, y: axes.error, xLabel, yLabel });
  const points = (all) => all.map((error, j) => [j, error]).filter(([j]) => visited.has(j));
  chart.line([[-1, 1], [errors.length, 1]], "text dotted", "no derivative");
  if (plain) chart.line(points(plain.errors), "muted dashed", "53 bits");
  chart.line(points(errors), "second", `${bits} bits`);
  chart.marks(points(errors), "dot", "second");
  chart.marks([[s, errors[s]]], "ring", "text", `s = ${s}`);
  chart.alt = "Error of the derivative, relative to none, by where differentiation begins: "
    + `${points(errors).map(([j, error]) => `${j}: ${short(error)}`).join(", ")}.`;
  return chart;
}

/* ---- the explorer ---- */

export function mount(root, data) {
  const found = new Map(); /* of each problem and precision, computed when first asked for */
  const solve = (bits) => {
    const key = `${problem.right.length} ${bits}`;
    if (!found.has(key)) found.set(key, experiment(problem, bits));
    return found.get(key);
  };
  let problem = data.problems[0], visited = new Set();
  const show = () => {
    const [s, k, bits, size] = [begin.value, iteration.value, precision.value, problem.right.length];
    visited.add(s);
    const result = solve(bits), plain = bits === 53 ? null : solve(53), view = result.look(s, k), axes = AXES[size];
    said.textContent = describe(problem, bits, s, k, result, view, plain);
    const steps = k > s ? k - s : k, after = `Polynomial after ${steps} iteration${steps === 1 ? "" : "s"}`;
    panels.replaceChildren(...[
      [after, drawPolynomial(problem, axes, view)],
      size === 2 ? ["Iterates on the level lines", drawWalk(problem, axes, result, s, k)]
        : ["Errors as CG runs", drawRun(problem, axes, result, s, k)],
      ["Error of the derivative", drawStarts(axes, result, bits, s, plain, visited)],
    ].map(([title, chart]) => {
      chart.svg.setAttribute("aria-label", chart.alt);
      return make("figure", {}, make("figcaption", {}, title), chart.svg, chart.legend);
    }));
  };
  const unknowns = choices({
    label: "Unknowns", options: data.problems.map(({ right }, i) => [i, right.length]), value: 0,
    change(i) {
      problem = data.problems[i];
      visited = new Set();
      for (const control of [iteration, begin]) {
        control.input.max = problem.count;
        control.set(0);
      }
      show();
    },
  });
  const part = (s) => {
    const percent = Math.round(100 * (1 - s / problem.count));
    return percent === 100 ? "all" : percent ? `the last ${percent} %` : "none";
  };
  const range = (label, format) =>
    slider({ label, min: 0, max: problem.count, step: 1, value: 0, format, change: show });
  const iteration = range("Iteration k", (k) => `${k} of ${problem.count}`);
  const begin = range("Differentiate from s", (s) => `${s}: ${part(s)}`);
  for (const { row } of [iteration, begin]) { /* as wide as their longest, lest the sliders change */
    row.querySelector("output").style.minWidth = "16ch";
  }
  const precision = choices({
    label: "Precision", options: data.bits.map((bits) => [bits, `${bits} bits`]), value: data.bits[0], change: show,
  });
  const said = make("p", { class: "rt-describe", "aria-live": "polite" });
  const panels = make("div", { class: "rt-panels" });
  root.classList.add("rt-cg");
  root.append(
    make("p", { class: "rt-title" }, data.title),
    make("p", { class: "rt-cg-intro" }, data.intro),
    make("div", { class: "rt-controls" }, unknowns.row, iteration.row, begin.row, precision.row),
    said, panels);
  show();
}
