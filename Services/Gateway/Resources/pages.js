// The pages. Each asks for documented routes of /admin alone (openapi.yaml).
import {
  a, age, bytes, code, confirm, fill, form, get, getText, h, link, number, post, problem, say,
  table, tiles, when,
} from "/admin/console/kit.js";

/** Milliseconds between two looks of the page "Now". */
const pause = 5000;
/** Milliseconds between two looks of the page "Live tail", and the requests that it shows. */
const tailPause = 1000;
const tailRows = 200;
/** Rows that a list asks for at once. */
const pageRows = 100;

// MARK: Now

/** Counts of requests by status, and their durations by bucket, from Prometheus' text. */
function requests(text) {
  const sample = { at: Date.now(), total: 0, failed: 0, buckets: new Map(), gauges: {} };
  for (const line of text.split("\n")) {
    const parts = line.match(/^oversync_gateway_request_seconds_(count|bucket)\{(.*)\} (\S+)$/);
    if (!parts) {
      const gauge = line.match(/^oversync_gateway_(\w+) (\S+)$/);
      if (gauge) sample.gauges[gauge[1]] = Number(gauge[2]);
      continue;
    }
    const value = Number(parts[3]);
    if (!parts[2].includes('route="/sync/')) continue;
    if (parts[1] === "count") {
      sample.total += value;
      if (/status="5/.test(parts[2])) sample.failed += value;
    } else {
      const bound = parts[2].match(/le="([^"]+)"/)[1];
      const end = bound === "+Inf" ? Infinity : Number(bound);
      sample.buckets.set(end, (sample.buckets.get(end) ?? 0) + value);
    }
  }
  return sample;
}

/** The duration below which a part of the requests between two samples was, in milliseconds. */
function quantile(part, now, before) {
  const bounds = [...now.buckets.keys()].sort((x, y) => x - y);
  const count = (bound) => now.buckets.get(bound) - (before?.buckets.get(bound) ?? 0);
  const all = bounds.length ? count(bounds.at(-1)) : 0;
  if (!all) return null;
  const bound = bounds.find((bound) => count(bound) >= part * all);
  return bound === Infinity ? "over 30 s" : `≤ ${number(Math.ceil(bound * 1000))} ms`;
}

function rates(now, before) {
  const seconds = before ? (now.at - before.at) / 1000 : null;
  const rate = (name) => (seconds ? `${((now[name] - before[name]) / seconds).toFixed(1)}/s` : "…");
  const failed = before ? now.failed - before.failed : 0;
  return tiles([
    ["Requests of devices", rate("total")],
    ["of them failed (5xx)", rate("failed"), failed ? "bad" : "good"],
    ["p50", quantile(0.5, now, before) ?? "no requests"],
    ["p95", quantile(0.95, now, before)], ["p99", quantile(0.99, now, before)],
    ["In flight", number(now.gauges.requests_in_flight)],
    ["Connections", number(now.gauges.connections)],
    ["Watches", number(now.gauges.watchers)],
    ["Long polls", number(now.gauges.long_polls)],
    ["Bytes held", bytes(now.gauges.buffered_bytes)],
  ]);
}

/** How a replica's connections to PostgreSQL are used. */
function connections(pool) {
  if (!pool) return ["–", "–"];
  const waiting = number(pool.waiting);
  return [
    `${number(pool.in_use)} of ${number(pool.maximum)}`,
    pool.waiting ? h("span", { className: "warn" }, waiting) : waiting,
  ];
}

function services(answer) {
  const rows = answer.services.flatMap((service) => (service.replicas.length
    ? service.replicas.map((replica) => [
      service.service, replica.name,
      h("span", { className: replica.status === "ready" ? "good" : "bad" }, replica.status),
      ...connections(replica.pool), replica.version ?? "–", replica.problems.join("; ") || "–",
    ]) : [[
      service.service, "–", h("span", { className: "bad" }, "no replica"), "–", "–", "–", "–",
    ]]));
  return table([
    { name: "Service" }, { name: "Replica" }, { name: "State" }, { name: "Connections in use" },
    { name: "Callers that wait" }, { name: "Version" }, { name: "Problems" },
  ], rows);
}

async function now(content, _, signal) {
  let before = null;
  const look = async () => {
    const [state, text] = await Promise.all([get("/admin/services"), getText("/admin/metrics")]);
    const sample = requests(text);
    // Of what is in the database, the rest says nothing.
    const database = await get("/admin/overview").then(overview, problem);
    fill(content,
      h("p", { className: "quiet" },
        `This gateway is version ${state.gateway.version} (${state.gateway.commit}), layout `,
        `${state.gateway.layout}. Numbers are those of the last ${pause / 1000} seconds.`),
      rates(sample, before), h("h2", {}, "Services"), services(state),
      h("h2", {}, "Database"), database);
    before = sample;
  };
  await look();
  const timer = setInterval(() => {
    if (!document.hidden) look().catch((error) => fill(content, problem(error)));
  }, pause);
  signal.addEventListener("abort", () => clearInterval(timer));
}

// MARK: Live tail

/** What became of an upload's changes, or how many rows a page has. */
function contents(line) {
  if (line.rows !== undefined) return line.is_idle ? "no news" : `${number(line.rows)} rows`;
  const changes = Object.entries(line.changes ?? {}).filter(([, count]) => count);
  if (!changes.length) return "–";
  return changes.map(([outcome, count], place) => [place ? ", " : "",
    h("span", { className: outcome === "applied" || outcome === "duplicate" ? null : "warn" },
      `${number(count)} ${outcome}`)]);
}

function lineCells(line, gateway) {
  const state = line.status < 400 ? "good" : line.status < 500 ? "warn" : "bad";
  const { user_id: user, source_id: device } = line;
  return [
    h("time", { dateTime: line.at, title: line.at }, new Date(line.at).toLocaleTimeString()),
    ...(gateway ? [gateway] : []),
    user === undefined ? "–" : a(user, "users", { user }),
    device === undefined ? "–" : a(device, "device", { user, device }),
    `${line.method} ${line.route}`,
    h("span", { className: state }, line.status, line.code ? ` ${line.code}` : ""),
    contents(line), (line.microseconds / 1000).toFixed(1),
    [line.bytes_in, line.bytes_out].map((count) => (count === undefined ? "–" : bytes(count)))
      .join(" / "),
    code(line.request_id),
  ];
}

/**
 * The requests that the page has received. Behind a balancer each answer may be another gateway's,
 * and a gateway that starts again is another run, which counts from the beginning.
 */
class Tail {
  lines = [];
  missed = 0;
  /** What the next look sends: only the run that it is of heeds it. */
  cursor = {};
  /** By run: the gateway's name, and the last of its requests that was received. */
  #runs = new Map();

  /** Takes an answer, and says whether there is anything new. */
  take(answer) {
    const { run, gateway, last, missed } = answer;
    const isNew = !this.#runs.has(run);
    const seen = this.#runs.get(run)?.last ?? 0;
    const fresh = answer.requests.filter((line) => line.number > seen).reverse();
    for (const line of fresh) line.run = run;
    this.#runs.set(run, { gateway, last });
    this.cursor = { run, after: last };
    this.missed += missed;
    const lines = [...fresh, ...this.lines];
    // One gateway's are in order, though its clock may be set back.
    if (this.#runs.size > 1) lines.sort((x, y) => (x.at < y.at ? 1 : x.at > y.at ? -1 : 0));
    this.lines = lines.slice(0, tailRows);
    return isNew || fresh.length > 0 || missed > 0;
  }

  get gateways() { return [...this.#runs.keys()].map((run) => this.name(run)); }

  /** A gateway's name, with a part of the run's where several runs have it. */
  name(run) {
    const { gateway } = this.#runs.get(run);
    const same = [...this.#runs.values()].filter((other) => other.gateway === gateway);
    return same.length > 1 ? `${gateway} ${run.slice(0, 6)}` : gateway;
  }
}

function tailTable(tail) {
  const { gateways, lines, missed } = tail;
  const several = gateways.length > 1;
  return [
    h("p", { className: "quiet" }, several
      ? `Several gateways, or starts of one, answered this page: ${gateways.join(", ")}.`
      : `Gateway ${gateways.join()} answers this page.`),
    missed ? h("p", { className: "warn" },
      `${number(missed)} request${missed === 1 ? "" : "s"} came too fast to be shown.`) : null,
    table([
      { name: "When", kind: "time" }, ...(several ? [{ name: "Gateway" }] : []),
      { name: "User" }, { name: "Device" }, { name: "Request" },
      { name: "Answer" }, { name: "Changes or rows" }, { name: "ms", number: true },
      { name: "Bytes in / out", kind: "number" }, { name: "Request id" },
    ], lines.map((line) => lineCells(line, several ? tail.name(line.run) : null)),
    "No such request yet. What comes appears here."),
  ];
}

async function showTail(content, query, signal) {
  const { user = "", device = "", status = "", idle = "" } = query;
  const search = form([
    { name: "user", label: "User", value: user }, { name: "device", label: "Device", value: device },
    { name: "status", label: "Status", value: status, placeholder: "such as 404 or 4xx" },
  ], "Show", (values) => {
    // The same filter again begins anew.
    if (link("tail", { ...values, idle }) === location.hash) dispatchEvent(new Event("hashchange"));
    location.hash = link("tail", { ...values, idle });
  });
  const place = h("div", {});
  const trouble = h("div", {});
  const tail = new Tail();
  let [paused, looking] = [false, false];
  const look = async () => {
    const answer = await get("/admin/requests", {
      user, device, status, idle, limit: tailRows, ...tail.cursor });
    if (signal.aborted) return;
    if (tail.take(answer)) fill(place, ...tailTable(tail));
    fill(trouble);
  };
  const button = h("button", { type: "button", onclick: () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
  } }, "Pause");
  fill(content, h("p", { className: "quiet" },
    "Requests as a gateway answers them, newest first, without values of rows and without those ",
    "to /admin. A gateway remembers its last 4096 requests; each has its own."),
  search, h("div", { className: "row" }, button, a(
    idle ? "Hide downloads without news" : "Show downloads without news, too", "tail",
    { user, device, status, idle: idle ? "" : "true" })), trouble, place);
  await look();
  // Somebody has left the page meanwhile.
  if (signal.aborted) return;
  const timer = setInterval(async () => {
    if (document.hidden || paused || looking) return;
    looking = true;
    try { await look(); } catch (error) {
      if (!signal.aborted) fill(trouble, problem(error));
    } finally { looking = false; }
  }, tailPause);
  signal.addEventListener("abort", () => clearInterval(timer));
}

// MARK: Database and tables

function overview(facts) {
  const rejected = facts.rejected_changes
    ? h("a", { href: link("rejected"), className: "warn" }, number(facts.rejected_changes)) : "0";
  return tiles([
    ["Users", number(facts.users)],
    ["Devices", number(facts.devices)], ["active within a day", number(facts.active_devices)],
    ["revoked", number(facts.revoked_devices)],
    ["Rejected changes", rejected],
    ["the oldest", facts.oldest_rejected_seconds === undefined ? ""
      : age(facts.oldest_rejected_seconds)],
    ["Log", bytes(facts.log_bytes)],
    ["Changes, estimated", number(facts.estimated_changes)],
    ["Standbys", number(facts.standbys)],
    ["the slowest is behind by", facts.standby_lag_bytes === undefined ? ""
      : bytes(facts.standby_lag_bytes)],
    ["Oldest transaction", facts.oldest_transaction_seconds === undefined ? ""
      : age(facts.oldest_transaction_seconds)],
  ]);
}

async function database(content) {
  const facts = await get("/admin/overview");
  fill(content, overview(facts),
    h("h2", {}, "Server"), tiles([
      ["Database", facts.name], ["PostgreSQL", facts.server_version],
      ["is a standby", facts.is_standby ? "yes" : "no"], ["Epoch", code(facts.epoch)],
      ["Size", facts.database_bytes === undefined ? "" : bytes(facts.database_bytes)],
      ["Connections", facts.connections === undefined ? ""
        : `${number(facts.connections)} of ${number(facts.max_connections)}`],
    ]),
    ...(facts.warnings ?? []).map((text) => h("p", { className: "warn" }, text)),
    h("h2", {}, "Upkeep"), tiles([
      ["Vacuum waits for", facts.held_by === undefined ? "nothing"
        : `${facts.held_by} ${facts.held_by_name ?? ""}`],
      ["transactions since", facts.held_transactions === undefined ? ""
        : number(facts.held_transactions)],
      ["Newest floor", facts.newest_floor_seconds === undefined ? "no delete was removed"
        : age(facts.newest_floor_seconds)],
      ["Oldest floor", facts.oldest_floor_seconds === undefined ? ""
        : age(facts.oldest_floor_seconds)],
    ]),
    h("h2", {}, "Tables of the sidecar"),
    table([
      { name: "Table" }, { name: "Size", number: true }, { name: "Rows, estimated", number: true },
      { name: "Dead rows", number: true }, { name: "vacuumed above", number: true },
      { name: "Bloat, estimated", number: true }, { name: "Index alone", number: true },
      { name: "Last vacuum" },
    ], (facts.sidecar ?? []).flatMap((row) => [[
      `sync.${row.table}`, bytes(row.bytes), number(row.estimated_rows), number(row.dead_rows),
      number(row.vacuum_above_rows), row.bloat_bytes === undefined ? "" : bytes(row.bloat_bytes),
      row.index_only_percent === undefined ? "" : `${row.index_only_percent} %`,
      row.last_vacuum === undefined ? "never"
        : `${age(Math.max(0, Math.floor(Date.now() / 1000) - row.last_vacuum))} ago`,
    ], ...(row.partitions ?? []).map((part) => [
      h("span", { className: "quiet" }, part.partition), bytes(part.bytes),
      number(part.estimated_rows), number(part.dead_rows), "", "", "", "",
    ])]), "Not measured yet: look again in half a minute."),
    h("h2", {}, "Replication slots"),
    table([
      { name: "Slot" }, { name: "State" }, { name: "WAL kept", number: true },
    ], (facts.slots ?? []).map((slot) => [
      slot.slot, h("span", { className: slot.active ? "good" : "bad" },
        slot.active ? "in use" : "not in use"), bytes(slot.bytes),
    ]), "There is none."));
}

function capture(row) {
  if (!row.registered) return h("span", { className: "quiet" }, "no longer registered");
  if (row.is_captured === undefined) return "not needed";
  if (row.is_captured) return h("span", { className: "good" }, "on");
  const since = row.uncaptured_since_seconds === undefined ? []
    : [`written without it ${age(row.uncaptured_since_seconds)} ago`];
  return h("span", { className: "bad" }, [...row.capture_problems, ...since].join("; "));
}

async function tables(content) {
  const answer = await get("/admin/tables");
  fill(content, table([
    { name: "Table" }, { name: "Key" }, { name: "Owner" },
    { name: "Rows, estimated", number: true }, { name: "Size", number: true },
    { name: "Rejected", number: true }, { name: "Capture of plain SQL" },
  ], answer.tables.map((row) => [
    code(row.table), `${row.key} (${row.key_kind})`, row.owner ?? "–",
    number(row.estimated_rows), bytes(row.bytes),
    row.rejected_changes
      ? a(number(row.rejected_changes), "rejected", parts(row.table)) : "0", capture(row),
  ]), "No table is registered."));
}

function parts(name) {
  const [schema, ...rest] = name.split(".");
  return { schema, table: rest.join(".") };
}

// MARK: Users and devices

function deviceRows(devices) {
  return table([
    { name: "User" }, { name: "Device" }, { name: "Access" }, { name: "Heard of", kind: "time" },
    { name: "Read to", number: true }, { name: "Pending", number: true },
    { name: "Rejected", number: true }, { name: "Held", number: true }, { name: "Last error" },
    { name: "Versions" },
  ], devices.map((device) => {
    const told = device.report ?? {};
    const query = { user: device.user_id, device: device.source_id };
    return [
      a(device.user_id, "users", { user: device.user_id }), a(device.source_id, "device", query),
      device.revoked ? h("span", { className: "bad" }, "revoked") : "yes",
      when(device.reported ?? device.last_upload),
      told.cursor === undefined ? "–" : `${number(told.cursor)} of ${number(device.log_end)}`,
      number(told.pending), marked(told.rejected), marked(told.held),
      told.error ?? (device.rejection ? `token: ${device.rejection}` : "–"),
      [told.app, told.sdk].filter(Boolean).join(", ") || "–",
    ];
  }), "No device is known.");
}

function marked(count) {
  return count ? h("span", { className: "warn" }, number(count)) : number(count);
}

/** Devices, page by page. */
async function deviceList(user) {
  const place = h("div", {});
  const all = [];
  const more = async (after) => {
    const answer = await get("/admin/devices", { user, limit: pageRows, ...after });
    all.push(...answer.devices);
    const last = all.at(-1);
    fill(place, deviceRows(all), answer.has_more ? h("p", { className: "row" }, h("button", {
      type: "button",
      onclick: () => more({ after_user: last.user_id, after_device: last.source_id })
        .catch((error) => place.append(problem(error))),
    }, "More")) : null);
  };
  await more({});
  return place;
}

async function users(content, { user = "" }) {
  const search = form([{ name: "user", label: "User (sub)", value: user }], "Show",
    (values) => { location.hash = link("users", values); });
  if (!user) return fill(content, search, await deviceList(""));
  const facts = await get("/admin/users", { user });
  const of = (quota) => (quota === undefined ? "" : ` of ${number(quota)}`);
  const quota = facts.quota ?? {};
  fill(content, search, h("h2", {}, user), tiles([
    ["Log ends at", number(facts.highest_server_seq)], ["Floor", number(facts.floor)],
    ["Rows", `${facts.more_rows ? "at least " : ""}${number(facts.rows)}${of(quota.rows)}`],
    ["Bytes", facts.bytes === undefined ? "" : `${bytes(facts.bytes)}${of(quota.bytes)}`],
    ["Devices", `${number(facts.devices)}${of(quota.devices)}`],
    ["revoked", number(facts.revoked_devices)],
    ["Rejected changes", facts.rejected_changes
      ? a(number(facts.rejected_changes), "rejected", { user }) : "0"],
  ]), h("h2", {}, "Devices"), await deviceList(user),
  h("p", {}, a("History of a row of this user", "row", { user })));
}

async function device(content, { user = "", device: name = "" }) {
  const query = { user, device: name };
  const [why, list] = await Promise.all([
    get("/admin/devices/explain", query), get("/admin/devices", { user, limit: 1000 })]);
  const known = list.devices.find((device) => device.source_id === name) ?? {};
  const told = known.report ?? {};
  const set = async (path, title, text, button, danger) => {
    if (!await confirm(title, h("p", {}, text), button, danger)) return;
    try {
      await post(path, {}, { user_id: user, source_id: name });
      await device(content, { user, device: name });
      say(`${title}: done`);
    } catch (error) { content.prepend(problem(error)); }
  };
  fill(content, h("p", {}, code(name), " of ", a(user, "users", { user })),
    h("h2", {}, "Why does this device not sync?"), 
    why.findings.map((found) => finding(found, why.is_fine)),
    h("div", { className: "row" }, known.revoked
      ? h("button", { type: "button", onclick: () => set("/admin/devices/restore",
        "Restore the device", "It goes on where it was.", "Restore") }, "Restore its access")
      : h("button", { type: "button", className: "danger",
        onclick: () => set("/admin/devices/revoke", "Revoke the device",
          "It is refused within a second. What it wrote stays.", "Revoke", true) },
      "Revoke its access")),
    h("h2", {}, "What it says of itself"), tiles([
      ["Said", when(known.reported)], ["Read to", told.cursor === undefined ? ""
        : `${number(told.cursor)} of ${number(why.log_end)}`],
      ["Others' changes before it", number(why.waiting)],
      ["Pending", number(told.pending)],
      ["the oldest for", told.oldest_pending_seconds === undefined ? ""
        : age(told.oldest_pending_seconds)],
      ["Rejected", told.rejected === undefined ? "" : marked(told.rejected)],
      ["most as", told.reason], ["Held", told.held === undefined ? "" : marked(told.held)],
      ["Last error", told.error], ["Notices", told.notices], ["Schema", told.schema],
      ["Clock ahead by", told.clock_ahead_seconds === undefined ? ""
        : `${number(told.clock_ahead_seconds)} s`],
      ["App", told.app], ["Library", told.sdk], ["Epoch", told.epoch ? code(told.epoch) : ""],
    ]),
    h("h2", {}, "What the server knows"), tiles([
      ["First seen", when(known.first_seen)], ["Last upload", when(known.last_upload)],
      ["Last change id", number(known.last_change_id)],
      ["Rejected by tables", why.rejected_changes
        ? a(number(why.rejected_changes), "rejected", { user }) : "0"],
      ["Revoked", known.revoked ? when(known.revoked) : "no"],
      ["Token last rejected", known.token_rejected ? when(known.token_rejected) : "never"],
      ["because", known.rejection],
    ]));
}

function finding(found, isFine) {
  return h("div", { className: `finding${isFine ? " fine" : ""}` },
    h("h3", {}, found.text), h("p", {}, found.next), h("p", { className: "quiet" },
      code(found.code)));
}

// MARK: Rejected rows

function failureRows(failures, retry) {
  return table([
    { name: "No.", number: true }, { name: "Seen", kind: "time" }, { name: "User" },
    { name: "Device" }, { name: "Row" }, { name: "Change" }, { name: "PostgreSQL said" },
    { name: "" },
  ], failures.map((failure) => [
    String(failure.id), when(failure.first_seen),
    a(failure.user_id, "users", { user: failure.user_id }),
    a(failure.source_id, "device", { user: failure.user_id, device: failure.source_id }),
    a(`${failure.table} ${failure.pk}`, "row", {
      user: failure.user_id, schema: failure.schema, table: failure.table, pk: failure.pk }),
    h("details", {}, h("summary", {}, `${failure.op} to version ${failure.attempted_version}`),
      h("pre", {}, failure.payload ? JSON.stringify(failure.payload, null, 2) : "no payload")),
    failure.error,
    retry ? h("button", { type: "button", onclick: () => retry([failure]) }, "Retry") : null,
  ]));
}

/** Failures that one cause of one table has. */
function causes(failures) {
  const groups = new Map();
  for (const failure of failures) {
    const name = `${failure.schema}.${failure.table} ${failure.sqlstate}`;
    groups.set(name, [...(groups.get(name) ?? []), failure]);
  }
  return [...groups.values()].sort((x, y) => y.length - x.length);
}

async function rejected(content, query) {
  const search = form([
    { name: "schema", label: "Schema", value: query.schema },
    { name: "table", label: "Table", value: query.table },
    { name: "user", label: "User", value: query.user },
  ], "Show", (values) => { location.hash = link("rejected", values); });
  const { schema = "", table: name = "", user = "" } = query;
  const failures = await get("/admin/materialize-failures", { schema, table: name, user, limit: 1000 });
  const retry = async (some) => {
    const list = failureRows(some.slice(0, 20), null);
    const text = some.length > 20 ? `The first 20 of ${some.length}:` : "";
    if (!await confirm(
      `Retry ${some.length} change${some.length === 1 ? "" : "s"}`,
      [h("p", {}, "Each is decided as if its device sent it now. The audit records it. ", text), list],
      "Retry")) return;
    const outcomes = new Map();
    const status = h("p", { role: "status", className: "notice" });
    content.prepend(status);
    for (const [index, failure] of some.entries()) {
      let outcome;
      try {
        outcome = (await post("/admin/materialize-failures/retry", { id: failure.id })).status;
      } catch (error) { outcome = error.code || "no answer"; }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      fill(status, `${index + 1} of ${some.length} tried: `,
        [...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(", "));
    }
    const result = status.textContent;
    await rejected(content, query);
    content.prepend(h("p", { className: "notice", role: "status" }, result));
  };
  fill(content, search,
    failures.length ? h("p", { className: "quiet" },
      `${failures.length === 1000 ? "The newest 1000" : number(failures.length)} that nothing `,
      "has settled since. That you looked is in the audit.") : null,
    failures.length ? null : h("p", { className: "good" }, "No change is rejected by a table."),
    causes(failures).map((some) => [
      h("h2", {}, `${some[0].schema}.${some[0].table}, SQLSTATE ${some[0].sqlstate}`),
      h("div", { className: "row" },
        h("span", {}, `${some.length} change${some.length === 1 ? "" : "s"}`),
        h("button", { type: "button", onclick: () => retry(some) },
          `Retry all ${some.length}…`)),
      failureRows(some, retry),
    ]));
}

// MARK: Conflicts, rows, keys, audit

async function conflicts(content) {
  const { replicas } = await get("/admin/conflicts");
  const rows = replicas.flatMap((replica) => replica.conflicts)
    .sort((x, y) => y.at.localeCompare(x.at));
  fill(content, h("p", { className: "quiet" },
    "What devices were answered because the row had another version than they edited. Devices ",
    "resolve conflicts by themselves; each replica of Upload remembers the last 200 that it ",
    "answered: ", replicas.flatMap((replica, place) => [
      place ? "; " : "", `${replica.replica} since `, when(replica.since)]), "."),
  table([
    { name: "When", kind: "time" }, { name: "User" }, { name: "Device" }, { name: "Row" },
    { name: "It edited version", number: true }, { name: "The server has", number: true },
    { name: "written by" },
  ], rows.map((row) => [
    when(row.at), a(row.user_id, "users", { user: row.user_id }),
    a(row.source_id, "device", { user: row.user_id, device: row.source_id }),
    a(`${row.schema}.${row.table} ${row.pk}`, "row", {
      user: row.user_id, schema: row.schema, table: row.table, pk: row.pk }),
    String(row.base_version), `${row.server_version}${row.server_deleted ? ", deleted" : ""}`,
    row.other_source_id || "plain SQL",
  ]), "There was none."));
}

/** What a change made of the one before it. */
function difference(change, before) {
  if (!change.payload) return "deleted";
  const old = before?.payload ?? {};
  const names = [...new Set([...Object.keys(old), ...Object.keys(change.payload)])];
  const changed = names.filter((name) =>
    JSON.stringify(old[name]) !== JSON.stringify(change.payload[name]));
  if (!changed.length) return h("span", { className: "quiet" }, "the same values");
  const text = (value) => (value === undefined ? "–" : JSON.stringify(value));
  return h("ul", { className: "plain" }, changed.map((name) => h("li", {}, code(name), ": ",
    before?.payload ? [h("span", { className: "quiet" }, text(old[name])), " → "] : "",
    text(change.payload[name]))));
}

async function row(content, query) {
  const search = form([
    { name: "user", label: "User", value: query.user, required: true },
    { name: "schema", label: "Schema", value: query.schema, required: true },
    { name: "table", label: "Table", value: query.table, required: true },
    { name: "pk", label: "Key", value: query.pk, required: true },
  ], "Show", (values) => { location.hash = link("row", values); });
  const { user, schema, table: name, pk } = query;
  if (![user, schema, name, pk].every(Boolean)) {
    return fill(content, search, h("p", { className: "quiet" },
      "Every change of a row that the user's log still has: who, when, and what differs."));
  }
  const answer = await get("/admin/rows", { user, schema, table: name, pk });
  const changes = answer.changes;
  fill(content, search, table([
    { name: "Sequence", number: true }, { name: "When", kind: "time" }, { name: "By" },
    { name: "Change" }, { name: "Version", number: true }, { name: "What differs" },
  ], changes.map((change, index) => [
    String(change.server_id), when(change.ts),
    change.source_id ? a(change.source_id, "device", { user, device: change.source_id })
      : "plain SQL",
    change.op, String(change.server_version), difference(change, changes[index + 1]),
  ]), "The log has no change of this row."),
  h("p", { className: "quiet" }, answer.has_more ? "There are older ones. " : "",
    "The log is looked through to 200 000 changes before its end; compaction removes what newer ",
    "changes replaced. That you looked is in the audit."));
}

async function keys(content) {
  const answer = await get("/admin/keys");
  const kind = { signing: "good", retired: "quiet" };
  fill(content, table([
    { name: "Key" }, { name: "State" }, { name: "Signs from" }, { name: "Retires" },
  ], answer.keys.map((key) => [
    code(key.kid), h("span", { className: kind[key.state] ?? null }, key.state), key.signs_from,
    key.retires ?? "–",
  ]), "There is none: Auth makes the first one when it starts."),
  h("p", { className: "quiet" }, "oversync keys rotates, retires and reseals them."));
}

async function audit(content, query) {
  const search = form([{ name: "action", label: "Action", value: query.action,
    placeholder: "such as device.revoke" }], "Show",
  (values) => { location.hash = link("audit", values); });
  const { action = "", before = "" } = query;
  const answer = await get("/admin/audit", { action, before, limit: pageRows });
  const last = answer.rows.at(-1);
  fill(content, search, table([
    { name: "No.", number: true }, { name: "When", kind: "time" }, { name: "Who" },
    { name: "Action" }, { name: "Target" }, { name: "Outcome" }, { name: "Details" },
  ], answer.rows.map((row) => [
    String(row.id), when(row.at),
    [row.actor, row.host ? h("span", { className: "quiet" }, ` from ${row.host}`) : ""],
    row.action, code(row.target),
    h("span", { className: ["refused", "failed"].includes(row.outcome) ? "bad" : null },
      row.outcome, row.code ? ` (${row.code})` : ""),
    row.details ? h("details", {}, h("summary", {}, "show"),
      h("pre", {}, JSON.stringify(row.details, null, 2))) : "–",
  ])), answer.has_more ? h("p", {}, a("Older", "audit", { action, before: last.id })) : null);
}

export const pages = [
  { name: "now", title: "Now", show: now },
  { name: "tail", title: "Live tail", show: showTail },
  { name: "users", title: "Users", show: users },
  { name: "device", title: "Device", show: device, hidden: true, under: "users" },
  { name: "rejected", title: "Rejected rows", show: rejected },
  { name: "conflicts", title: "Conflicts", show: conflicts },
  { name: "row", title: "History of a row", show: row },
  { name: "tables", title: "Tables", show: tables },
  { name: "database", title: "Database", show: database },
  { name: "keys", title: "Keys", show: keys },
  { name: "audit", title: "Audit", show: audit },
];
