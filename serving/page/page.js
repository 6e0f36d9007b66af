"use strict";

// The page of a server: asks it as any client would, and draws what it streams.

const EXAMPLE =
  "Some friends collect hats. Ben owns 20. Hal has 7 more than Ben. Dee has 6 more than Hal. " +
  "Leo has 9 fewer than Dee. Kim has half as many as Leo. How many hats does Kim have?";
const MOST_DRAWN = 4000; // steps; a browser draws more of them slowly, and nobody can look at them
const COLUMN = 46, ROW = 15, EDGE = 22; // of the drawing, in pixels
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);

let running = null; // the AbortController of the request under way
let model = ""; // the name of what is served

function made(name, attributes = {}, text = "") {
  const element = document.createElementNS(name === "svg" || attributes.svg ? SVG : "http://www.w3.org/1999/xhtml", name);
  for (const [key, value] of Object.entries(attributes)) if (key !== "svg") element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

function drawn(name, attributes) {
  return made(name, { ...attributes, svg: true });
}

function headers() {
  const key = at("key").value;
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function say(sentence) {
  at("error").textContent = sentence;
  at("error").hidden = !sentence;
}

// What the server said is wrong; where it wants a key, there is a field for it.
async function refusal(reply) {
  if (reply.status === 401) at("key-field").hidden = false;
  try {
    return (await reply.json()).error.message;
  } catch {
    return `the server answered ${reply.status}`;
  }
}

async function listSamplers() {
  const reply = await fetch("v1/models", { headers: headers() });
  if (!reply.ok) throw new Error(await refusal(reply));
  const [first, ...others] = (await reply.json()).data.map((entry) => entry.id);
  model = first;
  const names = others.map((name) => name.slice(first.length + 1));
  at("sampler").replaceChildren(...names.map((name) => made("option", { value: name }, name.replaceAll("_", " "))));
}

// The tree of steps: a column for each step, in it a dot for each particle that wrote one.
class Tree {
  constructor() {
    this.nodes = new Map();
    this.columns = [];
    this.latest = [];
    this.here = null;
    this.full = false; // whether there are more steps than are drawn
    this.lines = drawn("g", {});
    this.dots = drawn("g", {});
    at("tree").replaceChildren(this.lines, this.dots);
    this.resize();
  }

  add(nodes, resampled) {
    this.full ||= this.nodes.size + nodes.length > MOST_DRAWN;
    if (this.full) return;
    const added = nodes.map((node) => this.place({ ...node, children: [], score: null, closed: false }));
    const first = added[0];
    if (resampled) this.mark(first.depth);
    for (const node of this.latest) {
      const dropped = node.score !== null && !node.closed && !node.children.length;
      if (dropped && node.depth < first.depth) this.lose(node);
    }
    this.latest = added;
    this.resize();
  }

  place(node) {
    const column = (this.columns[node.depth] ??= []);
    column.push(node);
    this.nodes.set(node.id, node);
    node.x = EDGE + (node.depth - 1) * COLUMN;
    node.y = EDGE + (column.length - 1) * ROW;
    const parent = this.nodes.get(node.parent);
    if (parent) {
      parent.children.push(node);
      const middle = (parent.x + node.x) / 2;
      const path = `M${parent.x},${parent.y}C${middle},${parent.y} ${middle},${node.y} ${node.x},${node.y}`;
      node.line = this.lines.appendChild(drawn("path", { class: "line", d: path }));
      parent.dot.setAttribute("r", 3 + Math.min(4, Math.sqrt(parent.children.length)));
    }
    node.dot = this.dots.appendChild(drawn("circle", { cx: node.x, cy: node.y, r: 4, id: `step-${node.id}` }));
    node.dot.addEventListener("pointerenter", () => this.show(node));
    node.dot.addEventListener("click", () => this.show(node));
    return node;
  }

  mark(depth) {
    const x = EDGE + (depth - 1.5) * COLUMN;
    this.lines.prepend(drawn("line", { class: "resampled", x1: x, x2: x, y1: 8, y2: 8 + this.rows() * ROW + 14 }));
  }

  // A step that nobody went on from, and all before it that lead nowhere else.
  lose(node) {
    for (let lost = node; lost && lost.children.every((child) => child.lost); lost = this.nodes.get(lost.parent)) {
      lost.lost = true;
      lost.dot.classList.add("lost");
      lost.line?.classList.add("lost");
    }
  }

  score(scores, closed) {
    for (const [id, score] of Object.entries(scores)) {
      const node = this.nodes.get(Number(id));
      if (!node) continue;
      node.score = score;
      node.dot.style.setProperty("--r", score);
    }
    for (const id of closed) if (this.nodes.has(id)) this.nodes.get(id).closed = true;
  }

  // The path whose steps say this.
  win(texts) {
    const found = [];
    const walk = (node, depth) => {
      if (node.text !== texts[depth]) return false;
      found.push(node);
      if (depth === texts.length - 1 || node.children.some((child) => walk(child, depth + 1))) return true;
      found.pop();
      return false;
    };
    (this.columns[1] ?? []).some((node) => walk(node, 0));
    for (const node of found) {
      node.dot.classList.add("won");
      node.line?.classList.add("won");
    }
  }

  rows() {
    return Math.max(1, ...this.columns.filter(Boolean).map((column) => column.length));
  }

  resize() {
    const width = 2 * EDGE + Math.max(0, this.columns.length - 2) * COLUMN;
    const height = 2 * EDGE + (this.rows() - 1) * ROW;
    const tree = at("tree");
    tree.setAttribute("viewBox", `0 0 ${width} ${height}`);
    tree.style.width = `min(100%, ${1.6 * width}px)`;
    tree.style.minWidth = `${0.75 * width}px`;
  }

  show(node) {
    this.here?.dot.classList.remove("here");
    this.here = node;
    node.dot.classList.add("here");
    const known = node.score === null ? "not scored" : `right with probability ${node.score.toFixed(3)}`;
    const went = node.lost ? "dropped" : node.children.length > 1 ? `continued ${node.children.length} times` : "";
    at("panel").replaceChildren(
      made("p", { class: "small" }, [`Step ${node.depth}`, known, went].filter(Boolean).join("; ")),
      made("p", { class: "text" }, node.text.trim())
    );
    node.dot.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  go(key) {
    const here = this.here;
    if (!here) return this.columns[1]?.[0];
    const column = this.columns[here.depth];
    const place = column.indexOf(here);
    if (key === "ArrowUp") return column[place - 1];
    if (key === "ArrowDown") return column[place + 1];
    return key === "ArrowLeft" ? this.nodes.get(here.parent) : here.children[0];
  }
}

let tree = null;

function follow(event) {
  if (event.event === "scores") return tree.score(event.scores, event.closed);
  tree.add(event.nodes, event.resampled);
  at("status").textContent =
    `Step ${event.nodes[0].depth}: ${event.nodes.length} particles wrote; ${event.steps} steps and ` +
    `${event.tokens} tokens so far${event.resampled ? "; resampled before it" : ""}` +
    (tree.full ? `; the first ${tree.nodes.size} steps are drawn` : "");
}

const share = (probability) => probability.toFixed(3);

function answerRow(row) {
  const error = row.mcse === null ? "" : ` ± ${share(row.mcse)}`;
  const name = row.answer ?? "no answer";
  const meter = made("meter", { min: 0, max: 1, value: row.probability, "aria-label": `${name}: ${share(row.probability)}` });
  const line = made("tr");
  const cell = made("td");
  cell.append(meter);
  line.append(made("th", { scope: "row" }, name), made("td", { class: "number" }, share(row.probability) + error), cell);
  return line;
}

function finding(found) {
  const item = made("li");
  item.append(made("p", {}, found.seen), made("p", { class: "small" }, found.why), made("p", {}, found.change));
  return item;
}

function conclude(told) {
  const [best] = told.answers.filter((row) => row.answer === told.answer);
  at("answer").textContent = told.answer ?? "no answer";
  at("probability").textContent = best ? `probability ${share(best.probability)}` : "";
  at("answers").replaceChildren(...told.answers.slice(0, 8).map(answerRow));
  at("reasoning").replaceChildren(
    ...told.reasoning.steps.map((step) => {
      const item = made("li", {}, `${step.text.trim()} `);
      if (step.reward !== null) item.append(made("span", { class: "number" }, `r = ${share(step.reward)}`));
      return item;
    })
  );
  const evidence = told.log_evidence === null ? "" : `log-evidence ${told.log_evidence.toFixed(2)}`;
  const ess = told.ess.length ? `ESS ${told.ess.at(-1).toFixed(1)} of ${told.trajectories}` : "";
  at("facts").textContent = [
    `${told.sampler.replaceAll("_", " ")}, ${told.guarantee}`, evidence, ess, `seed ${told.seed}`,
    `${told.cost.generated_tokens} tokens generated, ${told.cost.prm_tokens} read by the reward model`,
  ].filter(Boolean).join("; ");
  at("findings").replaceChildren(...told.findings.map(finding));
  at("report").hidden = !told.report;
  if (told.report) at("report").href = told.report.slice(1);
  at("result").hidden = false;
  tree.win(told.reasoning.steps.map((step) => step.text));
  at("status").textContent += "; done";
}

// The events of a stream, as they come.
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: {")) yield JSON.parse(part.slice(6));
  }
}

function body() {
  const asked = {
    model: `${model}:${at("sampler").value}`,
    messages: [{ role: "user", content: at("question").value }],
    stream: true,
    motes: { progress: "particles" },
  };
  if (at("size").value !== "") asked.budget = Number(at("size").value);
  if (at("seed").value !== "") asked.seed = Number(at("seed").value);
  return JSON.stringify(asked);
}

async function solve() {
  say("");
  running = new AbortController();
  at("solve").disabled = true;
  at("stop").hidden = false;
  try {
    if (!model) await listSamplers();
    tree = new Tree();
    at("run").hidden = false;
    at("result").hidden = true;
    at("status").textContent = "Waiting for its turn";
    const reply = await fetch("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: body(),
      signal: running.signal,
    });
    if (!reply.ok) throw new Error(await refusal(reply));
    for await (const chunk of events(reply)) {
      if (chunk.error) throw new Error(chunk.error.message);
      if (chunk.motes?.event) follow(chunk.motes);
      else if (chunk.motes) conclude(chunk.motes);
    }
  } catch (error) {
    if (error.name === "AbortError") at("status").textContent += "; stopped";
    else say(error.message);
  } finally {
    running = null;
    at("solve").disabled = false;
    at("stop").hidden = true;
  }
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) solve();
});
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("stop").addEventListener("click", () => running?.abort());
at("example").addEventListener("click", () => {
  at("question").value = EXAMPLE;
  at("question").focus();
});
at("tree").addEventListener("keydown", (event) => {
  if (!event.key.startsWith("Arrow") || !tree) return;
  event.preventDefault();
  const next = tree.go(event.key);
  if (next) tree.show(next);
});
at("key").addEventListener("change", () => listSamplers().then(() => say(""), (error) => say(error.message)));
listSamplers().catch((error) => say(error.message));
