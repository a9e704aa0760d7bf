// Shows the values of a figure's lines at the place under the pointer.
for (const card of document.querySelectorAll(".card")) {
  const data = card.querySelector("script");
  const svg = card.querySelector("svg");
  const tip = card.querySelector(".tip");
  if (!data || !svg || !tip) continue;
  const panels = JSON.parse(data.textContent);
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
  mark.setAttribute("class", "hover-mark");
  svg.append(mark);
  const hide = () => { tip.hidden = true; mark.setAttribute("d", ""); };
  card.addEventListener("pointerleave", hide);
  card.addEventListener("pointermove", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const panel = panels.find(({ frame: [left, top, right, bottom] }) =>
      at.x >= left && at.x <= right && at.y >= top && at.y <= bottom);
    const points = panel ? panel.lines.flatMap(line => line.points) : [];
    if (points.length === 0) return hide();
    const nearest = points.reduce((a, b) => Math.abs(b[0] - at.x) < Math.abs(a[0] - at.x) ? b : a);
    const head = document.createElement("div");
    head.textContent = `${panel.x_label} ${nearest[2]}`;
    const rows = panel.lines.flatMap(line => {
      const point = line.points.find(point => point[2] === nearest[2]);
      if (!point) return [];
      const row = document.createElement("div");
      const key = document.createElement("span");
      key.className = "key";
      key.style.background = line.colour;
      row.append(key, `${line.label} ${point[3]}`);
      return [row];
    });
    tip.replaceChildren(head, ...rows);
    tip.hidden = false;
    const [, top, , bottom] = panel.frame;
    mark.setAttribute("d", `M${nearest[0]} ${top}V${bottom}`);
    const box = card.getBoundingClientRect();
    const x = event.clientX - box.left + card.scrollLeft;
    const room = card.scrollLeft + card.clientWidth - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(0, Math.min(x + 14, room))}px`;
    tip.style.top = `${Math.max(0, event.clientY - box.top - tip.offsetHeight - 8)}px`;
  });
}
