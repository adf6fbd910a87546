// Signs in, and shows the page that the address names.
import { fill, h, link, problem, Refusal, say, session } from "/admin/console/kit.js";
import { pages } from "/admin/console/pages.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const signOut = document.getElementById("sign-out");
/** Ends what the last page still does. */
let leave = new AbortController();

function signIn(reason) {
  leave.abort();
  session.token = "";
  signOut.hidden = true;
  fill(nav);
  document.title = "Oversync console";
  const token = h("textarea", {
    name: "token", required: true, autocomplete: "off", spellcheck: false, autofocus: true });
  fill(main, h("div", { className: "sign-in" },
    h("h1", {}, "Sign in"),
    reason ? h("p", { className: "notice", role: "alert" }, reason) : null,
    h("form", {
      onsubmit: (event) => {
        event.preventDefault();
        session.token = token.value.trim().replace(/^bearer\s+/i, "");
        show();
      },
    }, h("label", {}, "An administrator's token", token),
    h("button", { type: "submit", className: "main" }, "Sign in")),
    h("p", { className: "quiet" },
      "oversync token --user NAME --device console --role admin prints one. It stays in this tab, ",
      "and goes with it.")));
  token.focus();
}

async function show() {
  leave.abort();
  leave = new AbortController();
  if (!session.token) return signIn();
  const [name, query] = location.hash.replace(/^#\//, "").split("?");
  const page = pages.find((page) => page.name === name) ?? pages[0];
  signOut.hidden = false;
  document.title = `${page.title} – Oversync console`;
  fill(nav, pages.filter((page) => !page.hidden).map((other) => h("a", {
    href: link(other.name),
    "aria-current": other.name === (page.under ?? page.name) ? "page" : null,
  }, other.title)));
  fill(main, h("h1", {}, page.title), h("p", { className: "quiet" }, "…"));
  const content = h("div", {});
  const signal = leave.signal;
  try {
    const values = Object.fromEntries(new URLSearchParams(query ?? ""));
    await page.show(content, values, signal);
    if (signal.aborted) return;
    fill(main, h("h1", {}, page.title), content);
    say(page.title);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refusal && (error.status === 401 || error.code === "forbidden")) {
      return signIn(`${error.message} (${error.status} ${error.code})`);
    }
    fill(main, h("h1", {}, page.title), problem(error));
  }
}

signOut.addEventListener("click", () => signIn("You are signed out."));
addEventListener("hashchange", () => { show(); main.focus(); });
show();
