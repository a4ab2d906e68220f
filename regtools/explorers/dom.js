/* What the explorers that compute in the browser build their elements with; it stands before each. */
const SVG = new Set(["svg", "g", "path", "line", "rect", "circle", "polygon", "polyline", "text"]);

/* An element with attributes; a function is a listener, as in { input: show }. */
export function make(tag, attributes = {}, ...children) {
  const space = SVG.has(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/* Each explorer carries this script, and a page may hold several: its ids are its own. */
const page = Math.random().toString(36).slice(2, 8);
let labels = 0;

/* A labelled slider over numbers: { row, value, set(value), show() }. format(value) is its readout. */
export function slider({ label, min, max, step, value, format, change }) {
  const id = `rt-${page}-${++labels}`;
  const input = make("input", { type: "range", id, min, max, step, value, autocomplete: "off" });
  const output = make("output", { for: id, "aria-live": "off" });
  const widest = Math.max(...[min, max, value].map((end) => format(Number(end)).length));
  output.style.minWidth = `${widest}ch`;
  const control = {
    row: make("div", { class: "rt-control" }, make("label", { for: id }, label), input, output),
    input,
    get value() { return Number(input.value); },
    set(number) {
      input.value = number;
      control.show(number);
    },
    show(number = control.value) { /* the readout may say more than the slider can hold */
      const text = format(number);
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
  input.addEventListener("input", () => {
    control.show();
    change?.(control.value);
  });
  control.show();
  return control;
}

/* A row of buttons of which one is chosen: { row, value }. options: [[value, text], ...]. */
export function choices({ label, options, value, change }) {
  const id = `rt-${page}-${++labels}`;
  const inputs = options.map(([key]) =>
    make("input", { type: "radio", name: id, value: key, checked: key === value, autocomplete: "off" }));
  const control = { value };
  options.forEach(([key], k) => inputs[k].addEventListener("input", () => {
    control.value = key;
    change?.(key);
  }));
  const boxes = options.map(([, text], k) => make("label", {}, inputs[k], make("span", {}, text)));
  const group = make("div", { class: "rt-choices", role: "radiogroup", "aria-labelledby": id }, ...boxes);
  control.row = make("div", { class: "rt-control" }, make("span", { id }, label), group);
  return control;
}
