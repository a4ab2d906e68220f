/* Register two pictures in the browser: the image model, the loss and the path of the Python package. */

/* ---- The image model. Arrays are in C order: axis 0 to the right, axis 1 upwards. ---- */

const PAD = 5; /* coefficients beyond the box: mirrored where the picture goes on, else zero */

/* One axis: the bands 0 to 3 of BᵀB and P, on the coefficients inside the box. Where the picture
   goes on, what reaches beyond the box is folded back, as by a mirror. */
function bands(m, mirrored) {
  const fold = (row) => {
    const full = Array.from({ length: 4 }, () => new Float64Array(m));
    for (let i = 0; i < m; i++) {
      for (let k = -3; k <= 3; k++) {
        let j = i + k;
        if (mirrored) j = j < 0 ? -1 - j : j >= m ? 2 * m - 1 - j : j;
        if (j < i || j >= m) continue;
        full[j - i][i] += row[Math.abs(k)];
      }
    }
    return full;
  };
  const gram = fold([18, 8, 1, 0]);
  if (!mirrored) gram[0][0] = gram[0][m - 1] = 17; /* a row of B is cut off at each end */
  return { m, mirrored, gram, bending: fold([96, -54, 0, 6]) };
}

/* LDLᵀ of BᵀB + θP. */
function factor({ m, gram, bending }, theta) {
  const [D, ...L] = gram.map((band, k) => band.map((value, i) => value + theta * bending[k][i]));
  for (let i = 0; i < m; i++) {
    for (let k = 1; k <= 3 && i + k < m; k++) {
      for (let l = k; l <= 3 && i + l < m; l++) {
        const part = (L[k - 1][i] * L[l - 1][i]) / D[i];
        if (l === k) D[i + k] -= part;
        else L[l - k - 1][i + k] -= part;
      }
    }
    for (let k = 0; k < 3; k++) L[k][i] /= D[i];
  }
  return (x) => {
    for (let i = 0; i < m; i++) {
      for (let k = 1; k <= 3 && i + k < m; k++) x[i + k] -= L[k - 1][i] * x[i];
    }
    for (let i = m - 1; i >= 0; i--) {
      let sum = x[i] / D[i];
      for (let k = 1; k <= 3 && i + k < m; k++) sum -= L[k - 1][i] * x[i + k];
      x[i] = sum;
    }
  };
}

function banded(sides, x, y) {
  const m = x.length;
  y.fill(0);
  sides.forEach((band, k) => {
    for (let i = 0; i + k < m; i++) {
      y[i] += band[i] * x[i + k];
      if (k) y[i + k] += band[i] * x[i];
    }
  });
}

/* Change every line along each axis by one function of the axis and the line. */
function eachLine([m0, m1], data, change) {
  const column = new Float64Array(m0);
  for (let j = 0; j < m1; j++) {
    for (let i = 0; i < m0; i++) column[i] = data[i * m1 + j];
    change(0, column);
    for (let i = 0; i < m0; i++) data[i * m1 + j] = column[i];
  }
  for (let i = 0; i < m0; i++) change(1, data.subarray(i * m1, (i + 1) * m1));
}

/* A picture as a spline. goesOn: outside the box it is mirrored, not black. */
export function splineImage(values, m, goesOn = false) {
  const axes = m.map((n) => bands(n, goesOn));
  const projected = Float64Array.from(values); /* Bᵀ along both axes */
  eachLine(m, projected, (axis, line) => {
    let before = goesOn ? line[0] : 0;
    const last = goesOn ? line[line.length - 1] : 0;
    for (let i = 0; i < line.length; i++) {
      const here = line[i];
      line[i] = before + 4 * here + (i + 1 < line.length ? line[i + 1] : last);
      before = here;
    }
  });
  return { m, goesOn, axes, projected, kept: new Map() };
}

/* Coefficients at the blur θ; rate: their derivative in θ, −(BᵀB + θP)⁻¹P c along each axis. */
export function coefficients(image, theta, rate = false) {
  const key = `${theta} ${rate}`;
  if (image.kept.has(key)) return image.kept.get(key);
  const { m, axes, goesOn } = image;
  const solve = axes.map((axis) => factor(axis, theta));
  const inner = image.projected.slice();
  eachLine(m, inner, (axis, line) => solve[axis](line));
  if (rate) {
    const parts = axes.map((one, axis) => {
      const part = inner.slice();
      const product = new Float64Array(one.m);
      eachLine(m, part, (along, line) => {
        if (along !== axis) return;
        banded(one.bending, line, product);
        solve[axis](product);
        line.set(product);
      });
      return part;
    });
    for (let i = 0; i < inner.length; i++) inner[i] = -parts[0][i] - parts[1][i];
  }
  const size = m.map((n) => n + 2 * PAD), padded = new Float64Array(size[0] * size[1]);
  const place = (i, n) => (i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i), edge = goesOn ? 0 : PAD;
  for (let i = edge; i < size[0] - edge; i++) {
    for (let j = edge; j < size[1] - edge; j++) {
      padded[i * size[1] + j] = inner[place(i - PAD, m[0]) * m[1] + place(j - PAD, m[1])];
    }
  }
  if (image.kept.size > 40) image.kept.clear();
  const found = { values: padded, m: size, pad: PAD };
  image.kept.set(key, found);
  return found;
}

const weights = new Float64Array(24); /* for each axis four values, four slopes, four curvatures */

function weigh(t, at) {
  const s = 1 - t, w = weights;
  w[at] = s * s * s;
  w[at + 1] = 4 - 3 * t * t * (2 - t);
  w[at + 2] = 4 - 3 * s * s * (2 - s);
  w[at + 3] = t * t * t;
  w[at + 4] = -3 * s * s;
  w[at + 5] = t * (9 * t - 12);
  w[at + 6] = s * (12 - 9 * s);
  w[at + 7] = 3 * t * t;
  w[at + 8] = 6 * s;
  w[at + 9] = 18 * t - 12;
  w[at + 10] = 18 * s - 12;
  w[at + 11] = 6 * t;
}

/* Value, 2 slopes and 3 curvatures at pixel coordinates between −2 and m + 1, into `out`. */
export function taylor({ values, m, pad }, u, v, out) {
  const i = Math.floor(u), j = Math.floor(v), w = weights;
  weigh(u - i, 0);
  weigh(v - j, 12);
  let f = 0, f0 = 0, f1 = 0, f00 = 0, f01 = 0, f11 = 0, at = (i - 1 + pad) * m[1] + j - 1 + pad;
  for (let a = 0; a < 4; a++, at += m[1]) {
    const c0 = values[at], c1 = values[at + 1], c2 = values[at + 2], c3 = values[at + 3];
    const value = w[12] * c0 + w[13] * c1 + w[14] * c2 + w[15] * c3;
    const slope = w[16] * c0 + w[17] * c1 + w[18] * c2 + w[19] * c3;
    f += w[a] * value;
    f0 += w[4 + a] * value;
    f1 += w[a] * slope;
    f00 += w[8 + a] * value;
    f01 += w[4 + a] * slope;
    f11 += w[a] * (w[20] * c0 + w[21] * c1 + w[22] * c2 + w[23] * c3);
  }
  out[0] = f;
  out[1] = f0;
  out[2] = f1;
  out[3] = f00;
  out[4] = f01;
  out[5] = f11;
}

/* ---- The loss: parameters q of yₖ = centreₖ + unitₖ (qₖ₀x̃₀ + qₖ₁x̃₁ + qₖ₂), x̃ = (x − centre)/half. ---- */

const FADE = 3, SHARE = 1e-3; /* as regtools.registration.overlap */

/* A pair on one box (left, right, bottom, top). surround: "zero" or "overlap". */
export function registrationProblem(template, reference, m, box, surround = "zero", frame = null) {
  const goesOn = surround === "overlap";
  const n = reference.length, h = [(box[1] - box[0]) / m[0], (box[3] - box[2]) / m[1]];
  const mean = reference.reduce((sum, value) => sum + value, 0) / n;
  const variance = reference.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
  frame ??= {
    centre: [(box[0] + box[1]) / 2, (box[2] + box[3]) / 2],
    half: [(box[1] - box[0]) / 2, (box[3] - box[2]) / 2],
    unit: h,
  };
  const images = [template, reference].map((data) => splineImage(data, m, goesOn));
  return { template: images[0], reference: images[1], m, box, h, n, variance, goesOn, frame, kept: [] };
}

/* The reference at its pixels; kept while θ stays. */
function referenceValues(problem, theta, rate = false) {
  const slot = rate ? 1 : 0;
  if (problem.kept[slot]?.theta !== theta) {
    const c = coefficients(problem.reference, theta, rate), out = new Float64Array(6);
    const values = new Float64Array(problem.n);
    for (let i = 0; i < problem.n; i++) {
      taylor(c, Math.floor(i / problem.m[1]), i % problem.m[1], out);
      values[i] = out[0];
    }
    problem.kept[slot] = { theta, values };
  }
  return problem.kept[slot].values;
}

/* The rise of the visibility along one axis, u in pixels: value, slope, curvature. */
function rise(u, m, out) {
  const one = (t) => {
    if (t <= 0) return [0, 0, 0];
    if (t >= 1) return [1, 0, 0];
    return [t ** 3 * (10 + t * (6 * t - 15)), 30 * t * t * (1 - t) ** 2, 60 * t * (1 - t) * (1 - 2 * t)];
  };
  const a = one((u + 0.5) / FADE), b = one((m - 0.5 - u) / FADE);
  out[0] = a[0] * b[0];
  out[1] = (a[1] * b[0] - a[0] * b[1]) / FADE;
  out[2] = (a[2] * b[0] - 2 * a[1] * b[1] + a[0] * b[2]) / FADE ** 2;
}

/* Sums over the points of a function of y, with the moments that make gradient and Hessian in q. */
class Moments {
  value = 0;
  first = new Float64Array(6); /* slope k times x₀, x₁, 1 */
  second = new Float64Array(18); /* curvature k times x₀², x₀x₁, x₁², x₀, x₁, 1 */
  row = new Float64Array(13); /* the points of one x₀ */
  add(f, x1) {
    const { row } = this;
    this.value += f[0];
    for (let k = 0; k < 2; k++) {
      row[2 * k] += f[1 + k] * x1;
      row[2 * k + 1] += f[1 + k];
    }
    for (let k = 0; k < 3; k++) {
      const at = 4 + 3 * k, part = f[3 + k] * x1;
      row[at] += part * x1;
      row[at + 1] += part;
      row[at + 2] += f[3 + k];
    }
  }
  endRow(x0) {
    const { row, first, second } = this;
    for (let k = 0; k < 2; k++) {
      first[3 * k] += row[2 * k + 1] * x0;
      first[3 * k + 1] += row[2 * k];
      first[3 * k + 2] += row[2 * k + 1];
    }
    for (let k = 0; k < 3; k++) {
      const at = 6 * k, [twice, once, none] = row.subarray(4 + 3 * k, 7 + 3 * k);
      second[at] += none * x0 * x0;
      second[at + 1] += once * x0;
      second[at + 2] += twice;
      second[at + 3] += none * x0;
      second[at + 4] += once;
      second[at + 5] += none;
    }
    row.fill(0);
  }
  hessian() { /* 6 × 6, row by row */
    const place = [[0, 1, 3], [1, 2, 4], [3, 4, 5]], H = new Float64Array(36);
    for (let a = 0; a < 6; a++) {
      for (let b = 0; b < 6; b++) {
        H[6 * a + b] = this.second[6 * (Math.floor(a / 3) + Math.floor(b / 3)) + place[a % 3][b % 3]];
      }
    }
    return H;
  }
}

/* Loss, gradient and Hessian in q; with rate, also the derivative of the gradient in θ. */
export function evaluate(problem, q, theta, { rate = false } = {}) {
  const { m, box, h, n, goesOn, frame, variance } = problem;
  const c = coefficients(problem.template, theta), R = referenceValues(problem, theta);
  const cRate = rate && coefficients(problem.template, theta, true);
  const RRate = rate && referenceValues(problem, theta, true);
  const T = new Float64Array(6), TRate = new Float64Array(6), f = new Float64Array(6);
  const a = new Float64Array(3), b = new Float64Array(3), v = new Float64Array(6).fill(0);
  const Q = new Moments(), D = new Moments(), change = new Moments();
  const scale = frame.unit.map((unit, k) => unit / h[k]); /* dq → du, in pixels */
  const offset = frame.centre.map((centre, k) => (centre - box[2 * k]) / h[k] - 0.5);
  v[0] = 1;
  for (let i = 0; i < m[0]; i++) {
    const x0 = (box[0] + (i + 0.5) * h[0] - frame.centre[0]) / frame.half[0];
    for (let j = 0; j < m[1]; j++) {
      const x1 = (box[2] + (j + 0.5) * h[1] - frame.centre[1]) / frame.half[1];
      const u0 = offset[0] + scale[0] * (q[0] * x0 + q[1] * x1 + q[2]);
      const u1 = offset[1] + scale[1] * (q[3] * x0 + q[4] * x1 + q[5]);
      const at = i * m[1] + j;
      if (goesOn) {
        if (!(u0 > -0.5 && u0 < m[0] - 0.5 && u1 > -0.5 && u1 < m[1] - 0.5)) continue;
        rise(u0, m[0], a);
        rise(u1, m[1], b);
        v.set([a[0] * b[0], a[1] * b[0], a[0] * b[1], a[2] * b[0], a[1] * b[1], a[0] * b[2]]);
      } else if (!(u0 > -2 && u0 < m[0] + 1 && u1 > -2 && u1 < m[1] + 1)) {
        Q.value += R[at] * R[at]; /* black: only the reference is there */
        continue;
      }
      taylor(c, u0, u1, T);
      T[0] -= R[at];
      square(goesOn ? product(v, T) : T, f);
      Q.add(f, x1);
      if (goesOn) D.add(square(v, f), x1);
      if (!rate) continue;
      taylor(cRate, u0, u1, TRate);
      TRate[0] -= RRate[at];
      const one = goesOn ? product(v, T) : T, other = goesOn ? product(v, TRate) : TRate;
      f.fill(0);
      f[0] = 2 * one[0] * other[0];
      for (let k = 1; k < 3; k++) f[k] = 2 * (one[0] * other[k] + one[k] * other[0]);
      change.add(f, x1);
    }
    for (const sum of [Q, D, change]) sum.endRow(x0);
  }
  const volume = h[0] * h[1], extra = SHARE * n;
  const found = goesOn
    ? quotient(Q, D, change, volume * n, extra, variance)
    : {
        loss: volume * Q.value,
        gradient: Q.first.map((value) => volume * value),
        hessian: Q.hessian().map((value) => volume * value),
        rate: change.first.map((value) => volume * value),
      };
  for (let k = 0; k < 6; k++) { /* from pixels to q */
    const s = scale[Math.floor(k / 3)];
    found.gradient[k] *= s;
    found.rate[k] *= s;
    for (let l = 0; l < 6; l++) found.hessian[6 * k + l] *= s * scale[Math.floor(l / 3)];
  }
  found.covered = goesOn ? D.value / n : 1;
  return found;
}

/* V (Q + Eσ²)/(D + E) and its derivatives. */
function quotient(Q, D, change, volume, extra, variance) {
  const top = Q.value + extra * variance, below = D.value + extra, J = top / below;
  const gradient = Q.first.map((value, k) => (value - J * D.first[k]) / below);
  const HQ = Q.hessian(), HD = D.hessian();
  const hessian = HQ.map((value, at) => {
    const k = Math.floor(at / 6), l = at % 6;
    return (value - J * HD[at] - gradient[k] * D.first[l] - gradient[l] * D.first[k]) / below;
  });
  const rate = change.first.map((value, k) => (value - (change.value / below) * D.first[k]) / below);
  const times = (one) => one.map((value) => volume * value);
  return { loss: volume * J, gradient: times(gradient), hessian: times(hessian), rate: times(rate) };
}

/* Functions of y as [value, 2 slopes, 3 curvatures]. */
function square(g, out) {
  out[0] = g[0] * g[0];
  out[1] = 2 * g[0] * g[1];
  out[2] = 2 * g[0] * g[2];
  out[3] = 2 * (g[1] * g[1] + g[0] * g[3]);
  out[4] = 2 * (g[1] * g[2] + g[0] * g[4]);
  out[5] = 2 * (g[2] * g[2] + g[0] * g[5]);
  return out;
}

function product(v, T) {
  return [
    v[0] * T[0],
    v[1] * T[0] + v[0] * T[1],
    v[2] * T[0] + v[0] * T[2],
    v[3] * T[0] + 2 * v[1] * T[1] + v[0] * T[3],
    v[4] * T[0] + v[1] * T[2] + v[2] * T[1] + v[0] * T[4],
    v[5] * T[0] + 2 * v[2] * T[2] + v[0] * T[5],
  ];
}

/* ---- The solver: Newton steps in a trust region, and the path from blurred to sharp. ---- */

/* Eigenvalues and eigenvectors (columns) of a symmetric n × n matrix, by Jacobi's rotations. */
export function eigen(matrix, n = 6) {
  const A = Float64Array.from(matrix), V = new Float64Array(n * n);
  for (let i = 0; i < n; i++) V[n * i + i] = 1;
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0, all = 0;
    A.forEach((value, at) => { all += value * value; if (Math.floor(at / n) !== at % n) off += value * value; });
    if (!(off > 1e-32 * all)) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (A[n * p + q] === 0) continue;
        const tau = (A[n * q + q] - A[n * p + p]) / (2 * A[n * p + q]);
        const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
        const c = 1 / Math.hypot(1, t), s = t * c;
        const rotate = (X, i, j) => { const x = X[i], y = X[j]; X[i] = c * x - s * y; X[j] = s * x + c * y; };
        for (let k = 0; k < n; k++) rotate(A, n * k + p, n * k + q);
        for (let k = 0; k < n; k++) rotate(A, n * p + k, n * q + k);
        for (let k = 0; k < n; k++) rotate(V, n * k + p, n * k + q);
      }
    }
  }
  return { values: Array.from({ length: n }, (_, i) => A[n * i + i]), vectors: V };
}

const norm = (x) => Math.hypot(...x);

/* The step that minimises gᵀs + ½ sᵀHs within ‖s‖ ≤ radius. */
export function trustStep(gradient, hessian, radius) {
  const n = gradient.length, { values, vectors } = eigen(hessian, n);
  const g = values.map((_, k) => gradient.reduce((sum, value, i) => sum + value * vectors[n * i + k], 0));
  const lowest = Math.min(...values), largest = Math.max(...values.map(Math.abs));
  const step = (shift) => g.map((value, k) => (value ? -value / (values[k] + shift) : 0));
  let z = step(0);
  const interior = lowest > 1e-14 * largest && norm(z) <= radius;
  if (!interior) {
    let low = Math.max(0, -lowest), high = low + norm(g) / radius + 1e-14 * largest;
    for (let k = 0; k < 200 && high - low > 1e-15 * high; k++) {
      const middle = (low + high) / 2;
      if (norm(step(middle)) > radius) low = middle;
      else high = middle;
    }
    z = step(high);
    const left = radius * radius - z.reduce((sum, value) => sum + value * value, 0);
    if (lowest <= 0 && left > 1e-6 * radius * radius) { /* the hard case: along the lowest curvature */
      z[values.indexOf(lowest)] += Math.sqrt(left);
    }
  }
  const predicted = -z.reduce((sum, value, k) => sum + value * (g[k] + 0.5 * values[k] * value), 0);
  const found = gradient.map((_, i) => z.reduce((sum, value, k) => sum + value * vectors[n * i + k], 0));
  return { step: Array.from(found), predicted, interior };
}

export const identity = (problem) => {
  const { half, unit } = problem.frame;
  return [half[0] / unit[0], 0, 0, 0, half[1] / unit[1], 0];
};

/* The loss with nothing of the template in sight. */
export function outOfSight(problem, theta) {
  const volume = problem.h[0] * problem.h[1];
  if (problem.goesOn) return volume * problem.n * problem.variance;
  return volume * referenceValues(problem, theta).reduce((sum, r) => sum + r * r, 0);
}

/* Newton's method; yields each point it accepts, and returns the last with how it ended. */
export function* newton(problem, q, theta, { gtol = 1e-8, maxIter = 200 } = {}) {
  let here = { q, theta, ...evaluate(problem, q, theta) }, radius = 1, status = "max-iterations";
  const tolerance = gtol * Math.max(outOfSight(problem, theta), here.loss);
  for (let k = 0; k < maxIter; k++) {
    if (norm(here.gradient) <= tolerance) { status = "converged"; break; }
    const { step, predicted, interior } = trustStep(Array.from(here.gradient), here.hessian, radius);
    const trial = here.q.map((value, i) => value + step[i]);
    const there = { q: trial, theta, ...evaluate(problem, trial, theta) };
    let ratio = (here.loss - there.loss) / predicted;
    if (!(predicted > 1e-13 * here.loss)) { /* below what the loss can tell, the gradient decides */
      ratio = norm(there.gradient) < norm(here.gradient) ? 1 : -1;
      if (ratio < 0) { status = "small-step"; break; }
    }
    if (!(ratio >= 0.25)) radius /= 4;
    else if (ratio > 0.75 && !interior) radius = Math.min(2 * radius, 1000);
    if (ratio > 0.15) yield (here = there);
    else if (radius < 1e-9) { status = "small-step"; break; }
  }
  return { ...here, status };
}

/* Follow the minimiser along decreasing θ: predict, then correct. */
export function* path(problem, q, thetas, options = {}) {
  let here = null;
  for (const theta of thetas) {
    if (here) {
      const { rate } = evaluate(problem, q, here.theta, { rate: true });
      const { values, vectors } = eigen(here.hessian);
      if (Math.min(...values) > 1e-12 * Math.max(...values)) {
        const along = values.map((value, k) => rate.reduce((s, r, i) => s + r * vectors[6 * i + k], 0) / value);
        q = q.map((value, i) =>
          value - (theta - here.theta) * along.reduce((s, a, k) => s + a * vectors[6 * i + k], 0));
      }
    }
    here = yield* newton(problem, q, theta, options);
    q = here.q;
  }
  return here;
}

export const scales = (first = 3, last = -3, count = 13) =>
  Array.from({ length: count }, (_, k) => 10 ** (first + ((last - first) * k) / (count - 1)));

/* Run a generator to its end. */
export function finish(steps) {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
