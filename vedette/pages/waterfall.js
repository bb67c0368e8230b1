// Draws one trace, as `vedette trace show --json` prints it, into an element.

const ROWS_AT_FIRST = 40;
const BADGES = 2;

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

class Waterfall {
  constructor(container, trace) {
    this.trace = trace;
    this.length = Math.max(trace.duration_ms, 0.001);
    this.view = [0, this.length];
    this.isShort = trace.spans.length <= 12;
    this.byId = new Map(trace.spans.map((span) => [span.span_id, span]));
    this.parents = new Set(trace.spans.map((span) => span.parent_id));
    this.path = new Map();
    for (const part of trace.critical_path) {
      if (!this.path.has(part.span_id)) this.path.set(part.span_id, []);
      this.path.get(part.span_id).push(part);
    }
    this.gaps = new Map(trace.gaps.map((gap) => [`${gap.span_id} ${gap.offset_ms}`, gap.note]));
    this.folded = this.foldedAtFirst();
    this.current = trace.spans[0].span_id;
    container.replaceChildren(drawSummary(trace), this.panel());
    this.observer = new ResizeObserver(() => { this.drawOverview(); this.drawAxis(); });
    this.observer.observe(this.axis);
    this.draw();
  }

  // A long trace starts as deep as fits the window, but for the way to what took most of the time.
  foldedAtFirst() {
    const spans = this.trace.spans;
    if (spans.length <= ROWS_AT_FIRST) return new Set();
    const deepest = Math.max(...spans.map((span) => span.depth));
    const isWithin = (depth) => spans.filter((span) => span.depth <= depth).length <= ROWS_AT_FIRST;
    let depth = 0;
    while (depth < deepest && isWithin(depth + 1)) depth += 1;
    const folded = new Set(spans.filter((span) => span.depth >= depth && this.parents.has(span.span_id)).map((span) => span.span_id));
    const children = (id) => spans.filter((span) => span.parent_id === id).length;
    let above = this.byId.get(this.byId.get(this.trace.cause?.span_id)?.parent_id);
    while (above) {
      if (children(above.span_id) <= ROWS_AT_FIRST) folded.delete(above.span_id);
      above = this.byId.get(above.parent_id);
    }
    return folded;
  }

  below(span) {
    const index = this.trace.spans.indexOf(span);
    const rest = this.trace.spans.slice(index + 1);
    const end = rest.findIndex((other) => other.depth <= span.depth);
    return end < 0 ? rest : rest.slice(0, end);
  }

  panel() {
    const panel = element("section", "panel");
    const tools = element("div", "tools");
    this.search = element("input");
    this.search.type = "search";
    this.search.placeholder = "Find a span or an attribute";
    this.search.setAttribute("aria-label", "Find a span or an attribute");
    this.search.addEventListener("input", () => this.draw());
    this.found = element("span", "quiet");
    this.found.setAttribute("role", "status");
    this.whole = button("Whole time", () => this.zoom(0, this.length));
    const foldable = this.trace.spans.filter((span) => span.depth > 0 && this.parents.has(span.span_id));
    tools.append(this.search, this.found, element("span", "spacer"), ...this.trace.services.map(serviceKey));
    if (foldable.length && !this.isShort) {
      tools.append(
        button("Fold", () => { this.folded = new Set(foldable.map((span) => span.span_id)); this.draw(); }),
        button("Unfold", () => { this.folded.clear(); this.draw(); }),
      );
    }
    tools.append(this.whole);

    this.canvas = element("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    const overview = element("div", "overview");
    overview.hidden = this.isShort;
    overview.append(element("div"), this.canvas, element("div"));
    this.axis = element("div", "axis");
    const head = element("div", "head");
    head.append(element("div", "", "span"), this.axis, element("div", "num", "took"), element("div", "num", "self"));
    this.lines = element("div", "lines");
    const grid = element("div", "grid");
    grid.append(element("div"), this.lines, element("div"));
    this.rows = element("div", "rows");
    this.rows.setAttribute("role", "tree");
    this.rows.setAttribute("aria-label", "Spans");
    this.body = element("div", "waterfall");
    const lanes = element("div", "lanes");
    lanes.append(grid, this.rows);
    this.body.append(overview, head, lanes);
    this.details = element("div", "details");
    this.details.hidden = true;
    this.selectable(this.canvas, () => [0, this.length]);
    this.selectable(this.rows, () => this.view);
    panel.append(tools, this.body, this.details, this.legend());
    return panel;
  }

  legend() {
    const legend = element("div", "keys legend");
    const kinds = [["on the critical path", ""], ["meanwhile", "thin"]];
    if (this.trace.gaps.length) kinds.push(["nothing recorded, or on the way", "gap"]);
    for (const [words, className] of kinds) {
      const one = element("span", "key");
      one.append(element("i", className), words);
      legend.append(one);
    }
    legend.append(element("span", "spacer"), element("span", "", "drag to zoom · double-click for the whole · Enter for attributes · ← → fold"));
    return legend;
  }

  zoom(start, end) {
    const least = this.length / 1e5;
    this.view = [Math.max(0, start), Math.min(this.length, Math.max(end, start + least))];
    this.draw();
  }

  // Where a time lies in the view, in percent of its width.
  share(ms) {
    const [start, end] = this.view;
    return (100 * (ms - start)) / (end - start);
  }

  place(drawn, offset, duration) {
    const left = Math.max(0, this.share(offset));
    const right = Math.min(100, this.share(offset + duration));
    drawn.style.left = left + "%";
    drawn.style.width = Math.max(0, right - left) + "%";
    if (right < 0 || left > 100) drawn.hidden = true;
    return drawn;
  }

  draw() {
    const hadFocus = this.rows.contains(document.activeElement);
    const words = this.search.value.trim().toLowerCase();
    const matches = (span) => JSON.stringify([span.name, span.service, span.attributes]).toLowerCase().includes(words);
    this.found.textContent = words ? `${this.trace.spans.filter(matches).length} of ${this.trace.spans.length}` : "";
    this.whole.disabled = this.view[0] === 0 && this.view[1] === this.length;
    const rows = [];
    let foldedAt = Infinity;
    for (const span of this.trace.spans) {
      if (span.depth > foldedAt) continue;
      foldedAt = this.folded.has(span.span_id) ? span.depth : Infinity;
      const row = this.row(span);
      const hidden = foldedAt === Infinity ? [] : this.below(span);
      if (words && ![span, ...hidden].some(matches)) row.classList.add("dimmed");
      rows.push(row);
    }
    this.rows.replaceChildren(...rows);
    if (!this.rowOf(this.current)) this.current = this.trace.spans[0].span_id;
    this.rowOf(this.current).tabIndex = 0;
    if (hadFocus) this.rowOf(this.current).focus();
    this.drawAxis();
    this.drawOverview();
  }

  rowOf(id) {
    return [...this.rows.children].find((row) => row.dataset.span === id);
  }

  row(span) {
    const isParent = this.parents.has(span.span_id);
    const isFolded = this.folded.has(span.span_id);
    const hidden = isFolded ? this.below(span) : [];
    const row = element("div", `row ${serviceClass(span.service)}${span.status === "ERROR" ? " error" : ""}`);
    row.dataset.span = span.span_id;
    row.tabIndex = -1;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", span.depth + 1);
    if (isParent) row.setAttribute("aria-expanded", String(!isFolded));
    if (span === this.chosen) row.classList.add("chosen");

    const name = element("div", "name");
    name.style.paddingLeft = Math.min(span.depth, 12) * 13 + "px";
    name.title = `${span.service}: ${span.name}`;
    const fold = element("button", "fold", isParent ? (isFolded ? "▸" : "▾") : "");
    fold.type = "button";
    fold.tabIndex = -1;
    fold.setAttribute("aria-hidden", "true");
    fold.addEventListener("click", (event) => { event.stopPropagation(); this.fold(span); });
    name.append(fold, element("span", "dot"), element("span", "words", callName(span.short_name)), this.badges(span, hidden));

    const lane = element("div", "lane");
    lane.append(this.place(element("div", "bar"), span.offset_ms, span.duration_ms));
    for (const one of [span, ...hidden]) {
      for (const part of this.path.get(one.span_id) || []) {
        const note = this.gaps.get(`${one.span_id} ${part.offset_ms}`);
        const drawn = this.place(element("div", `path ${serviceClass(one.service)}${note ? " gap" : ""}`), part.offset_ms, part.duration_ms);
        drawn.title = [`${callName(one.short_name)} ${milliseconds(part.duration_ms)}`, note].filter(Boolean).join(", ");
        lane.append(drawn);
      }
    }
    for (const event of span.events) {
      const mark = element("div", "mark");
      mark.title = event.name.replaceAll("_", " ");
      mark.style.left = this.share(event.offset_ms) + "%";
      lane.append(mark);
    }
    row.append(name, lane, element("div", "num", milliseconds(span.duration_ms)), element("div", "num quiet", milliseconds(span.self_ms)));
    row.addEventListener("click", () => this.choose(span));
    row.addEventListener("keydown", (event) => this.key(event, span));
    return row;
  }

  // What a row and those folded into it have to say, each thing once; what has no room is counted.
  badges(span, hidden) {
    const made = element("span", "badges");
    const below = hidden.flatMap(badgesOf).filter(([, className]) => className !== "quiet");
    const said = [...new Map([...badgesOf(span), ...below].map((one) => [one[0], one])).values()];
    if (hidden.length) made.append(element("span", "quiet count", `${hidden.length} below`));
    made.append(...said.slice(0, BADGES).map(badge));
    if (said.length > BADGES) {
      const more = badge([`+${said.length - BADGES}`, "quiet"]);
      more.title = said.slice(BADGES).map(([text]) => text).join(", ");
      made.append(more);
    }
    return made;
  }

  key(event, span) {
    const rows = [...this.rows.children];
    const at = rows.findIndex((row) => row.dataset.span === span.span_id);
    const isFolded = this.folded.has(span.span_id);
    const go = (row) => row && this.focus(row.dataset.span);
    if (event.key === "Enter" || event.key === " ") this.choose(span);
    else if (event.key === "ArrowDown") go(rows[at + 1]);
    else if (event.key === "ArrowUp") go(rows[at - 1]);
    else if (event.key === "Home") go(rows[0]);
    else if (event.key === "End") go(rows[rows.length - 1]);
    else if (event.key === "ArrowRight") isFolded ? this.fold(span) : go(rows[at + 1]);
    else if (event.key === "ArrowLeft") this.parents.has(span.span_id) && !isFolded ? this.fold(span) : go(this.rowOf(span.parent_id));
    else return;
    event.preventDefault();
  }

  focus(id) {
    const before = this.rowOf(this.current);
    if (before) before.tabIndex = -1;
    this.current = id;
    this.rowOf(id).tabIndex = 0;
    this.rowOf(id).focus();
  }

  fold(span) {
    if (!this.parents.has(span.span_id)) return;
    if (!this.folded.delete(span.span_id)) this.folded.add(span.span_id);
    this.draw();
  }

  choose(span) {
    if (this.dragged) return;
    this.chosen = this.chosen === span ? undefined : span;
    this.current = span.span_id;
    this.details.hidden = !this.chosen;
    if (this.chosen) this.details.replaceChildren(...this.describe(span));
    this.draw();
  }

  describe(span) {
    const title = element("div", "title " + serviceClass(span.service));
    const times = `${span.service} · ${span.kind.toLowerCase()} · at ${milliseconds(span.offset_ms)} · took ${milliseconds(span.duration_ms)} · self ${milliseconds(span.self_ms)}`;
    const close = button("Close", () => this.choose(span));
    title.append(element("span", "dot"), element("b", "", span.name), element("span", "quiet", times), element("span", "spacer"), close);
    const list = element("dl");
    const line = (name, value) => {
      const pair = element("div");
      pair.append(element("dt", "", name), element("dd", "mono", value));
      list.append(pair);
    };
    for (const [name, value] of Object.entries(span.attributes)) line(name, typeof value === "string" ? value : JSON.stringify(value));
    for (const event of span.events) line(`event at ${milliseconds(event.offset_ms)}`, `${event.name} ${Object.keys(event.attributes).length ? JSON.stringify(event.attributes) : ""}`);
    line("span id", span.span_id + (span.parent_id ? `, below ${span.parent_id}` : ""));
    return [title, list];
  }

  drawAxis() {
    const [start, end] = this.view;
    const width = this.axis.clientWidth || 600;
    const wanted = (end - start) / Math.max(2, width / 90);
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= wanted);
    const [unit, size] = end >= 10000 && step >= 100 ? ["s", 1000] : ["ms", 1];
    const digits = Math.max(0, -Math.floor(Math.log10(step / size)));
    const first = this.trace.first_token_ms;
    const isShown = first !== null && first >= start && first <= end;
    const firstAt = isShown ? (this.share(first) * width) / 100 : Infinity;
    const ticks = [], lines = [];
    const at = (drawn, ms) => { drawn.style.left = this.share(ms) + "%"; return drawn; };
    for (let ms = Math.ceil(start / step) * step; ms < end; ms += step) {
      lines.push(at(element("div", "line"), ms));
      const x = (this.share(ms) * width) / 100;
      const isCovered = x > firstAt - 56 && x < firstAt + 84;
      if (!isCovered && x < width - 48) ticks.push(at(element("span", "", `${(ms / size).toFixed(digits)} ${unit}`), ms));
    }
    if (isShown) {
      const mark = at(element("b", firstAt > width - 84 ? "left" : "", "first token"), first);
      ticks.push(mark);
      lines.push(at(element("div", "line first"), first));
    }
    this.axis.replaceChildren(...ticks);
    this.lines.replaceChildren(...lines);
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
      context.fillRect((span.offset_ms / this.length) * box.width, index * height, Math.max(1, (span.duration_ms / this.length) * box.width), Math.max(1, Math.min(4, height - 0.5)));
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
