"use strict";
// The ancestry, to be followed: what is pointed at, tapped or reached with the keyboard is shown with its whole line.
(() => {
  const source = document.getElementById("ancestry-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const tree = document.getElementById("tree");
  const panel = document.getElementById("panel");
  const dots = [...tree.querySelectorAll(".dots circle")];
  const lines = [...tree.querySelectorAll(".lines path")];
  const place = dots.map((dot) => [dot.cx.baseVal.value, dot.cy.baseVal.value]);
  const children = dots.map(() => []);
  data.parent.forEach((parent, i) => parent >= 0 && children[parent].push(i));
  let here = -1; // the particle that is followed
  let held = false; // whether it stays when the pointer leaves
  const beside = matchMedia("(min-width: 60rem)"); // the panel stands beside the drawing, and not upon it

  const ancestors = (i) => (i < 0 ? [] : [...ancestors(data.parent[i]), i]);
  const descendants = (i) => children[i].flatMap((child) => [child, ...descendants(child)]);

  function follow(i) {
    here = i;
    const on = new Set(i < 0 ? [] : [...ancestors(i), ...descendants(i)]);
    tree.classList.toggle("followed", i >= 0);
    dots.forEach((dot, k) => {
      dot.classList.toggle("on", on.has(k));
      dot.classList.toggle("here", k === i);
      lines[k].classList.toggle("on", on.has(k) && on.has(data.parent[k]));
    });
    describe(i);
  }

  function element(name, text, parent, className = "") {
    const made = parent.appendChild(document.createElement(name));
    made.textContent = text; // never as markup
    made.className = className;
    return made;
  }

  const text = (i) => (data.text[i] < 0 ? "" : data.texts[data.text[i]]);
  const ended = (i) => (data.ended[i] ? `It had ended after step ${data.ended[i]}.` : "");
  const number = (value) => (value === null ? "not known" : value.toPrecision(3));
  const title = (i) => `${data.kind} ${data.step[i]}, ${data.names.dot} ${data.slot[i]}`;

  function describe(i) {
    panel.replaceChildren();
    panel.hidden = i < 0;
    if (i < 0) return;
    element("h3", title(i)[0].toUpperCase() + title(i).slice(1), panel);
    if (text(i) || ended(i)) element("p", text(i) || ended(i), panel, "text").dir = "auto";
    const facts = element("dl", "", panel);
    const answer = data.answer[i] < 0 ? data.names.lost : data.answers[data.answer[i]];
    for (const [name, value] of [
      [data.names.score, data.score[i] === null ? "none" : `${data.names.symbol}${number(data.score[i])}`],
      [data.names.weight, Number.isInteger(data.weight[i]) ? `${data.weight[i]}` : number(data.weight[i])],
      [data.names.final, number(data.final[i])],
      ["leads to", answer],
    ]) {
      element("dt", name, facts);
      element("dd", value, facts);
    }
    const before = ancestors(i).slice(0, -1).filter(text);
    if (!before.length) return;
    element("p", "Before that", panel, "before");
    const list = element("ol", "", panel);
    for (const k of before) {
      element("li", text(k) + (data.score[k] === null ? "" : `  ${data.names.symbol.replace(/ /g, "\u00a0")}${number(data.score[k])}`), list).value = data.step[k];
    }
  }

  // The dot nearest to where the pointer is, so that small dots are easy to hit.
  function nearest(event) {
    const box = tree.getBoundingClientRect();
    const scale = tree.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    const distance = ([left, top]) => (left - x) ** 2 + (top - y) ** 2;
    return place.reduce((best, at, i) => (best < 0 || distance(at) < distance(place[best]) ? i : best), -1);
  }

  function step(i, key) {
    const column = [...dots.keys()].filter((k) => data.step[k] === data.step[i]).sort((a, b) => place[a][1] - place[b][1]);
    const at = column.indexOf(i);
    const heaviest = [...children[i]].sort((a, b) => data.final[b] - data.final[a])[0];
    return { ArrowLeft: data.parent[i], ArrowRight: heaviest, ArrowUp: column[at - 1], ArrowDown: column[at + 1], Home: ancestors(i)[0] }[key];
  }

  function hold(i) {
    held = true;
    follow(i);
    dots.forEach((dot, k) => dot.setAttribute("tabindex", k === i ? "0" : "-1"));
    dots[i].focus({ preventScroll: true });
    dots[i].scrollIntoView({ block: "nearest", inline: "nearest" }); // clear of the panel
  }

  function release() {
    held = false;
    follow(-1);
  }

  tree.setAttribute("role", "tree");
  dots.forEach((dot, i) => {
    dot.setAttribute("role", "treeitem");
    dot.setAttribute("aria-level", data.step[i]);
    dot.setAttribute("aria-label", title(i));
    dot.setAttribute("tabindex", i ? "-1" : "0");
    dot.addEventListener("focus", () => i === here || hold(i));
  });
  tree.addEventListener("pointermove", (event) => event.pointerType === "mouse" && beside.matches && !held && follow(nearest(event)));
  tree.addEventListener("pointerleave", () => !held && here >= 0 && follow(-1));
  tree.addEventListener("mousedown", (event) => event.preventDefault()); // what a click reaches is the nearest, not what it hits
  tree.addEventListener("click", (event) => (held && nearest(event) === here ? release() : hold(nearest(event))));
  tree.addEventListener("keydown", (event) => {
    const next = step(dots.indexOf(event.target), event.key);
    if (event.key === "Escape") {
      release();
    } else if (next >= 0) {
      event.preventDefault();
      hold(next);
    }
  });
  document.getElementById("ancestry-hint").hidden = false;
  tree.classList.add("live");
})();
