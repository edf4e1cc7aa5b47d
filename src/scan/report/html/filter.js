"use strict";
// Without scripts, the page shows all rows and hides the filter.
const filter = document.querySelector(".filter");
if (filter) {
  const [text, bucket] = filter.querySelectorAll("input, select");
  const shown = filter.querySelector("output");
  const groups = [...document.querySelectorAll(".images tbody")];
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let count = 0;
    for (const group of groups) {
      let visible = 0;
      for (const row of group.querySelectorAll("[data-bucket]")) {
        const matches = row.textContent.toLowerCase().includes(wanted)
          && (!bucket.value || row.dataset.bucket === bucket.value);
        row.hidden = !matches;
        visible += matches ? 1 : 0;
      }
      group.hidden = visible === 0;
      count += visible;
    }
    shown.textContent = count === 1 ? "1 row" : `${count} rows`;
  };
  text.addEventListener("input", apply);
  bucket.addEventListener("change", apply);
  filter.hidden = false;
  apply();
}
