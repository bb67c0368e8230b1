// The drawings of the live page: bars and dots over time, lines in tiles, counts.

const KINDS = [["good", "answered"], ["blocked", "blocked"], ["error", "error"], ["other", "other"]];
const BINS = 40;

function keys(entries) {
  const made = element("div", "keys");
  for (const [className, words, shape] of entries) {
    const one = element("span", "key " + className);
    one.append(element("span", "dot " + (shape || "")), words);
    made.append(one);
  }
  return made;
}

function percentile(values, share) {
  if (!values.length) return undefined;
  const ordered = [...values].sort((a, b) => a - b);
  return ordered[Math.max(0, Math.ceil(ordered.length * share) - 1)];
}

function seconds(ms) {
  return ms >= 60000 ? `${(ms / 60000).toFixed(1)} min` : `${(ms / 1000).toFixed(1)} s`;
}

// The times between which something is drawn, and the room for it in pixels.
function frame(id, traces, minutes) {
  const times = traces.map(began);
  const end = minutes ? Date.now() : Math.max(...times, 0) + 1000;
  let start = minutes ? end - minutes * 60000 : Math.min(...times, end - 10000);
  // Most of an empty time says nothing.
  if (minutes && times.length) start = Math.max(start, Math.min(Math.min(...times) - 2000, end - 30000));
  return { start, end, width: byId(id).clientWidth || 420, height: 132, left: 46, bottom: 18, top: 6 };
}

function drawing(box) {
  return svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img" });
}

function axes(made, box, ticks) {
  for (const [share, words] of ticks) {
    const y = box.top + (box.height - box.top - box.bottom) * (1 - share);
    made.append(svg("line", { class: "grid", x1: box.left, x2: box.width, y1: y, y2: y }));
    made.append(svg("text", { x: box.left - 8, y: y + 4, "text-anchor": "end" }, words));
  }
  made.append(svg("text", { x: box.left, y: box.height - 2 }, clock(box.start)));
  made.append(svg("text", { x: box.width, y: box.height - 2, "text-anchor": "end" }, clock(box.end)));
}

// A round number at or above: counts have whole ticks.
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((size) => size >= most);
}

function drawRequests(traces, minutes) {
  const box = frame("requests", traces, minutes);
  const bins = Array.from({ length: BINS }, () => ({ good: 0, blocked: 0, error: 0, other: 0 }));
  const span = (box.end - box.start) / BINS;
  for (const trace of traces) {
    const bin = bins[Math.min(BINS - 1, Math.floor((began(trace) - box.start) / span))];
    if (bin) bin[kindOf(trace.outcome)] += 1;
  }
  const most = roundUp(Math.max(2, ...bins.map((bin) => Object.values(bin).reduce((a, b) => a + b, 0))));
  const made = drawing(box);
  axes(made, box, [0, 0.5, 1].map((share) => [share, String(most * share)]));
  const width = (box.width - box.left) / BINS;
  const scale = (box.height - box.top - box.bottom) / most;
  bins.forEach((bin, index) => {
    let y = box.height - box.bottom;
    for (const [kind, words] of KINDS) {
      const height = bin[kind] * scale;
      y -= height;
      if (!height) continue;
      const drawn = svg("rect", { class: "is-" + kind, x: box.left + index * width + 0.5, y, width: Math.max(1, width - 1.5), height });
      drawn.append(svg("title", {}, `${bin[kind]} ${words} in ${seconds(span)}`));
      made.append(drawn);
    }
  });
  const count = (kind) => traces.filter((trace) => kindOf(trace.outcome) === kind).length;
  const counted = KINDS.map(([kind, words]) => [kind, words, count(kind)]).filter(([kind, , n]) => n || kind === "good");
  byId("requests-keys").replaceChildren(keys(counted.map(([kind, words, n]) => ["is-" + kind, `${words} ${n}`, "square"])));
  byId("requests").replaceChildren(made);
}

// Times differ by factors, so their axis is logarithmic.
function drawLatency(traces, minutes) {
  const box = frame("latency", traces, minutes);
  const first = traces.map((trace) => trace.first_token_ms).filter((ms) => ms !== null);
  const all = traces.map((trace) => trace.duration_ms);
  const logs = [...all, ...first].map((ms) => Math.log10(Math.max(ms, 0.1)));
  const low = Math.floor(Math.min(...logs, 1)), high = Math.max(low + 1, Math.ceil(Math.max(...logs, 2)));
  const share = (ms) => (Math.log10(Math.max(ms, 0.1)) - low) / (high - low);
  const made = drawing(box);
  const decades = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  axes(made, box, decades.map((ms) => [share(ms), ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`]));
  const x = (trace) => box.left + ((began(trace) - box.start) / (box.end - box.start)) * (box.width - box.left - 3);
  const y = (ms) => box.height - box.bottom - share(ms) * (box.height - box.top - box.bottom);
  for (const trace of traces) {
    if (trace.first_token_ms !== null) made.append(svg("circle", { class: "first", cx: x(trace), cy: y(trace.first_token_ms), r: 2.5 }));
    const dot = svg("circle", { class: "is-" + kindOf(trace.outcome), cx: x(trace), cy: y(trace.duration_ms), r: 2.8 });
    dot.append(svg("title", {}, `${trace.trace_id.slice(0, 12)} ${trace.outcome} ${milliseconds(trace.duration_ms)}`));
    made.append(dot);
  }
  const words = (values) => (values.length ? `${milliseconds(percentile(values, 0.5))} · ${milliseconds(percentile(values, 0.95))}` : "none");
  byId("latency-keys").replaceChildren(keys([["is-good", `whole ${words(all)}`], ["", `first token ${words(first)}`, "ring"]]));
  byId("latency").replaceChildren(made);
}

function drawGuards(traces) {
  const counts = new Map();
  const add = (words, kind) => counts.set(words, { count: (counts.get(words)?.count || 0) + 1, kind });
  for (const trace of traces) {
    if (!trace.guards) continue;
    const action = trace.guards.action.toLowerCase();
    for (const category of trace.guards.categories) add(`${action} ${category}`, action === "block" ? "blocked" : "good");
    for (const failed of trace.guards.not_run) add(failed, "error");
    if (!trace.guards.categories.length && !trace.guards.not_run.length) add("nothing found", "other");
  }
  const most = Math.max(1, ...[...counts.values()].map((one) => one.count));
  const checked = traces.filter((trace) => trace.guards).length;
  byId("guards-keys").textContent = `in ${checked} ${checked === 1 ? "request" : "requests"} that they checked`;
  const made = element("div", "counts");
  for (const [words, one] of [...counts].sort((a, b) => b[1].count - a[1].count).slice(0, 8)) {
    const length = element("div", `length is-${one.kind}`);
    length.style.width = (100 * one.count) / most + "%";
    made.append(element("span", "", words), length, element("span", "num", String(one.count)));
  }
  byId("guards").replaceChildren(counts.size ? made : element("div", "quiet", "No request passed a guard yet."));
}

// A figure now, in words, and its way there as a line without axes.
function tile(name, figures, value, words, note, kind) {
  const made = element("div", "tile " + (kind || ""));
  const last = figures[figures.length - 1];
  const isKnown = (one) => value(one) !== null && value(one) !== undefined;
  made.append(element("h2", "", name), element("div", "value", isKnown(last) ? words(value(last)) : "–"), element("div", "note", note(last)));
  const seen = figures.slice(-90).filter(isKnown);
  const most = Math.max(1e-9, ...seen.map(value));
  const line = svg("svg", { viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" });
  const points = seen.map((one, index) => `${(100 * index) / Math.max(1, seen.length - 1)},${25 - 23 * (value(one) / most)}`);
  if (points.length > 1) line.append(svg("polyline", { points: points.join(" ") }));
  made.append(line);
  return made;
}

function drawFigures(figures) {
  byId("figures").hidden = !figures.length;
  if (!figures.length) return;
  const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  const number = (value) => (value >= 10 ? value.toFixed(0) : value.toFixed(1));
  const rate = (value) => number(value) + "/s";
  const time = (value) => (value === null || value === undefined ? "–" : milliseconds(value));
  const share = (value) => percent(value || 0);
  byId("figures").replaceChildren(
    tile("Answers", figures, (one) => sum(one.answers_per_s), rate, (one) => `${number(one.answers_per_s.blocked || 0)} blocked, ${number(one.answers_per_s.unfinished || 0)} unfinished`),
    tile("Tokens", figures, (one) => one.tokens_per_s, rate, (one) => one.running === null ? "" : `${one.running} running, ${one.waiting} waiting`),
    tile("Answer, p95", figures, (one) => one.latency_p95_ms, milliseconds, (one) => `p50 ${time(one.latency_p50_ms)}`),
    tile("First text, p95", figures, (one) => one.first_p95_ms, milliseconds, () => "of streamed answers"),
    tile("Queue, p95", figures, (one) => one.queue_p95_ms, milliseconds, (one) => one.kv_usage === null ? "" : `key-value cache ${share(one.kv_usage)} held`),
    tile("Checks", figures, (one) => sum(one.checks_per_s), rate, (one) => `${number(one.checks_per_s.block || 0)} blocking, ${number(one.checks_per_s.redact || 0)} redacting`),
  );
}
