"use strict";
// Draws one trace, as `vedette trace show --json` prints it, into an element.
// Text from the trace is only ever set as text, never as markup.

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function milliseconds(ms) {
  const size = Math.abs(ms);
  if (size >= 10000) return (ms / 1000).toFixed(1) + " s";
  if (size >= 100) return ms.toFixed(0) + " ms";
  return ms.toFixed(size >= 1 ? 1 : 2) + " ms";
}

const KNOWN_SERVICES = ["gateway", "guardrails", "inference"];

function serviceClass(service) {
  return "service-" + (KNOWN_SERVICES.includes(service) ? service : "other");
}

// What a span has to say besides its times: how it ended, what a guard decided.
function badgesOf(span) {
  const found = [];
  const attributes = span.attributes;
  const action = attributes["vedette.guard.action"];
  const state = attributes["vedette.guard.state"];
  const reason = String(attributes["vedette.finish_reason"] || "").toLowerCase();
  const code = attributes["rpc.response.status_code"];
  if (span.status === "ERROR") found.push([String(code || "ERROR"), "bad"]);
  else if (code && code !== "OK") found.push([String(code), "warn"]);
  if (action && action !== "ALLOW") found.push([action.toLowerCase(), action === "BLOCK" ? "bad" : "warn"]);
  if (state && state !== "RAN" && state !== "SKIPPED") found.push([state.toLowerCase(), "bad"]);
  for (const category of [].concat(attributes["vedette.guard.categories"] || [])) found.push([String(category), "warn"]);
  const outcome = attributes["vedette.step.outcome"];
  if (["refused", "unfinished", "blocked"].includes(outcome)) found.push([outcome, "warn"]);
  if (["hit", "shared"].includes(outcome)) found.push([outcome, "quiet"]);
  if (span.shared_with?.length) found.push([`shared with ${span.shared_with.length}`, "quiet"]);
  if (reason && reason !== "stop" && reason !== "length") found.push([reason, reason === "blocked" ? "bad" : "warn"]);
  return found;
}

function badge([text, className]) {
  return element("span", "badge " + className, text);
}

class Waterfall {
  constructor(container, trace) {
    this.trace = trace;
    this.length = Math.max(trace.duration_ms, 0.001);
    this.view = [0, this.length];
    this.byId = new Map(trace.spans.map((span) => [span.span_id, span]));
    this.parents = new Set(trace.spans.map((span) => span.parent_id));
    this.folded = new Set(this.crowds());
    this.path = new Map();
    for (const part of trace.critical_path) {
      if (!this.path.has(part.span_id)) this.path.set(part.span_id, []);
      this.path.get(part.span_id).push(part);
    }
    this.gaps = new Map(trace.gaps.map((gap) => [`${gap.span_id} ${gap.offset_ms}`, gap.note]));
    container.replaceChildren(this.summary(), this.panel());
    this.observer = new ResizeObserver(() => this.drawOverview());
    this.observer.observe(this.canvas);
    this.draw();
  }

  // In a long trace, spans with many below them start folded, so that the whole fits the window.
  crowds() {
    if (this.trace.spans.length <= 40) return [];
    const counts = new Map();
    for (const span of this.trace.spans) counts.set(span.parent_id, (counts.get(span.parent_id) || 0) + 1);
    return [...counts].filter(([id, count]) => count > 8 && this.byId.has(id)).map(([id]) => id);
  }

  below(span) {
    const index = this.trace.spans.indexOf(span);
    const rest = this.trace.spans.slice(index + 1);
    const end = rest.findIndex((other) => other.depth <= span.depth);
    return end < 0 ? rest : rest.slice(0, end);
  }

  summary() {
    const trace = this.trace;
    const panel = element("section", "panel");
    const title = element("h1", "", "Trace ");
    title.append(element("code", "", trace.trace_id));
    const facts = element("div", "facts");
    const fact = (name, value, className) => {
      const one = element("div", "", name + " ");
      one.append(element("b", className || "", value));
      facts.append(one);
    };
    const outcomes = { error: "bad", blocked: "bad", stop: "", length: "", ok: "" };
    fact("outcome", trace.outcome, outcomes[trace.outcome] ?? "warn");
    fact("began", new Date(trace.start_unix_nano / 1e6).toLocaleString());
    fact("took", milliseconds(trace.duration_ms));
    if (trace.first_token_ms !== null) fact("first token after", milliseconds(trace.first_token_ms));
    if (trace.tokens_per_s !== null) fact("decoding", trace.tokens_per_s.toFixed(0) + " tokens/s");
    fact("spans", String(trace.spans.length));
    if (trace.guards) {
      const said = [trace.guards.action.toLowerCase(), ...trace.guards.categories, ...trace.guards.not_run];
      fact("guards", said.filter(Boolean).join(" "), trace.guards.action === "BLOCK" ? "bad" : "");
    }
    for (const hop of trace.missing_hops) fact("missing", hop, "bad");
    if (trace.orphans.length) fact("orphans", String(trace.orphans.length), "bad");
    panel.append(title, facts, this.shares());
    return panel;
  }

  // The critical path added up: one bar, a part for each span, the largest first.
  shares() {
    const box = element("div");
    box.style.marginTop = "12px";
    box.append(element("h2", "", "Where the time went"));
    const bar = element("div", "shares");
    const sums = new Map();
    for (const part of this.trace.critical_path) {
      sums.set(part.span_id, (sums.get(part.span_id) || 0) + part.duration_ms);
    }
    const total = [...sums.values()].reduce((a, b) => a + b, 0) || 1;
    for (const [id, ms] of [...sums].sort((a, b) => b[1] - a[1])) {
      const span = this.byId.get(id);
      if (!span || ms / total < 0.002) continue;
      const words = `${span.short_name} ${milliseconds(ms)} (${Math.round((100 * ms) / total)} %)`;
      const notes = [...new Set(this.trace.gaps.filter((gap) => gap.span_id === id).map((gap) => gap.note))];
      const part = element("div", serviceClass(span.service) + (notes.length ? " gap" : ""));
      // In a narrow part the words would only be cut; they are in its title.
      if (ms / total > 0.06) part.append(element("span", "", words));
      part.style.flex = `${ms} 1 0`;
      part.title = [`${span.service}: ${words}`, ...notes].join("; ");
      bar.append(part);
    }
    box.append(bar);
    return box;
  }

  panel() {
    const panel = element("section", "panel");
    const tools = element("div", "tools");
    this.search = element("input");
    this.search.type = "search";
    this.search.placeholder = "Find a span or an attribute";
    this.search.setAttribute("aria-label", "Find a span or an attribute");
    this.search.addEventListener("input", () => this.draw());
    const button = (words, act) => {
      const made = element("button", "", words);
      made.type = "button";
      made.addEventListener("click", act);
      return made;
    };
    tools.append(
      this.search,
      button("Fold all", () => { this.folded = new Set(this.trace.spans.filter((s) => s.depth > 0 && this.parents.has(s.span_id)).map((s) => s.span_id)); this.draw(); }),
      button("Unfold all", () => { this.folded.clear(); this.draw(); }),
      button("Whole time", () => this.zoom(0, this.length)),
      element("span", "spacer"),
      element("span", "quiet", "drag to zoom, double-click for the whole, click a row for its attributes"),
    );
    const overview = element("div", "overview");
    this.canvas = element("canvas");
    overview.append(element("div"), this.canvas, element("div"));
    this.axis = element("div", "axis");
    const head = element("div", "head");
    head.append(element("div", "", "span"), this.axis, element("div", "num", "took"), element("div", "num", "self"));
    this.rows = element("div");
    this.body = element("div", "waterfall");
    this.body.append(overview, head, this.rows);
    this.details = element("div", "details");
    this.details.hidden = true;
    this.selectable(this.canvas, () => [0, this.length]);
    this.selectable(this.rows, () => this.view);
    panel.append(tools, this.body, this.details, this.legend());
    return panel;
  }

  legend() {
    const legend = element("div", "legend");
    for (const service of this.trace.services) {
      const one = element("span", serviceClass(service));
      one.append(element("span", "dot"), service);
      legend.append(one);
    }
    for (const [className, words] of [["", "on the critical path"], ["thin", "meanwhile"], ["gap", "nothing recorded, or on the way"]]) {
      const one = element("span");
      one.append(element("i", className), words);
      legend.append(one);
    }
    return legend;
  }

  zoom(start, end) {
    const least = this.length / 1e5;
    if (end - start < least) return;
    this.view = [Math.max(0, start), Math.min(this.length, end)];
    this.draw();
  }

  share(ms) {
    return (100 * (ms - this.view[0])) / (this.view[1] - this.view[0]);
  }

  place(made, start, length) {
    const left = this.share(start);
    made.style.left = left + "%";
    made.style.width = Math.max(0, this.share(start + length) - left) + "%";
    return made;
  }

  draw() {
    const words = this.search.value.trim().toLowerCase();
    const hiddenBelow = [];
    const rows = [];
    for (const span of this.trace.spans) {
      while (hiddenBelow.length && hiddenBelow[hiddenBelow.length - 1] >= span.depth) hiddenBelow.pop();
      if (hiddenBelow.length) continue;
      if (this.folded.has(span.span_id)) hiddenBelow.push(span.depth);
      rows.push(this.row(span, words));
    }
    this.rows.replaceChildren(...rows);
    this.drawAxis();
    this.drawOverview();
  }

  row(span, words) {
    const failed = span.status === "ERROR" ? " error" : "";
    const row = element("div", `row ${serviceClass(span.service)}${failed}`);
    row.tabIndex = 0;
    if (span === this.chosen) row.classList.add("chosen");
    if (words && !JSON.stringify([span.name, span.service, span.attributes]).toLowerCase().includes(words)) row.classList.add("dimmed");
    const name = element("div", "name");
    name.style.paddingLeft = Math.min(span.depth, 12) * 14 + "px";
    const fold = element("button", "fold", this.parents.has(span.span_id) ? (this.folded.has(span.span_id) ? "▸" : "▾") : "");
    fold.type = "button";
    fold.tabIndex = -1;
    fold.addEventListener("click", (event) => { event.stopPropagation(); this.fold(span); });
    name.append(fold, element("span", "dot"), element("span", "words", span.short_name), ...badgesOf(span).map(badge));
    name.title = `${span.service}: ${span.name}`;
    const lane = element("div", "lane");
    const hidden = this.folded.has(span.span_id) ? this.below(span) : [];
    if (hidden.length) name.append(...this.hiddenBadges(hidden));
    lane.append(this.place(element("div", "bar"), span.offset_ms, span.duration_ms));
    for (const part of this.path.get(span.span_id) || []) {
      const note = this.gaps.get(`${span.span_id} ${part.offset_ms}`);
      const drawn = this.place(element("div", note ? "path gap" : "path"), part.offset_ms, part.duration_ms);
      if (note) drawn.title = `${milliseconds(part.duration_ms)} ${note}`;
      lane.append(drawn);
    }
    for (const other of hidden) lane.append(this.place(element("div", "small " + serviceClass(other.service)), other.offset_ms, other.duration_ms));
    for (const event of span.events) {
      const mark = element("div", "mark");
      mark.title = event.name.replaceAll("_", " ");
      mark.style.left = this.share(event.offset_ms) + "%";
      lane.append(mark);
    }
    row.append(name, lane, element("div", "num", milliseconds(span.duration_ms)), element("div", "num quiet", milliseconds(span.self_ms)));
    row.addEventListener("click", () => this.choose(span));
    row.addEventListener("keydown", (event) => this.key(event, row, span));
    return row;
  }

  // What folded rows would have said, each thing once.
  hiddenBadges(hidden) {
    const said = new Map(hidden.flatMap(badgesOf).map((one) => [one[0], one]));
    return [badge([`${hidden.length} below`, "quiet"]), ...[...said.values()].map(badge)];
  }

  key(event, row, span) {
    if (event.key === "Enter") this.choose(span);
    else if (event.key === "ArrowDown") row.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") row.previousElementSibling?.focus();
    else if (event.key === "ArrowLeft" !== this.folded.has(span.span_id) && ["ArrowLeft", "ArrowRight"].includes(event.key)) this.fold(span);
    else return;
    event.preventDefault();
  }

  fold(span) {
    if (!this.parents.has(span.span_id)) return;
    if (!this.folded.delete(span.span_id)) this.folded.add(span.span_id);
    this.draw();
  }

  choose(span) {
    if (this.dragged) return;
    this.chosen = this.chosen === span ? undefined : span;
    this.details.hidden = !this.chosen;
    if (this.chosen) this.details.replaceChildren(...this.describe(span));
    this.draw();
  }

  describe(span) {
    const title = element("div", serviceClass(span.service));
    title.append(element("span", "dot"), element("b", "", span.name), element("span", "quiet", `  ${span.service}, ${span.kind.toLowerCase()}, at ${milliseconds(span.offset_ms)}, took ${milliseconds(span.duration_ms)}, self ${milliseconds(span.self_ms)}`));
    const table = element("table");
    const line = (name, value) => {
      const row = element("tr");
      row.append(element("td", "", name), element("td", "mono", value));
      table.append(row);
    };
    for (const [name, value] of Object.entries(span.attributes)) line(name, typeof value === "string" ? value : JSON.stringify(value));
    for (const event of span.events) line(`event at ${milliseconds(event.offset_ms)}`, `${event.name} ${Object.keys(event.attributes).length ? JSON.stringify(event.attributes) : ""}`);
    line("span id", span.span_id + (span.parent_id ? `, below ${span.parent_id}` : ""));
    return [title, table];
  }

  drawAxis() {
    const [start, end] = this.view;
    const width = this.axis.clientWidth || 600;
    const wanted = (end - start) / Math.max(2, width / 90);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= wanted);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const ticks = [];
    for (let at = Math.ceil(start / step) * step; at < end; at += step) {
      const tick = element("span", "", `${at.toFixed(digits)} ms`);
      tick.style.left = this.share(at) + "%";
      ticks.push(tick);
    }
    const first = this.trace.first_token_ms;
    if (first !== null && first >= start && first <= end) {
      const mark = element("b", "", "first token");
      mark.style.left = this.share(first) + "%";
      ticks.push(mark);
    }
    this.axis.replaceChildren(...ticks);
  }

  drawOverview() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = box.width * ratio;
    this.canvas.height = box.height * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const height = box.height / this.trace.spans.length;
    this.trace.spans.forEach((span, index) => {
      context.fillStyle = style.getPropertyValue("--" + (KNOWN_SERVICES.includes(span.service) ? span.service : "other"));
      context.fillRect((span.offset_ms / this.length) * box.width, index * height, Math.max(1, (span.duration_ms / this.length) * box.width), Math.max(1, Math.min(5, height - 0.5)));
    });
    const [start, end] = this.view.map((ms) => (ms / this.length) * box.width);
    context.fillStyle = style.getPropertyValue("--shade");
    context.fillRect(0, 0, start, box.height);
    context.fillRect(end, 0, box.width - end, box.height);
  }

  // Dragging over an area chooses the time to zoom to.
  selectable(area, range) {
    const lane = () => (area === this.rows ? this.axis : area).getBoundingClientRect();
    const timeAt = (x) => {
      const box = lane();
      const [start, end] = range();
      return start + (Math.min(Math.max(0, x - box.left), box.width) / box.width) * (end - start);
    };
    area.addEventListener("dblclick", () => this.zoom(0, this.length));
    area.addEventListener("pointerdown", (down) => {
      const box = lane();
      this.dragged = false;
      if (down.button !== 0 || down.clientX < box.left || down.clientX > box.right) return;
      const shown = element("div", "selection");
      const offset = this.body.getBoundingClientRect().left;
      const move = (event) => {
        if (Math.abs(event.clientX - down.clientX) > 4) this.dragged = true;
        if (!this.dragged) return;
        const [left, right] = [down.clientX, event.clientX].sort((a, b) => a - b);
        shown.style.left = Math.max(left, box.left) - offset + "px";
        shown.style.width = Math.min(right, box.right) - Math.max(left, box.left) + "px";
        if (!shown.isConnected) this.body.append(shown);
      };
      const up = (event) => {
        window.removeEventListener("pointermove", move);
        shown.remove();
        if (!this.dragged) return;
        const [start, end] = [timeAt(down.clientX), timeAt(event.clientX)].sort((a, b) => a - b);
        this.zoom(start, end);
        setTimeout(() => { this.dragged = false; }, 0);
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", up, { once: true });
    });
  }
}
