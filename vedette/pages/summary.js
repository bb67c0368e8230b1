// The head of a trace: how it ended, how long it took, and where the time went.

const SHARES_NAMED = 6;
const SHADES = [100, 70, 48, 32];

// The critical path added up by kind of span, the largest first.
function sharesOf(trace) {
  const byId = new Map(trace.spans.map((span) => [span.span_id, span]));
  const gaps = new Map(trace.gaps.map((gap) => [gap.span_id, gap.note]));
  const found = new Map();
  for (const part of trace.critical_path) {
    const span = byId.get(part.span_id);
    const key = `${span.service} ${span.short_name}`;
    const kind = found.get(key) || { span, ids: new Set(), ms: 0, notes: new Set() };
    kind.ms += part.duration_ms;
    kind.ids.add(span.span_id);
    if (gaps.has(span.span_id)) kind.notes.add(gaps.get(span.span_id));
    found.set(key, kind);
  }
  const kinds = [...found.values()].sort((a, b) => b.ms - a.ms);
  const total = kinds.reduce((sum, kind) => sum + kind.ms, 0) || 1;
  const seen = {};
  for (const kind of kinds) {
    kind.share = kind.ms / total;
    // Kinds of one service differ in shade, or one could not tell where one ends.
    const nth = (seen[kind.span.service] = (seen[kind.span.service] ?? -1) + 1);
    kind.shade = SHADES[Math.min(nth, SHADES.length - 1)];
  }
  return kinds;
}

function nameOf(kind) {
  return callName(kind.span.short_name) + (kind.ids.size > 1 ? ` ×${kind.ids.size}` : "");
}

function shadeOf(kind) {
  return `color-mix(in srgb, var(--mine) ${kind.shade}%, var(--panel))`;
}

function drawShares(trace) {
  const kinds = sharesOf(trace);
  const bar = element("div", "shares");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", "Where the time went");
  const named = element("div", "keys");
  for (const [index, kind] of kinds.entries()) {
    const words = `${nameOf(kind)} ${milliseconds(kind.ms)} (${percent(kind.share)})`;
    const notes = [...kind.notes];
    const part = element("div", serviceClass(kind.span.service) + (notes.length ? " gap" : ""));
    part.style.flexGrow = kind.ms;
    if (!notes.length) part.style.background = shadeOf(kind);
    part.title = [`${kind.span.service}: ${words}`, ...notes].join("; ");
    bar.append(part);
    if (index >= SHARES_NAMED || kind.share < 0.005) continue;
    const key = element("span", "key " + serviceClass(kind.span.service), "");
    const dot = element("span", "dot square" + (notes.length ? " gap" : ""));
    if (!notes.length) dot.style.background = shadeOf(kind);
    key.append(dot, element("b", "", nameOf(kind)), ` ${milliseconds(kind.ms)} (${percent(kind.share)})`);
    key.title = part.title;
    named.append(key);
  }
  return [bar, named];
}

function drawCause(trace) {
  const cause = trace.cause;
  const line = element("p", "cause " + serviceClass(cause.service));
  const times = cause.count > 1 ? ` in ${cause.count} spans` : "";
  line.append("Mostly ", element("b", "name", callName(cause.name)), `${times}, ${milliseconds(cause.duration_ms)} (${percent(cause.share)}): ${cause.words}.`);
  return line;
}

function drawSummary(trace) {
  const panel = element("section", "panel summary");
  const title = element("h1");
  title.append(element("span", "big num", milliseconds(trace.duration_ms)), element("span", "pill is-" + kindOf(trace.outcome), trace.outcome.replaceAll("_", " ")), element("span", "call", methodName(trace.short_name)));
  const id = button("copy id", () => {
    navigator.clipboard?.writeText(trace.trace_id);
    id.textContent = "copied";
    setTimeout(() => { id.textContent = "copy id"; }, 1500);
  });
  const began = new Date(trace.start_unix_nano / 1e6);
  const when = `${began.toLocaleDateString("sv-SE")} ${clock(began)}`;
  const where = element("div", "where quiet");
  where.append(when, element("code", "", trace.trace_id), id);
  const head = element("div", "top");
  head.append(title, where);

  const facts = element("div", "facts");
  const fact = (name, value, className) => {
    const one = element("div", "", name + " ");
    one.append(element("b", className || "", value));
    facts.append(one);
  };
  if (trace.first_token_ms !== null) fact("first token after", milliseconds(trace.first_token_ms));
  if (trace.tokens_per_s !== null) fact("decoding", trace.tokens_per_s.toFixed(0) + " tokens/s");
  fact("spans", `${trace.spans.length} from ${trace.services.length} ${trace.services.length > 1 ? "services" : "service"}`);
  if (trace.guards) {
    const said = [trace.guards.action.toLowerCase(), ...trace.guards.categories, ...trace.guards.not_run];
    const isQuiet = trace.guards.action === "ALLOW" && said.length === 1;
    fact("guards", said.filter(Boolean).join(" "), trace.guards.action === "BLOCK" || trace.guards.not_run.length ? "bad" : isQuiet ? "" : "warn");
  }
  if (trace.degradations.length) fact("reduced", trace.degradations.join(", "), "warn");
  for (const hop of trace.missing_hops) fact("missing", hop, "bad");
  if (trace.orphans.length) fact("orphans", String(trace.orphans.length), "bad");

  panel.append(head, facts);
  if (trace.cause) panel.append(drawCause(trace), ...drawShares(trace));
  return panel;
}
