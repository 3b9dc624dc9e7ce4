// The status page: reads, never changes. Host names, subjects and details are what strangers wrote: they become
// text nodes and nothing else, and the page's policy forbids what would turn text into markup.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const ROWS = 200; // Rows of the table.
const HISTORY = 120; // Seconds of the small graph.
const EVERY = 2000; // Milliseconds between two looks at the status.
const PATIENCE = 6000; // For an answer.
const SILENCE = 30000; // The stream says something every 10 s.

// --- making elements -------------------------------------------------------------------------------------------

function make(tag, { text, name, title } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = visible(text);
  if (name) element.className = name;
  if (title) element.title = visible(title);
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

// Marks that turn the direction of text, and controls, are shown and not obeyed.
function visible(text) {
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (mark) => "\\u{" + mark.codePointAt(0).toString(16) + "}",
  );
}

function show(id, text) {
  const element = byId(id);
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

const list = (value) => (Array.isArray(value) ? value : []);
const badge = (text, kind) => make("span", { text, name: "badge " + (kind ?? "") });
const cell = (text, name, title) => make("td", { text, name, title });

// --- numbers ---------------------------------------------------------------------------------------------------

const grouped = new Intl.NumberFormat("en");
const count = (number) => grouped.format(Number(number) || 0);

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = Number(number) || 0;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return (unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)) + " " + units[unit];
}

function micros(number) {
  if (number === null || number === undefined) return "–";
  if (number < 1000) return number + " µs";
  if (number < 1e6) return (number / 1e3).toFixed(number < 1e4 ? 1 : 0) + " ms";
  return (number / 1e6).toFixed(1) + " s";
}

function span(seconds) {
  const s = Math.max(0, Math.floor(Number(seconds) || 0));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

function clock(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString("en-GB");
}

const short = (digest) => (digest ? String(digest).slice(0, 12) : "–");

// --- the table of what happens ---------------------------------------------------------------------------------

const seen = []; // Newest first.
let paused = false;
let waiting = []; // What came while paused.
let newest = 0;

const RATES = { all: new Array(HISTORY).fill(0), denied: new Array(HISTORY).fill(0) };
let now = { all: 0, denied: 0 };

function take(row) {
  if (!row || typeof row !== "object") return;
  if (row.seq) {
    if (row.seq <= newest) return;
    newest = row.seq;
  }
  if (row.event === "decision" || row.event === "refused") {
    now.all += 1;
    if (isRefusal(row)) now.denied += 1;
  }
  if (row.event === "skipped") now.all += Number(row.count) || 0;
  const queue = paused ? waiting : seen;
  queue.unshift(row);
  queue.length = Math.min(queue.length, ROWS);
  if (paused) {
    show("pause", "Resume (" + waiting.length + ")");
    return;
  }
  soon();
}

const isRefusal = (row) => row.event === "refused" || row.verdict === "deny" || Boolean(row.would_deny);
const isOther = (row) => row.event !== "decision" && row.event !== "refused";

function wanted(row) {
  const which = byId("which").value;
  if (which === "denied" && !isRefusal(row)) return false;
  if (which === "other" && !isOther(row)) return false;
  const words = byId("find").value.trim().toLowerCase();
  return words === "" || JSON.stringify(row).toLowerCase().includes(words);
}

// Many events in one frame are drawn once.
let drawing = false;
function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const rows = seen.filter(wanted).map(line);
    byId("rows").replaceChildren(...rows);
    byId("rows-none").hidden = seen.length > 0;
  });
}

function line(row) {
  const [verdict, kind] = ruling(row);
  const why = make("td", { name: "host" });
  if (row.code) why.append(make("span", { text: [row.stage, row.code].filter(Boolean).join(" ") }));
  const detail = explained(row);
  if (detail) why.append(make("span", { text: detail, name: "detail" }));
  return make(
    "tr",
    {},
    cell(clock(row.time), "time", row.time),
    make("td", {}, badge(verdict, kind)),
    target(row),
    who(row),
    why,
    cell(took(row), "right", stages(row.timings)),
  );
}

function ruling(row) {
  switch (row.event) {
    case "decision":
      if (row.would_deny) return ["would deny", "warn"];
      if (row.verdict === "allow") return ["allow", "good"];
      return [row.verdict, row.verdict === "deny" ? "bad" : "warn"];
    case "refused":
      return ["refused", "bad"];
    case "trouble":
      return ["trouble", "bad"];
    case "policy":
      return ["policy", row.change === "kept" ? "bad" : ""];
    default:
      return [row.event ?? "", ""];
  }
}

function explained(row) {
  const would = row.would_deny;
  switch (row.event) {
    case "decision":
      if (would) return [would.code, would.detail].filter(Boolean).join(": ");
      return row.detail ?? (row.dialed ? row.dialed + (row.reused ? ", kept connection" : "") : "");
    case "end":
      return row.closing + ", " + bytes(row.up) + " up, " + bytes(row.down) + " down";
    case "tunnel":
      return "saw " + (row.seen ?? "no name") + (row.enforced ? ", closed" : "");
    case "policy":
      return changed(row);
    case "shadow":
      return "active: " + verdictOf(row.active) + "; candidate: " + verdictOf(row.candidate);
    case "reload":
      return row.what + (row.error ? ": " + row.error : "");
    case "trouble":
      return row.what + ": " + row.detail;
    case "phase":
      return row.phase;
    case "skipped":
      return count(row.count) + " more were not shown";
    default:
      return row.detail ?? "";
  }
}

const verdictOf = (ruling) => (ruling?.code ? "deny " + ruling.code : (ruling?.verdict ?? "allow"));

function target(row) {
  const at = make("td", { name: "host" });
  if (row.authority) at.append(make("code", { text: row.authority }));
  if (row.method || row.kind) at.append(make("span", { text: row.method ?? row.kind, name: "detail" }));
  return at;
}

function who(row) {
  const at = make("td", { name: "host" });
  if (row.subject) at.append(make("span", { text: row.subject }));
  if (row.client) at.append(make("span", { text: row.client, name: "detail" }));
  return at;
}

function took(row) {
  if (row.event === "end") return span((Number(row.lasted_ms) || 0) / 1000);
  if (!row.timings) return "";
  return micros(Object.values(row.timings).reduce((sum, time) => sum + (Number(time) || 0), 0));
}

const stages = (timings) =>
  timings ? Object.entries(timings).map(([step, time]) => step.replace("_us", "") + " " + micros(time)).join(", ") : "";

function changed(row) {
  const by = row.trigger ? " (" + row.trigger + ")" : "";
  switch (row.change) {
    case "active":
      return "generation " + row.generation + " is active" + by;
    case "rolled-back":
      return "went back; generation " + row.generation + " is active" + by;
    case "kept":
      return "refused at " + row.step + by + ": " + row.error;
    case "files-not-in-effect":
      return "the files are not in effect, what an operator made active stays" + by;
    case "reviewed":
      return "generation " + row.generation + ": " + count(row.kept) + " open connections kept, " + count(row.closed) + " closed in " + row.took_ms + " ms";
    case "shadow":
      return row.candidate ? "candidate " + row.candidate.name + " " + short(row.candidate.digest) + " watches" + by : "no candidate watches" + by;
    default:
      return String(row.change ?? "");
  }
}

// --- the stream ------------------------------------------------------------------------------------------------

let source;
let heard = 0;

function listen() {
  source?.close();
  heard = Date.now();
  source = new EventSource("decisions");
  source.onopen = () => linked(true);
  source.onerror = () => linked(false);
  const kinds = ["decision", "end", "refused", "tunnel", "policy", "shadow", "reload", "trouble", "phase", "skipped"];
  for (const kind of kinds) {
    source.addEventListener(kind, (event) => {
      heard = Date.now();
      linked(true);
      try {
        take(JSON.parse(event.data));
      } catch {
        // A row that is no JSON is left out.
      }
    });
  }
}

function linked(up) {
  const element = byId("link");
  element.className = "badge " + (up ? "good" : "bad");
  show("link", up ? "live" : "disconnected");
  if (up) heard = Date.now();
}

// The browser tries again by itself, unless the answer was an error: then this does.
function watch() {
  if (source.readyState === EventSource.CLOSED || (source.readyState === EventSource.CONNECTING && Date.now() - heard > SILENCE)) {
    linked(false);
    listen();
  }
}

// --- what is looked at again and again ---------------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE) });
  const value = await answer.json();
  if (!answer.ok) throw new Error((value?.error?.code ?? answer.status) + ": " + (value?.error?.hint ?? ""));
  return value;
}

async function look() {
  try {
    const [status, policies, connections, denials, shadow] = await Promise.all([
      get("status"),
      get("policies"),
      get("connections?limit=100"),
      get("denials?limit=0"),
      get("shadow"),
    ]);
    showStatus(status);
    showPolicies(status, policies);
    showConnections(connections);
    showReasons(denials);
    showShadow(shadow);
    byId("error").hidden = true;
    document.body.classList.remove("stale");
  } catch (error) {
    const message = error?.name === "TypeError" || error?.name === "TimeoutError" ? "The gateway does not answer. What is shown is old." : String(error?.message ?? error);
    if (byId("error").hidden || byId("error").textContent !== message) show("error", message);
    byId("error").hidden = false;
    document.body.classList.add("stale");
  }
}

function showStatus(status) {
  const phase = byId("phase");
  phase.className = "badge " + (status.phase === "ready" ? "good" : "warn");
  show("phase", status.phase ?? "unknown");
  show("version", status.version ? "version " + status.version : "");
  show("uptime", "up " + span(status.uptime_s));
  const counts = status.traffic?.counts ?? {};
  for (const name of ["allowed", "denied", "refused", "failed"]) show(name, count(counts[name]));
  show("would-deny", count(counts.would_deny));
  showReport(status.report ?? {});
  const reloads = Object.entries(status.last_reload_error ?? {});
  byId("reloads").hidden = reloads.length === 0;
  show("reloads", reloads.map(([what, told]) => "Not reloaded: " + what + ": " + told.error).join("\n"));
  show("generation", status.policy?.generation ?? "–");
  const listener = list(status.listeners).find((each) => String(each.bind).includes(":") && !/^(unix|systemd):/.test(each.bind));
  if (listener) show("try", "curl -x http" + (listener.tls ? "s" : "") + "://" + listener.bind + " https://example.com/");
  showLatency(status.traffic?.latency ?? {});
  showLimits(status);
}

function showReport(report) {
  const subjects = list(report.subjects);
  byId("report").hidden = !report.all && subjects.length === 0;
  const whom = report.all ? "everybody" : subjects.join(", ");
  show("report", "Report mode: what the policy denies is let through, for " + whom + ".");
}

function showPolicies(status, policies) {
  const active = list(status.policy?.policies);
  byId("policies").replaceChildren(
    ...active.map((policy) =>
      make(
        "tr",
        {},
        cell((policy.layer ? policy.layer + ": " : "") + policy.name, "host"),
        make("td", { name: "short" }, make("code", { text: short(policy.digest), title: policy.digest })),
        make("td", { name: "short" }, make("code", { text: short(policy.settings_digest), title: policy.settings_digest })),
      ),
    ),
  );
  const from = status.policy?.source;
  const sources = { admin: "Swapped in by an operator: the files are not in effect until they change, or `pinfold gateway reload` puts them back.", rollback: "Gone back to: the files are not in effect until they change, or `pinfold gateway reload` puts them back.", files: "The files are not in effect: they were refused." };
  show("source", status.policy?.files_in_effect ? "As in the files." : (sources[from] ?? ""));
  const error = status.policy?.last_error;
  byId("kept").hidden = !error;
  if (error) show("kept", "The last change was refused at " + error.step + ": " + error.error);
  const changes = list(policies.changes);
  byId("changes").replaceChildren(...changes.map((row) => make("li", {}, make("time", { text: clock(row.time), title: row.time }), " ", make("span", { text: row.event === "policy" ? changed(row) : row.event + ": " + explained(row) }))));
  byId("changes-none").hidden = changes.length > 0;
}

function showConnections(connections) {
  const open = list(connections.connections);
  show("open", count(connections.open ?? open.length));
  byId("connections").replaceChildren(
    ...open.map((each) =>
      make(
        "tr",
        {},
        make("td", { name: "short" }, make("code", { text: each.request_id ?? "" })),
        cell(each.kind),
        make("td", { name: "host" }, make("code", { text: each.authority })),
        make("td", { name: "short" }, make("code", { text: each.dialed ?? "–" })),
        who(each),
        cell((each.policy ?? "") + " " + (each.generation ?? ""), "", each.digest),
        cell(span((Number(each.age_ms) || 0) / 1000), "right"),
        cell(bytes(each.up), "right"),
        cell(bytes(each.down), "right"),
      ),
    ),
  );
  byId("connections-none").hidden = open.length > 0;
  const more = (connections.open ?? 0) - open.length;
  show("connections-more", more > 0 ? "and " + count(more) + " more" : "");
}

function showReasons(denials) {
  const reasons = list(denials.by_reason).slice(0, 15);
  const most = Math.max(1, ...reasons.map((reason) => Number(reason.count) || 0));
  byId("reasons").replaceChildren(...reasons.map((reason) => gauge(reason.stage + " " + reason.code, count(reason.count), reason.count / most)));
  byId("reasons-none").hidden = reasons.length > 0;
}

// A name, a number, and a bar for a part of one.
function gauge(name, text, part, full) {
  const width = Math.max(0, Math.min(1, Number(part) || 0)) * 100;
  const bar = draw(
    "svg",
    { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("rect", { class: "back", width: 100, height: 4, rx: 1 }),
    draw("rect", { class: full ? "full" : "", width: Math.max(width, width > 0 ? 0.5 : 0), height: 4, rx: 1 }),
  );
  return make("li", {}, make("span", { text: name, name: "name" }), make("span", { text, name: "count" }), bar);
}

function showLatency(latency) {
  const steps = { target: "judge the target", resolve: "look the name up", addresses: "judge the addresses", connect: "connect" };
  const known = Object.keys(steps).filter((step) => latency[step]);
  const most = Math.max(1, ...known.map((step) => Number(latency[step].p99_us) || 0));
  // From 1 µs to the slowest, each power of ten as wide as the next.
  const place = (time) => (time > 0 && most > 1 ? (Math.log(Math.max(1, time)) / Math.log(most)) * 100 : 0);
  byId("latency").replaceChildren(
    ...known.map((step) => {
      const { p50_us: p50, p99_us: p99 } = latency[step];
      const [from, to] = [place(p50), place(p99)];
      const bar = draw(
        "svg",
        { viewBox: "0 0 100 7", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("rect", { class: "back", y: 3, width: 100, height: 1 }),
      );
      if (to > 0) bar.append(draw("rect", { x: Math.min(from, 98), width: Math.max(2, to - from), height: 7, rx: 1 }));
      return make("tr", {}, cell(steps[step]), make("td", {}, bar), cell(micros(p50), "right"), cell(micros(p99), "right"));
    }),
  );
  show("latency-note", "Over the last " + count(latency.target?.count) + " decisions, on a logarithmic scale.");
}

function showLimits(status) {
  const limits = list(status.limits).filter((limit) => Number(limit.limit) > 0);
  byId("limits").replaceChildren(
    ...limits.map((limit) => {
      const part = limit.used / limit.limit;
      return gauge(String(limit.name).replaceAll("_", " "), count(limit.used) + " of " + count(limit.limit), part, part >= 0.9);
    }),
  );
  const dropped = Object.entries(status.dropped ?? {});
  const lost = dropped.some(([, number]) => Number(number) > 0);
  show("losses", status.log_problem ? "The decision log cannot be written: " + status.log_problem : lost ? "Dropped because somebody was too slow: " + dropped.map(([what, number]) => what.replaceAll("_", " ") + " " + count(number)).join(", ") + "." : "");
}

function showShadow(shadow) {
  const candidate = shadow.candidate;
  show(
    "shadow-state",
    candidate
      ? (shadow.watching ? "Watches: " : "Watched until it was stopped: ") + candidate.name + " " + short(candidate.digest) + ", settings " + short(candidate.settings_digest) + ". Compared " + count(shadow.compared) + ": looser in " + count(shadow.loosened) + ", stricter in " + count(shadow.tightened) + ", other reason in " + count(shadow.other_reason) + ". Dropped " + count(shadow.dropped) + "."
      : "No candidate watches. Start one with: pinfold gateway shadow start",
  );
  const pairs = list(shadow.differences);
  byId("shadow-table").hidden = pairs.length === 0;
  byId("shadow-pairs").replaceChildren(
    ...pairs.map((pair) => {
      const loosens = pair.loosens ? badge("loosens", "warn") : "";
      return make("tr", {}, cell(pair.active, "host"), make("td", { name: "host" }, make("span", { text: pair.candidate + " " }), loosens), cell(count(pair.count), "right"));
    }),
  );
  byId("shadow-sample").replaceChildren(
    ...pairs
      .flatMap((pair) => list(pair.latest).map((sample) => ({ ...sample, pair })))
      .sort((a, b) => String(b.at).localeCompare(String(a.at)))
      .slice(0, 20)
      .map((sample) =>
        make("li", {}, make("time", { text: clock(sample.at), title: sample.at }), " ", make("code", { text: sample.authority ?? "" }), " ", make("span", { text: sample.pair.active + " → " + sample.pair.candidate }), make("span", { text: sample.subject ?? "", name: "detail" })),
      ),
  );
}

// --- the small graph -------------------------------------------------------------------------------------------

function tick() {
  for (const name of ["all", "denied"]) {
    RATES[name].push(now[name]);
    RATES[name].shift();
  }
  show("rate", count(now.all));
  now = { all: 0, denied: 0 };
  const most = Math.max(1, ...RATES.all);
  const path = (values) => "M" + values.map((value, at) => ((at * 240) / (HISTORY - 1)).toFixed(1) + "," + (38 - (value / most) * 36).toFixed(1)).join("L");
  byId("rates").replaceChildren(draw("path", { d: path(RATES.all) }));
  if (RATES.denied.some(Boolean)) byId("rates").prepend(draw("path", { class: "denied", d: path(RATES.denied) }));
}

// --- begin -----------------------------------------------------------------------------------------------------

byId("which").addEventListener("change", soon);
byId("find").addEventListener("input", soon);
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) {
    seen.unshift(...waiting);
    seen.length = Math.min(seen.length, ROWS);
    waiting = [];
    show("pause", "Pause");
    soon();
  } else {
    show("pause", "Resume");
  }
});

async function again() {
  if (!document.hidden) {
    await look();
    watch();
  }
  setTimeout(again, EVERY);
}

listen();
again();
setInterval(tick, 1000);
