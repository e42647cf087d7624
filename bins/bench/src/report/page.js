"use strict";
// Shows the values under the pointer. The page is complete without it.
(() => {
  const series = JSON.parse(document.getElementById("series").textContent);
  const LEFT = 56, RIGHT = 10, WIDTH = 640, TOP = 10, BOTTOM = 196;
  const say = (v) => v == null ? "-" : Math.abs(v) >= 1000 ? v.toFixed(0) : Number(v.toPrecision(4)).toString();
  const clock = (s) => s < 60 ? s.toFixed(s % 1 ? 1 : 0) + " s"
    : s < 3600 ? Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0")
    : Math.floor(s / 3600) + ":" + String(Math.floor(s % 3600 / 60)).padStart(2, "0") + " h";
  for (const chart of document.querySelectorAll("[data-columns]")) {
    const names = chart.dataset.columns.split(",");
    const figure = chart.querySelector("figure"), svg = chart.querySelector("svg");
    const at = series.at_s;
    if (!figure || !svg || at.length < 2) continue;
    const cursor = document.createElementNS(svg.namespaceURI, "path");
    cursor.setAttribute("class", "cursor");
    svg.append(cursor);
    const tip = document.createElement("div");
    tip.className = "tip";
    figure.append(tip);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * WIDTH;
      const time = at[0] + (x - LEFT) / (WIDTH - LEFT - RIGHT) * (at[at.length - 1] - at[0]);
      let low = 0, high = at.length - 1;
      while (low < high) { const mid = (low + high) >> 1; if (at[mid] < time) low = mid + 1; else high = mid; }
      if (low > 0 && time - at[low - 1] < at[low] - time) low -= 1;
      const place = LEFT + (at[low] - at[0]) / (at[at.length - 1] - at[0]) * (WIDTH - LEFT - RIGHT);
      cursor.setAttribute("d", `M${place} ${TOP}V${BOTTOM}`);
      tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: clock(at[low]) }));
      names.forEach((name, n) => {
        const row = document.createElement("div");
        row.className = "s" + n % 8;
        row.textContent = name.split(".").pop() + " " + say((series.columns[name] || [])[low]);
        tip.append(row);
      });
      tip.style.display = "block";
      tip.style.left = Math.min(event.clientX - box.left + 24, box.width - tip.offsetWidth) + "px";
    });
    svg.addEventListener("pointerleave", () => { tip.style.display = "none"; cursor.setAttribute("d", ""); });
  }
})();
