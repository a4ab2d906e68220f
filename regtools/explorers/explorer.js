(() => {
  /* Each explorer carries this script; whichever runs first starts all that are there, once. */
  for (const root of document.querySelectorAll(".rt-explorer[data-name]:not([data-ready])")) {
    const source = root.querySelector("script[type='application/json']");
    if (!source) continue;
    const data = JSON.parse(source.textContent);
    const inputs = [...root.querySelectorAll(".rt-control input")];
    const controls = [...root.querySelectorAll(".rt-control")];
    const images = root.querySelectorAll(".rt-panels img");
    const show = () => {
      let frame = 0; /* C order: the last slider runs fastest */
      controls.forEach((control, k) => {
        const slider = control.querySelector("input[type=range]");
        const input = slider ?? control.querySelector("input:checked");
        frame = frame * data.values[k].length + Number(input.value);
        if (!slider) return;
        const text = data.values[k][input.value];
        slider.setAttribute("aria-valuetext", text);
        control.querySelector("output").textContent = text;
      });
      root.querySelector(".rt-describe").textContent = data.describe[frame];
      images.forEach((image, k) => {
        const panel = data.panels[k];
        image.alt = panel.alt[frame];
        image.src = "data:image/webp;base64," + panel.pictures[panel.picture[frame]];
      });
    };
    for (const input of inputs) {
      input.disabled = false;
      input.addEventListener("input", show);
    }
    root.dataset.ready = "";
  }
})();
