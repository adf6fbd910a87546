// What all pages are made of. Values become text nodes and attributes, never markup.

/** The token, in this tab alone: it goes with the tab. */
export const session = {
  get token() { return sessionStorage.getItem("token") ?? ""; },
  set token(value) {
    if (value) sessionStorage.setItem("token", value); else sessionStorage.removeItem("token");
  },
};

/** An answer that is not 200. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Makes an element. `className`, `on…` and other properties are set as they are; a value that is
 * null or undefined is left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/** Tells people who do not see the page. */
export function say(text) { document.getElementById("status").textContent = text; }

/** A path with its parameters. URLSearchParams would write a blank as +, which the gateway keeps. */
function address(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined)
    .map((pair) => pair.map(encodeURIComponent).join("="));
  return given.length ? `${path}?${given.join("&")}` : path;
}

async function ask(method, path, query, body) {
  const headers = { authorization: `Bearer ${session.token}` };
  if (body) headers["content-type"] = "application/json";
  const response = await fetch(address(path, query), {
    method, headers, cache: "no-store", credentials: "omit", redirect: "error",
    body: body ? JSON.stringify(body) : undefined,
  });
  if (response.ok) return response;
  let answer = {};
  try { answer = await response.json(); } catch { /* Something else than the gateway. */ }
  throw new Refusal(
    response.status, answer.error ?? "", answer.message ?? `The answer was ${response.status}.`);
}

export const get = async (path, query = {}) => (await ask("GET", path, query)).json();
export const getText = async (path) => (await ask("GET", path, {})).text();
export const post = async (path, query = {}, body) =>
  (await ask("POST", path, query, body)).json();

/** A place in the console. */
export function link(page, query = {}) {
  return address(`#/${page}`, query);
}

export function a(text, page, query) { return h("a", { href: link(page, query) }, text); }

/** Reports what went wrong with a piece of work where it belongs. */
export function problem(error) {
  const known = error instanceof Refusal;
  const text = known ? error.message : "The gateway could not be reached.";
  say(text);
  return h("p", { className: "notice", role: "alert" },
    text, known && error.code ? ` (${error.status} ${error.code})` : "");
}

/**
 * A table.
 *
 * @param columns each with a `name`, and `number: true` for numbers.
 * @param rows lists of cells.
 */
export function table(columns, rows, empty = "Nothing.") {
  if (!rows.length) return h("p", { className: "quiet" }, empty);
  const kind = (index) => (columns[index].number ? "number" : columns[index].kind ?? null);
  return h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map((column, index) =>
        h("th", { scope: "col", className: kind(index) }, column.name)))),
      h("tbody", {}, rows.map((cells) =>
        h("tr", {}, cells.map((cell, index) => h("td", { className: kind(index) }, cell)))))));
}

export function tiles(facts) {
  return h("dl", { className: "tiles" }, facts
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value, className]) => h("div",
      { className: `tile${String(value?.textContent ?? value).length > 14 ? " long" : ""}` },
      h("dt", {}, name), h("dd", { className }, value))));
}

/** Fields with a button; `submit` gets their values by name. */
export function form(fields, button, submit) {
  const inputs = fields.map((field) => h("input", {
    name: field.name, value: field.value ?? "", required: field.required, autocomplete: "off",
    spellcheck: false, placeholder: field.placeholder,
  }));
  return h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      submit(Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()])));
    },
  }, fields.map((field, index) => h("label", {}, field.label, inputs[index])),
  h("button", { type: "submit", className: "main" }, button));
}

/** Asks before something is done; true if it shall be. */
export function confirm(title, content, button, danger = false) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": title });
    const end = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    add(dialog, [
      h("h2", {}, title), content,
      h("div", { className: "row" },
        h("button", { type: "button", className: danger ? "danger" : "main",
          onclick: () => end(true) }, button),
        h("button", { type: "button", autofocus: true, onclick: () => end(false) }, "Cancel")),
    ]);
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(false); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Words and numbers.

const units = [["day", 86400], ["hour", 3600], ["minute", 60]];

export function age(seconds) {
  const [name, length] = units.find(([, length]) => seconds >= length) ?? ["second", 1];
  const count = Math.floor(Math.max(0, seconds) / length);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

/** A time as it is written, with how long ago it was. */
export function when(text) {
  if (!text) return "never";
  const seconds = (Date.now() - Date.parse(text)) / 1000;
  return h("time", { dateTime: text, title: text }, `${age(seconds)} ago`);
}

export function number(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < names.length - 1) { value /= 1024; index += 1; }
  return `${index ? value.toFixed(1) : value} ${names[index]}`;
}

/** A key, a version or a code. */
export function code(text) { return h("span", { className: "key" }, text); }
