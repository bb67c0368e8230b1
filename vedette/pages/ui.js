// The live page: asks its server every two seconds and draws what it says.

const POLL_MS = 2000;
const ROWS = 200;
const byId = (id) => document.getElementById(id);
const began = (trace) => trace.start_unix_nano / 1e6;
const page = { traces: [], figures: [], paused: false, chosen: "" };

function inRange() {
  const minutes = Number(byId("minutes").value);
  const from = minutes ? Date.now() - minutes * 60000 : 0;
  return page.traces.filter((trace) => began(trace) >= from);
}

function empty() {
  const made = element("div", "empty");
  if (page.traces.length) {
    made.append(element("h2", "", "No trace meets these conditions"), "Look further back, or find something else.");
    return made;
  }
  made.append(element("h2", "", "No requests yet"), "Start the services and ask something; it appears here by itself.");
  made.append(element("br"), element("pre", "mono", 'vedette up\nvedette ask "Why is the sky blue?"'));
  return made;
}

function drawList(traces) {
  const words = byId("words").value.trim().toLowerCase();
  const found = traces.filter((trace) => !words || JSON.stringify(trace).toLowerCase().includes(words));
  const longest = Math.max(1, ...found.slice(0, ROWS).map((trace) => trace.duration_ms));
  const focused = document.activeElement?.dataset?.trace;
  const table = element("table");
  const head = element("tr");
  for (const [title, className] of [["began"], ["outcome"], ["took", "took"], ["first token", "num"], ["mostly"], ["call"], ["services"], ["spans", "num"], ["notes", "wide"], ["trace"]]) head.append(element("th", className, title));
  table.append(head, ...found.slice(0, ROWS).map((trace) => listRow(trace, longest)));
  byId("list").replaceChildren(found.length ? table : empty());
  byId("shown").textContent = found.length > ROWS ? `the latest ${ROWS} of ${found.length}` : `${found.length}`;
  byId("tools").hidden = !page.traces.length;
  if (focused) byId("list").querySelector(`[data-trace="${focused}"]`)?.focus();
}

function listRow(trace, longest) {
  const row = element("tr", trace.trace_id === page.chosen ? "chosen" : "");
  row.tabIndex = 0;
  row.dataset.trace = trace.trace_id;
  const cell = (text, className, ...inside) => {
    const made = element("td", className, text);
    made.append(...inside);
    row.append(made);
  };
  cell(clock(began(trace)), "num");
  cell("", "", outcomePill(trace.outcome));
  const took = element("div"), length = element("div", "length is-" + kindOf(trace.outcome));
  length.style.width = (90 * trace.duration_ms) / longest + "px";
  took.append(element("span", "num", milliseconds(trace.duration_ms)), length);
  cell("", "took", took);
  cell(trace.first_token_ms === null ? "" : milliseconds(trace.first_token_ms), "num");
  const cause = element("span", "key " + (trace.cause ? serviceClass(trace.cause.service) : ""));
  if (trace.cause) {
    cause.append(element("span", "dot square"), `${callName(trace.cause.short_name)} ${percent(trace.cause.share)}`);
    cause.title = trace.cause.words;
  }
  cell("", "", cause);
  cell(methodName(trace.short_name));
  const dots = element("div", "dots");
  for (const service of trace.services) {
    const one = element("span", serviceClass(service));
    one.title = service;
    one.append(element("span", "dot"));
    dots.append(one);
  }
  dots.setAttribute("aria-label", trace.services.join(", "));
  cell("", "", dots);
  cell(String(trace.span_count), "num quiet");
  const guards = trace.guards;
  const said = guards && (guards.categories.length || guards.not_run.length) ? [guards.action.toLowerCase(), ...guards.categories, ...guards.not_run] : [];
  cell([...said, ...trace.degradations].filter(Boolean).join(" "), "wide " + (guards?.not_run.length ? "bad" : guards?.action === "BLOCK" || trace.degradations.length ? "warn" : ""));
  cell(trace.trace_id.slice(0, 12), "mono quiet");
  const open = () => { location.hash = trace.trace_id; };
  row.addEventListener("click", open);
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter") open();
    else if (event.key === "ArrowDown") row.nextElementSibling?.focus();
    else if (event.key === "ArrowUp" && row.previousElementSibling?.tabIndex === 0) row.previousElementSibling.focus();
    else return;
    event.preventDefault();
  });
  return row;
}

function drawHealth(health) {
  byId("health").replaceChildren(...Object.entries(health).map(([service, status]) => {
    const one = element("span", "state" + (status === "SERVING" ? " serving" : ""));
    one.append(element("span", "dot"), service, element("span", "status", status.toLowerCase().replaceAll("_", " ")));
    return one;
  }));
}

function draw() {
  const traces = inRange();
  const minutes = Number(byId("minutes").value);
  byId("plots").hidden = !page.traces.length;
  drawFigures(page.figures);
  if (page.traces.length) {
    drawRequests(traces, minutes);
    drawLatency(traces, minutes);
    drawGuards(traces);
  }
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
      page.figures = (await ask("api/metrics")).figures;
      const isFirst = !page.traces.length;
      page.traces = said.traces;
      if (isFirst) chooseRange();
      drawHealth(said.health);
      byId("updated").textContent = `as of ${clock(Date.now())}`;
      byId("lost").textContent = "";
      draw();
    } catch {
      byId("lost").textContent = "vedette ui does not answer";
    }
  }
  setTimeout(update, POLL_MS);
}

// The address names the trace that is shown; without one, all of them are.
async function show() {
  const before = page.chosen;
  page.chosen = decodeURIComponent(location.hash.slice(1));
  byId("overview").hidden = byId("controls").hidden = Boolean(page.chosen);
  byId("one").hidden = !page.chosen;
  if (page.chosen) {
    try {
      new Waterfall(byId("trace"), await ask("api/traces/" + encodeURIComponent(page.chosen)));
      window.scrollTo(0, 0);
    } catch {
      byId("trace").replaceChildren(element("div", "panel", `The trace ${page.chosen} is not there.`));
    }
  }
  draw();
  if (before && !page.chosen) byId("list").querySelector(`[data-trace="${before}"]`)?.focus();
}

byId("words").addEventListener("input", () => drawList(inRange()));
byId("minutes").addEventListener("change", draw);
byId("pause").addEventListener("click", () => {
  page.paused = !page.paused;
  byId("pause").textContent = page.paused ? "Go on" : "Pause";
});
byId("back").addEventListener("click", () => { location.hash = ""; });
window.addEventListener("resize", draw);
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && page.chosen) location.hash = "";
});
window.addEventListener("hashchange", show);
update().then(show);
