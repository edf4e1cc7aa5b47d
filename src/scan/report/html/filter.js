"use strict";
// Without this, all rows are shown and the fields are not.
const filter = document.querySelector(".filter");
if (filter) {
  const [text, outcome] = filter.querySelectorAll("input, select");
  const shown = filter.querySelector("output");
  const groups = [...document.querySelectorAll(".images tbody")];
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let count = 0;
    for (const group of groups) {
      let visible = 0;
      for (const row of group.querySelectorAll("[data-outcome]")) {
        const matches = row.textContent.toLowerCase().includes(wanted)
          && (!outcome.value || row.dataset.outcome === outcome.value);
        row.hidden = !matches;
        visible += matches ? 1 : 0;
      }
      group.hidden = visible === 0;
      count += visible;
    }
    shown.textContent = count === 1 ? "1 row" : `${count} rows`;
  };
  text.addEventListener("input", apply);
  outcome.addEventListener("change", apply);
  filter.hidden = false;
  apply();
}
