// What runs at SailPoint, what failed, and what waits for it. No library.
// What comes from a tenant is set as text, never as markup.

const REFRESH = 5000, SOON = 2000, RETRY = 15000, ROWS = 40, MORE = 200, HOUR = 3600e3;
const SVG = "http://www.w3.org/2000/svg";
const FILTERS = ["connection", "hours", "q", "kind", "state"];
const STATES = { queued: "queued", running: "running", late: "longer than usual", stuck: "stuck" };
const AIRFLOW = new URL("../../", location.href);
const $ = (id) => document.getElementById(id);

let connections = [], overview = null, past = null, pastHours = "";
let skew = 0, timer = 0, generation = 0, problem = "";
const shown = {}; // how many rows of a table, where that is more than at first

// ---- Airflow around this page

function outer() {
  try { return window.parent === window ? null : window.parent.document; } catch { return null; }
}

// In Airflow's own URL too, so that a reload keeps the filters.
function remember(query) {
  for (const { history, location } of [window, outer()?.defaultView ?? window]) {
    history.replaceState(history.state, "", `${location.pathname}?${query}`);
  }
}

function followTheme() {
  const root = outer()?.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const dark = root ? root.classList.contains("dark") : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  if (root) new MutationObserver(apply).observe(root, { attributes: true });
  system.addEventListener("change", apply);
  apply();
}

function timeZone() {
  let zone = localStorage.getItem("timezone") || "UTC";
  try { zone = JSON.parse(zone); } catch { /* it has no quotes */ }
  try { new Intl.DateTimeFormat("sv", { timeZone: zone }); return zone; } catch { return "UTC"; }
}

// A frame in a sandbox can't leave itself; the page around it can.
function go(href, target) {
  const link = (outer() ?? document).createElement("a");
  Object.assign(link, { href, target, rel: "noreferrer" }).click();
}

// ---- words

const now = () => Date.now() + skew;

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60);
  if (s < 60) return `${s} s`;
  if (m < 60) return m < 10 && s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
  return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} d ${h % 24} h`;
}

function clock(ms, options = { dateStyle: "short", timeStyle: "medium" }) {
  return new Intl.DateTimeFormat(options.timeStyle === "medium" ? "sv" : "en-GB", { ...options, timeZone: timeZone() }).format(ms);
}

function ago(ms) {
  if (ms == null) return "none known";
  return ["time", { datetime: new Date(ms).toISOString(), title: `${clock(ms)} ${timeZone()}` }, `${duration(now() - ms)} ago`];
}

// ---- elements: [tag, attributes, ...children]; a string is text

function build(spec, space) {
  if (typeof spec === "string") return document.createTextNode(spec);
  const [tag, attributes, ...children] = spec, own = tag === "svg" ? SVG : space;
  const element = own ? document.createElementNS(own, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => build(child, own)));
  return element;
}

function set(element, parts, className) {
  const signature = JSON.stringify(parts);
  if (element.signature === signature) return;
  element.signature = signature;
  if (className != null) element.className = className;
  element.replaceChildren(...parts.map((part) => build(part)));
}

const button = (act, id, text, label, className = "") => [
  "button", { type: "button", "data-act": act, "data-id": id, class: className, "aria-label": label }, text];

// What has not changed is not touched, so that focus and selection stay.
function fill(id, items, cellsOf, keyOf = (item) => item.id) {
  const table = $(id), body = table.tBodies[0], active = document.activeElement, limit = shown[id] ?? ROWS;
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  items.slice(0, limit).forEach((item, place) => {
    const key = keyOf(item), cells = cellsOf(item);
    const row = old.get(key) ?? build(["tr", { "data-key": key }, ...cells.map((_, n) => (n ? ["td", {}] : ["th", { scope: "row" }]))]);
    old.delete(key);
    cells.forEach(([className, ...parts], n) => set(row.cells[n], parts, className));
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of old.values()) row.remove();
  table.hidden = !items.length;
  note(table.nextElementSibling, items.length - limit, id, !items.length);
  if (active?.isConnected && active !== document.activeElement) active.focus({ preventScroll: true });
}

function note(element, more, id, isEmpty) {
  set(element, more > 0 ? [`${more} more. `, button("more", id, "Show more", "Show more rows", "link")] : [isEmpty ? element.dataset.nothing : ""]);
}

// ---- the api-server

async function send(path, change) {
  const headers = { "Content-Type": "application/json", "X-SailPoint-Page": "1" };
  const response = await fetch(`api/${path}`, change && { method: "POST", headers, body: JSON.stringify(change) });
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401) throw new Error("Your login has ended. Reload Airflow's page.");
  throw new Error(body.message ?? String(body.detail ?? `The api-server answered with ${response.status}.`));
}

const ask = (path, change) => send(`${encodeURIComponent($("connection").value)}/${path}`, change);

async function refresh() {
  clearTimeout(timer);
  if (document.hidden || !$("connection").value) return;
  const mine = ++generation, hours = $("hours").value;
  let wait = RETRY;
  try {
    const newer = await ask("overview");
    if (mine !== generation) return;
    [overview, skew, problem] = [newer, newer.now - Date.now(), ""];
    if (!past || past.version !== overview.version || pastHours !== hours) {
      render(); // what runs doesn't wait for what has ended
      const ended = await ask(`history?hours=${hours}`);
      if (mine !== generation) return;
      [past, pastHours] = [ended, hours];
    }
    wait = past.version === overview.version ? REFRESH : SOON;
  } catch (error) {
    if (mine !== generation) return;
    problem = error instanceof TypeError ? "Airflow's api-server doesn't answer." : error.message;
  }
  render();
  timer = setTimeout(refresh, wait);
}

// ---- what is shown

function render() {
  const state = $("state").value, q = $("q").value.trim().toLowerCase(), kind = $("kind").value;
  const { tasks = [], gates = [] } = overview ?? {}, { sources = [], tasks: ended = [] } = past ?? {};
  const matches = (name, kinds) => name.toLowerCase().includes(q) && (!kind || kinds.includes(kind));
  const isKnown = overview?.read_at != null;
  for (const section of document.querySelectorAll("section")) section.hidden = !isKnown;
  const unknown = problem || overview?.outage ? "Nothing is known of SailPoint" : "Loading …";
  set($("summary"), [isKnown ? overview.summary : unknown]);
  notify();
  tick();
  if (!isKnown) return;
  offerKinds([...tasks, ...ended]);
  const change = connections.find((each) => each.id === $("connection").value)?.can_change;
  const lateness = (task) => ["late", "stuck"].indexOf(task.state);
  const pending = tasks.filter((task) => matches(task.name, [task.kind]) && state !== "failed" && (state !== "late" || lateness(task) >= 0))
    .sort((a, b) => lateness(b) - lateness(a) || a.start - b.start);
  const done = ended.filter((task) => matches(sources[task.source].name, [task.kind]));
  const failures = done.filter((task) => task.failed), runs = state === "failed" ? failures : state ? [] : done;
  const chosen = sources.filter((source) => source.id && matches(source.name, source.kinds) && (state !== "failed" || source.is_failing))
    .sort((a, b) => b.is_failing - a.is_failing);
  fill("pending", pending, (task) => pendingCells(task, gates, change));
  fill("gates", gates, gateCells, (gate) => gate.path);
  if (past) {
    fill("failures", failures, (task) => failureCells(task, sources));
    fill("sources", chosen, (source) => sourceCells(source, change));
  }
  timeline(pending, runs, sources);
  if ($("runs-details").open) fill("runs", runs, (task) => runCells(task, sources));
}

function notify() {
  const outage = overview?.outage, notes = [];
  if (problem) notes.push(problem);
  else if (outage) notes.push(`${outage.message} (since ${clock(outage.since)})`);
  if (notes.length && overview?.read_at) notes.push(`What is shown is of ${clock(overview.read_at)}.`);
  if (past?.is_cut) notes.push(`Tasks before ${clock(past.reaches_back_to)} are too many to show.`);
  $("notice").hidden = !notes.length;
  set($("notice"), [notes.join(" ")], problem || outage ? "" : "warn");
}

function tick() {
  const reading = past?.is_reading ? ", older tasks are being read" : "";
  set($("age"), overview?.read_at ? [`data of ${duration(now() - overview.read_at)} ago${reading}`] : []);
}

function pendingCells(task, gates, change) {
  const age = task.start == null ? 0 : now() - task.start, usual = task.usual * 1000;
  const left = task.state === "running" && usual > age ? `, about ${duration(usual - age)} left` : "";
  const waits = task.gates.slice(0, 5).flatMap((n, place) => [place ? ", " : "", gateLink(gates[n])]);
  if (task.gates.length > 5) waits.push(` and ${task.gates.length - 5} more`);
  const bar = ["progress", { max: 100, value: task.percent ?? 0, "aria-label": `Progress of ${task.name}` }];
  const clear = button("clear", task.id, "Clear…", `Clear ${task.name}`, "danger");
  return [
    ["", task.name], ["narrow", task.kind], ["", ["span", { class: `badge ${task.state}` }, STATES[task.state]]],
    ["narrow", ...(task.percent == null ? [task.progress ?? ""] : [bar, `${task.percent} %`])], ["narrow", age ? duration(age) : ""],
    ["", usual ? `${duration(usual)}${left}` : "not known"], ["gates", ...waits],
    ["actions", button("details", task.id, "Details", `Details of ${task.name}`), ...(change ? [clear] : [])],
  ];
}

const gateLink = (gate) => ["a", { href: new URL(gate.path, AIRFLOW).href, "data-act": "_self" }, gate.name];
const gateCells = (gate) => [
  ["", gateLink(gate)], ["", gate.state.replaceAll("_", " ")], ["", gate.waits_for || "what a template names"], ["narrow", ago(gate.since)]];

function failureCells(task, sources) {
  const { name } = sources[task.source], status = ["span", { class: "badge failed" }, task.status];
  return [
    ["", name], ["narrow", task.kind], ["narrow", ago(task.end)], ["", status],
    ["why", task.message ?? "SailPoint gives no reason."], ["actions", button("details", task.id, "Details", `Details of ${name}`)],
  ];
}

function runCells(task, sources) {
  return [
    ["", sources[task.source].name], ["narrow", task.kind], ["narrow", clock(task.start ?? task.end)],
    ["narrow", duration(task.end - task.start)], ["", ["span", { class: task.failed ? "badge failed" : "ok" }, task.status]],
  ];
}

function sourceCells(source, change) {
  const { failure } = source, status = ["span", { class: source.is_failing ? "badge failed" : "dim" }, `${failure?.status} `];
  const usual = Object.entries(source.usual).map(([kind, seconds]) => `${kind}: ${duration(seconds * 1000)}`);
  const start = button("start", source.id, "Aggregate…", `Start an aggregation of ${source.name}`);
  return [
    ["", source.name], ["narrow", ago(source.last_success)], ["", ...(failure ? [status] : []), ago(source.last_failure)],
    ["", source.rate], ["", usual.join(", ") || "not known"], ["actions", ...(change && source.startable.length ? [start] : [])],
  ];
}

function offerKinds(tasks) {
  const select = $("kind"), wanted = select.value;
  const kinds = ["", ...[...new Set([...tasks.map((task) => task.kind), wanted])].filter(Boolean).sort()];
  set(select, kinds.map((kind) => ["option", { value: kind }, kind || "any"]));
  select.value = wanted;
}

// ---- the timeline: a strip for each source, two lanes where runs overlap

let strips = new Map();

function timeline(pending, runs, sources) {
  const to = now(), from = to - $("hours").value * HOUR, box = $("timeline"), limit = shown.timeline ?? ROWS;
  const width = Math.max(200, box.clientWidth - 210), x = (ms) => Math.max(0, ((ms - from) / (to - from)) * width);
  strips = new Map();
  const add = (name, run) => strips.get(name)?.push(run) ?? strips.set(name, [run]);
  for (const task of pending) if (task.start != null) add(task.name, { ...task, end: to, look: "running" });
  for (const task of runs) add(sources[task.source].name, { ...task, start: task.start ?? task.end, look: task.failed ? "failed" : "ok" });
  const names = [...strips.keys()].sort((a, b) => a.localeCompare(b));
  const rows = names.slice(0, limit).map((name) => {
    const paths = { running: "", ok: "", failed: "" };
    const all = strips.get(name), failed = all.filter((run) => run.look === "failed");
    for (const { start, end, look, lane = 0 } of all) {
      const left = Math.min(Math.round(x(start)), width - 3), wide = Math.max(3, Math.round(x(end)) - left);
      const [top, height] = look === "ok" ? [4 + 8 * lane, 7] : look === "failed" ? [1, 19] : [2, 17];
      paths[look] += `M${left} ${top}h${wide}v${height}h-${wide}z`;
    }
    const label = `${name}: ${all.length} run${all.length === 1 ? "" : "s"}, ${failed.length} failed`;
    return ["div", { class: "strip" },
      ["button", { type: "button", class: "link", "data-act": "only", "data-id": name, title: name, dir: "auto" }, name],
      ["svg", { role: "img", "aria-label": label, viewBox: `0 0 ${width} 22`, preserveAspectRatio: "none", "data-name": name },
        ...Object.entries(paths).filter(([, d]) => d).map(([look, d]) => ["path", { class: look, d }])]];
  });
  const format = { timeStyle: "short", ...($("hours").value !== "24" && { dateStyle: "medium" }) };
  const ticks = [0, 1, 2, 3, 4, 5].map((n) => ["text", { x: n * width / 6, y: 14 }, clock(from + (n * (to - from)) / 6, format)]);
  set(box, names.length ? [...rows, ["div", { class: "strip axis", "aria-hidden": "true" }, ["span", {}], ["svg", { viewBox: `0 0 ${width} 20` }, ...ticks]]] : []);
  note(box.nextElementSibling, names.length - limit, "timeline", !names.length);
}

function runAt(event) {
  const svg = event.target.closest?.("svg[data-name]");
  if (!svg) return null;
  const box = svg.getBoundingClientRect(), span = $("hours").value * HOUR;
  const at = now() - span + ((event.clientX - box.left) / box.width) * span;
  const distance = (run) => Math.max(run.start - at, at - run.end, 0);
  const [nearest] = [...strips.get(svg.dataset.name)].sort((a, b) => distance(a) - distance(b));
  return distance(nearest) < (8 * span) / box.width ? nearest : null;
}

// ---- dialogs

const dialog = $("dialog");
let opener = null;

function show(title, parts, verb = "", act = null) {
  if (!dialog.open) opener = document.activeElement;
  set($("dialog-title"), [title]);
  set($("dialog-body"), parts);
  set($("dialog-error"), []);
  const confirm = $("dialog-go"), cancel = $("dialog-cancel");
  [confirm.hidden, confirm.disabled, confirm.textContent, cancel.textContent] = [!verb, false, verb, verb ? "Cancel" : "Close"];
  confirm.onclick = async () => {
    confirm.disabled = true;
    set($("dialog-error"), []);
    try {
      show(title, [["p", { role: "status" }, (await act()).message]]);
      refresh();
    } catch (error) {
      confirm.disabled = false;
      set($("dialog-error"), [error.message]);
    }
  };
  if (!dialog.open) dialog.showModal();
  cancel.focus();
}

$("dialog-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  const { act, id = "" } = opener?.dataset ?? {};
  const again = document.querySelector(`[data-act="${act}"][data-id="${CSS.escape(id)}"]`);
  (opener?.isConnected ? opener : again ?? $("q")).focus({ preventScroll: true });
});

const link = (href) => /^https?:/.test(href) && ["a", { href, "data-act": "_blank" }, "the source's page"];
const read = (value) => (typeof value === "number" ? `${clock(value)} ${timeZone()} (${duration(now() - value)} ago)` : value?.href ? link(value.href) : value);
const list = (facts) => ["dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [["dt", {}, name], ["dd", {}, read(value)]])];

async function reading(title, read) {
  show(title, ["Reading …"]);
  try {
    const parts = await read();
    if (dialog.open) show(...parts);
  } catch (error) {
    set($("dialog-error"), [error.message]);
  }
}

function askToClear(id) {
  const { gates, usual } = overview.tasks.find((task) => task.id === id), path = `tasks/${encodeURIComponent(id)}/clear`;
  reading("Clear this task?", async () => {
    const { title, facts, message } = await ask(path, { dry_run: true });
    const more = [["Usually takes", usual ? duration(usual * 1000) : "not known"], ["Waits for it", gates.map((n) => overview.gates[n].name).join("\n")]];
    return [`Clear ${title}?`, [list([...more, ...facts]), ["p", {}, message]], "Clear task", () => ask(path, { dry_run: false })];
  });
}

function askToStart(id) {
  const source = past.sources.find((each) => each.id === id);
  const kinds = source.startable.map((kind) => ["option", { value: kind }, kind]);
  show(`Start an aggregation of ${source.name}?`, [
    ["p", {}, ["label", {}, "What to aggregate: ", ["select", { id: "what" }, ...kinds]]],
    ["p", {}, "Nothing is started while another of the source runs."],
  ], "Start", () => ask(`sources/${encodeURIComponent(id)}/aggregate`, { kind: $("what").value }));
}

const showDetails = (id) => reading("Task", async () => {
  const { title, facts } = await ask(`tasks/${encodeURIComponent(id)}`);
  return [title, [list(facts)]];
});

// ---- clicks

const ACTS = {
  clear: askToClear,
  start: askToStart,
  details: showDetails,
  more: (id) => { shown[id] = (shown[id] ?? ROWS) + MORE; render(); },
  only: (name) => { $("q").value = $("q").value === name ? "" : name; keep(); },
};

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-act]"), run = runAt(event);
  if (run) showDetails(run.id);
  else if (target?.href) {
    event.preventDefault();
    go(target.href, event.ctrlKey || event.metaKey ? "_blank" : target.dataset.act);
  } else if (target) ACTS[target.dataset.act](target.dataset.id);
});

document.addEventListener("pointermove", (event) => {
  const strip = event.target.closest?.(".strip"), run = runAt(event);
  if (strip) strip.title = run ? `${run.kind}, ${run.status ?? "pending"}, ${duration(run.end - run.start)}, from ${clock(run.start)}` : "";
});

function keep(event) {
  const query = new URLSearchParams(FILTERS.map((name) => [name, $(name).value]).filter(([name, value]) => value && value !== (name === "hours" && "24")));
  remember(query);
  if (event?.target.id === "connection") overview = past = null;
  if (["connection", "hours"].includes(event?.target.id)) refresh();
  render();
}

async function start() {
  followTheme();
  const query = new URLSearchParams(location.search || outer()?.location.search);
  remember(query);
  try {
    ({ connections, reason: problem } = await send("connections"));
  } catch (error) {
    problem = error.message;
  }
  set($("connection"), connections.map(({ id }) => ["option", { value: id }, id]));
  offerKinds([{ kind: query.get("kind") }]);
  for (const name of FILTERS) {
    $(name).value = query.get(name) ?? $(name).value;
    if ($(name).selectedIndex < 0) $(name).selectedIndex = 0;
    $(name).addEventListener("input", keep);
  }
  $("runs-details").addEventListener("toggle", render);
  document.addEventListener("visibilitychange", refresh);
  addEventListener("resize", render);
  setInterval(tick, 1000);
  render();
  refresh();
}

start();
