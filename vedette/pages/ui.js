"use strict";
// The live page: asks /api/traces every two seconds and draws what it says.

const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);
const page = { traces: [], paused: false, chosen: "" };

// Every outcome is one of four kinds, so that colours stay few.
function kindOf(outcome) {
  if (["stop", "length", "ok"].includes(outcome)) return "good";
  return ["blocked", "error"].includes(outcome) ? outcome : "other";
}
const KINDS = [["good", "answered"], ["blocked", "blocked"], ["error", "error"], ["other", "other"]];

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function keys(entries) {
  const made = element("div", "keys");
  for (const [className, words] of entries) {
    const one = element("span", className);
    one.append(element("span", "dot"), words);
    made.append(one);
  }
  return made;
}

function percentile(values, percent) {
  if (!values.length) return undefined;
  const ordered = [...values].sort((a, b) => a - b);
  return ordered[Math.max(0, Math.ceil((ordered.length * percent) / 100) - 1)];
}

const began = (trace) => trace.start_unix_nano / 1e6;

function inRange() {
  const minutes = Number(byId("minutes").value);
  const from = minutes ? Date.now() - minutes * 60000 : 0;
  return page.traces.filter((trace) => began(trace) >= from);
}

// The time that the plots cover, and a size in pixels for a drawing.
function frame(traces) {
  const minutes = Number(byId("minutes").value);
  const times = traces.map(began);
  const end = minutes ? Date.now() : Math.max(...times, 0) + 1000;
  const start = minutes ? end - minutes * 60000 : Math.min(...times, end - 10000);
  return { start, end, width: 420, height: 150, left: 44, bottom: 18, top: 6 };
}

function axes(drawing, box, most, words) {
  for (const share of [0, 0.5, 1]) {
    const y = box.top + (box.height - box.top - box.bottom) * (1 - share);
    drawing.append(svg("line", { class: "grid", x1: box.left, x2: box.width, y1: y, y2: y }));
    drawing.append(svg("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, words(most * share)));
  }
  const clock = (at) => new Date(at).toLocaleTimeString();
  drawing.append(svg("text", { x: box.left, y: box.height - 3 }, clock(box.start)));
  drawing.append(svg("text", { x: box.width, y: box.height - 3, "text-anchor": "end" }, clock(box.end)));
}

function drawing(box) {
  return svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, preserveAspectRatio: "none", role: "img" });
}

function drawRequests(traces) {
  const box = frame(traces);
  const bins = Array.from({ length: 40 }, () => ({ good: 0, blocked: 0, error: 0, other: 0 }));
  const span = (box.end - box.start) / bins.length;
  for (const trace of traces) {
    const bin = bins[Math.min(bins.length - 1, Math.floor((began(trace) - box.start) / span))];
    if (bin) bin[kindOf(trace.outcome)] += 1;
  }
  const sum = (bin) => Object.values(bin).reduce((a, b) => a + b, 0);
  const most = Math.max(2, ...bins.map(sum));
  const made = drawing(box);
  axes(made, box, most, (count) => (Number.isInteger(count) ? count : count.toFixed(1)));
  const width = (box.width - box.left) / bins.length;
  const scale = (box.height - box.top - box.bottom) / most;
  bins.forEach((bin, index) => {
    let y = box.height - box.bottom;
    for (const [kind] of KINDS) {
      const height = bin[kind] * scale;
      y -= height;
      if (height) made.append(svg("rect", { class: "is-" + kind, x: box.left + index * width + 0.5, y, width: Math.max(1, width - 1), height }));
    }
  });
  const counted = KINDS.map(([kind, words]) => ["is-" + kind, `${words} ${traces.filter((t) => kindOf(t.outcome) === kind).length}`]);
  byId("requests").replaceChildren(made, keys(counted), element("div", "quiet", `one bar is ${seconds(span)}`));
}

function seconds(ms) {
  return ms >= 60000 ? `${(ms / 60000).toFixed(1)} min` : `${(ms / 1000).toFixed(1)} s`;
}

function drawLatency(traces) {
  const box = frame(traces);
  const most = Math.max(1, ...traces.map((trace) => trace.duration_ms));
  const made = drawing(box);
  axes(made, box, most, milliseconds);
  const x = (trace) => box.left + ((began(trace) - box.start) / (box.end - box.start)) * (box.width - box.left - 3);
  const y = (ms) => box.height - box.bottom - (ms / most) * (box.height - box.top - box.bottom);
  for (const trace of traces) {
    const dot = svg("circle", { class: "is-" + kindOf(trace.outcome), cx: x(trace), cy: y(trace.duration_ms), r: 2.5 });
    dot.append(svg("title", {}, `${trace.trace_id.slice(0, 12)} ${trace.outcome} ${milliseconds(trace.duration_ms)}`));
    made.append(dot);
    if (trace.first_token_ms !== null) made.append(svg("circle", { class: "first", cx: x(trace), cy: y(trace.first_token_ms), r: 2.5 }));
  }
  const all = traces.map((trace) => trace.duration_ms);
  const first = traces.map((trace) => trace.first_token_ms).filter((ms) => ms !== null);
  const words = (values) => (values.length ? `p50 ${milliseconds(percentile(values, 50))}, p95 ${milliseconds(percentile(values, 95))}` : "none");
  const rates = traces.map((trace) => trace.tokens_per_s).filter((rate) => rate !== null);
  byId("latency").replaceChildren(
    made,
    keys([["is-good", `whole: ${words(all)}`], ["service-gateway", `to the first token (rings): ${words(first)}`]]),
    element("div", "quiet", rates.length ? `decoding: p50 ${percentile(rates, 50).toFixed(0)} tokens/s` : ""),
  );
}

function drawGuards(traces) {
  const counts = new Map();
  const add = (words, kind) => counts.set(words, { count: (counts.get(words)?.count || 0) + 1, kind });
  for (const trace of traces) {
    if (!trace.guards) continue;
    const action = trace.guards.action.toLowerCase();
    const kind = action === "block" ? "blocked" : "good";
    for (const category of trace.guards.categories) add(`${action} ${category}`, kind);
    for (const failed of trace.guards.not_run) add(failed, "error");
    if (!trace.guards.categories.length && !trace.guards.not_run.length) add("nothing found", "other");
  }
  const most = Math.max(1, ...[...counts.values()].map((one) => one.count));
  const made = element("div", "counts");
  for (const [words, one] of [...counts].sort((a, b) => b[1].count - a[1].count).slice(0, 8)) {
    const length = element("div", `length is-${one.kind}`);
    length.style.width = (100 * one.count) / most + "%";
    made.append(element("span", "", words), length, element("span", "num", String(one.count)));
  }
  byId("guards").replaceChildren(counts.size ? made : element("div", "quiet", "No request passed a guard yet."));
}

// Lines over time: each a name, the class that colours it, and its value in one set of figures.
function drawLines(id, figures, lines, words, note) {
  const minutes = Number(byId("minutes").value) || 60;
  const end = Date.now();
  const box = { start: end - minutes * 60000, end, width: 420, height: 150, left: 52, bottom: 18, top: 6 };
  const seen = figures.filter((one) => one.time_ms >= box.start);
  if (seen.length) box.start = Math.max(box.start, Math.min(seen[0].time_ms, end - 60000));
  const values = lines.flatMap(([, , value]) => seen.map(value)).filter((one) => one !== null && one !== undefined);
  const most = Math.max(1e-9, ...values) * 1.05;
  const made = drawing(box);
  axes(made, box, values.length ? most : 1, words);
  const x = (one) => box.left + ((one.time_ms - box.start) / (box.end - box.start)) * (box.width - box.left - 3);
  const y = (value) => box.height - box.bottom - (value / most) * (box.height - box.top - box.bottom);
  for (const [, kind, value] of lines) {
    const points = seen.filter((one) => value(one) !== null && value(one) !== undefined).map((one) => `${x(one).toFixed(1)},${y(value(one)).toFixed(1)}`);
    if (points.length) made.append(svg("polyline", { class: "line " + kind, points: points.join(" ") }));
  }
  const last = seen[seen.length - 1];
  const said = (value) => (last && value(last) !== null && value(last) !== undefined ? words(value(last)) : "none");
  byId(id).replaceChildren(made, keys(lines.map(([name, kind, value]) => [kind, `${name} ${said(value)}`])), element("div", "quiet", last ? note(last) : ""));
}

function drawFigures(figures) {
  byId("figures").hidden = !figures.length;
  const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  const number = (value) => (value >= 10 ? value.toFixed(0) : value.toFixed(1));
  const blocked = (one) => one.answers_per_s.blocked || 0;
  const unfinished = (one) => one.answers_per_s.unfinished || 0;
  drawLines("throughput", figures, [
    ["answered", "is-good", (one) => sum(one.answers_per_s) - blocked(one) - unfinished(one)],
    ["blocked", "is-blocked", blocked],
    ["unfinished", "is-error", unfinished],
  ], (value) => number(value) + "/s", (one) => `${number(one.tokens_per_s)} tokens/s`);
  drawLines("times", figures, [
    ["answer p50", "is-good", (one) => one.latency_p50_ms],
    ["answer p95", "is-other", (one) => one.latency_p95_ms],
    ["first text p95", "service-gateway", (one) => one.first_p95_ms],
    ["queue p95", "service-inference", (one) => one.queue_p95_ms],
  ], milliseconds, () => "");
  drawLines("engine", figures, [
    ["checks", "is-good", (one) => sum(one.checks_per_s)],
    ["blocking", "is-blocked", (one) => one.checks_per_s.block || 0],
    ["redacting", "is-other", (one) => one.checks_per_s.redact || 0],
  ], (value) => number(value) + "/s", (one) => one.running === null ? "" : `${one.running} running, ${one.waiting} waiting, cache ${(100 * (one.kv_usage || 0)).toFixed(0)} % held`);
}

function drawList(traces) {
  const words = byId("words").value.trim().toLowerCase();
  const found = traces.filter((trace) => !words || JSON.stringify(trace).toLowerCase().includes(words));
  const table = element("table");
  const head = element("tr");
  for (const [title, className] of [["trace"], ["began"], ["took", "num"], ["first token", "num"], ["spans", "num"], ["outcome"], ["call"], ["services"], ["guards"]]) head.append(element("th", className, title));
  table.append(head, ...found.slice(0, 200).map(listRow));
  byId("list").replaceChildren(found.length ? table : element("div", "quiet", "No traces. Start the services with `vedette up` and ask something."));
  byId("shown").textContent = found.length > 200 ? `the latest 200 of ${found.length}` : `${found.length}`;
}

function listRow(trace) {
  const row = element("tr", trace.trace_id === page.chosen ? "chosen" : "");
  row.tabIndex = 0;
  const cell = (text, className) => row.append(element("td", className, text));
  cell(trace.trace_id.slice(0, 12), "mono");
  cell(new Date(began(trace)).toLocaleTimeString());
  cell(milliseconds(trace.duration_ms), "num");
  cell(trace.first_token_ms === null ? "" : milliseconds(trace.first_token_ms), "num");
  cell(String(trace.span_count), "num");
  const kind = kindOf(trace.outcome);
  cell(trace.outcome, kind === "error" ? "bad" : kind === "blocked" ? "warn" : "");
  cell(trace.short_name);
  const services = element("td");
  for (const service of trace.services) {
    const one = element("span", serviceClass(service));
    one.title = service;
    one.append(element("span", "dot"));
    services.append(one);
  }
  row.append(services);
  const guards = trace.guards;
  const said = guards && (guards.categories.length || guards.not_run.length) ? [guards.action.toLowerCase(), ...guards.categories, ...guards.not_run] : [];
  cell(said.filter(Boolean).join(" "), guards?.action === "BLOCK" ? "bad" : "warn");
  const open = () => { location.hash = trace.trace_id; };
  row.addEventListener("click", open);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
  return row;
}

function drawHealth(health) {
  byId("health").replaceChildren(...Object.entries(health).map(([service, status]) => {
    const one = element("span", "state" + (status === "SERVING" ? " serving" : ""));
    one.append(element("span", "dot"), `${service} ${status.toLowerCase().replaceAll("_", " ")}`);
    return one;
  }));
}

function draw() {
  const traces = inRange();
  drawRequests(traces);
  drawLatency(traces);
  drawGuards(traces);
  drawList(traces);
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered with status ${response.status}`);
  return response.json();
}

// At first, the shortest time in which anything happened.
function chooseRange() {
  const choices = [...byId("minutes").options].filter((option) => option.value !== "0");
  const recent = (option) => page.traces.some((trace) => began(trace) >= Date.now() - option.value * 60000);
  byId("minutes").value = choices.find(recent)?.value ?? "0";
}

async function update() {
  if (!page.paused) {
    try {
      const said = await ask("api/traces");
      const measured = await ask("api/metrics");
      const isFirst = !page.traces.length;
      page.traces = said.traces;
      if (isFirst) chooseRange();
      drawHealth(said.health);
      drawFigures(measured.figures);
      byId("updated").textContent = `as of ${new Date().toLocaleTimeString()}`;
      draw();
    } catch {
      byId("updated").textContent = "vedette ui does not answer";
    }
  }
  setTimeout(update, POLL_MS);
}

async function show() {
  page.chosen = decodeURIComponent(location.hash.slice(1));
  if (!page.chosen) return;
  try {
    new Waterfall(byId("trace"), await ask("api/traces/" + encodeURIComponent(page.chosen)));
  } catch {
    byId("trace").replaceChildren(element("div", "panel", `The trace ${page.chosen} is not there.`));
  }
  drawList(inRange());
}

byId("words").addEventListener("input", () => drawList(inRange()));
byId("minutes").addEventListener("change", draw);
byId("pause").addEventListener("click", () => {
  page.paused = !page.paused;
  byId("pause").textContent = page.paused ? "Go on" : "Pause";
});
window.addEventListener("hashchange", show);
update().then(show);
