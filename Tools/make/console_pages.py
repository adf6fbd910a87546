"""Drives chromium over its debugging pipe through the pages of the console. See console-test.sh."""

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

# Longest time until a page shows what it should, in seconds.
PATIENCE = 20
USER = "ada"


class Browser:
    """Chromium, and one page of it."""

    def __init__(self, folder):
        to_browser, commands = os.pipe()
        answers, from_browser = os.pipe()

        def pipes():
            # The numbers that --remote-debugging-pipe reads and writes.
            os.dup2(to_browser, 103)
            os.dup2(from_browser, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen(
            [
                "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update",
                "--disable-dev-shm-usage", "--hide-scrollbars", "--ignore-certificate-errors",
                "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank",
            ],
            preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.commands = os.fdopen(commands, "wb", buffering=0)
        self.answers = os.fdopen(answers, "rb")
        self.buffer = b""
        self.number = 0
        self.session = None
        self.problems = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(domain + ".enable")

    def message(self):
        while b"\0" not in self.buffer:
            part = os.read(self.answers.fileno(), 1 << 20)
            if not part:
                raise SystemExit("chromium has ended")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        self.commands.write(json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]
            self.heed(message)

    def heed(self, event):
        """Remembers what nobody should see."""
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.problems.append(json.dumps(told["args"])[:500])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.problems.append(told["entry"]["text"])
        elif method == "Audits.issueAdded" and "ContentSecurityPolicy" in told["issue"]["code"]:
            self.problems.append(json.dumps(told["issue"])[:500])
        elif method == "Page.javascriptDialogOpening":
            self.problems.append("a dialog: " + told["message"])
        elif method == "Network.requestWillBeSent":
            address = told["request"]["url"]
            if not address.startswith((self.base, "about:", "data:")):
                self.problems.append("asked elsewhere: " + address)

    base = "about:"

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, text):
        """Waits until the page shows all of these words."""
        end = time.monotonic() + PATIENCE
        shown = ""
        while time.monotonic() < end:
            shown = self.run("document.body ? document.body.innerText : ''")
            if all(part in shown for part in text):
                return shown
            time.sleep(0.1)
        missing = [part for part in text if part not in shown]
        self.problems.append(f"{self.run('location.hash')}: {missing} is not shown in:\n{shown[:1500]}")
        return shown

    def size(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def press(self, key, code=0):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, text="\r" if key == "Enter" and kind == "keyDown" else "")


def pages(row):
    """Each page with what it must show of the stack that console-test.sh has filled."""
    device = urllib.parse.urlencode({"user": USER, "device": "phone"})
    history = urllib.parse.urlencode(
        {"user": USER, "schema": "business", "table": "users", "pk": row})
    strange = urllib.parse.urlencode(
        {"user": "<img src=x onerror=alert(1)>", "device": '"><script>alert(1)</script>'})
    return [
        ("now", "#/now", ["Requests of devices", "upload", "download", "auth", "ready", "Log"]),
        ("tail", "#/tail", ["ada", "POST /sync/upload", "2 materialize_error", "1 conflict",
                            "401 authentication_failed", "<img src=x onerror=alert(1)>",
                            "answers this page"]),
        ("users", "#/users", ["ada", "phone", "laptop", "grace", "<img src=x onerror=alert(1)>"]),
        ("user", "#/users?user=ada", ["Log ends at", "laptop", "Rejected changes"]),
        ("device", "#/device?" + device,
         ["Why does this device not sync?", "rejected_rows", "held_rows", "business.posts",
          "OverSQLite 0.1.0", "Revoke its access"]),
        ("expired", "#/device?user=grace&device=watch", ["token_rejected", "it has expired"]),
        ("strange", "#/device?" + strange, ["<script>alert(1)</script>", "held_rows"]),
        ("rejected", "#/rejected", ["business.posts, SQLSTATE 23502", "Retry all 2", "ada"]),
        ("conflicts", "#/conflicts", ["laptop", "business.users " + row, "phone"]),
        ("row", "#/row?" + history, ["INSERT", "Ada Lovelace", "→"]),
        ("tables", "#/tables", ["business.users", "Capture of plain SQL", "on"]),
        ("database", "#/database", ["PostgreSQL", "sync.change_log", "Vacuum waits for", "Last vacuum", "Replication slots"]),
        ("keys", "#/keys", ["signing"]),
        ("audit", "#/audit", ["row.read", "token.issue", "materialize-failure.list", "request.list"]),
    ]


def act(browser, row):
    """What people do: retry all of a cause after a look, by the keyboard alone; revoke; sign out."""
    browser.run("location.hash = '#/rejected'")
    browser.wait(["Retry all 2"])
    browser.run("[...document.querySelectorAll('button')].find((b) => "
                "b.textContent.startsWith('Retry all')).focus()")
    browser.press("Enter", 13)
    browser.wait(["Each is decided as if its device sent it now"])
    focus = browser.run("document.activeElement.textContent")
    if focus != "Cancel":
        browser.problems.append(f"the dialog's focus is on {focus}")
    browser.press("Escape", 27)
    if browser.run("document.querySelector('dialog') !== null"):
        browser.problems.append("Escape does not close the dialog")
    browser.run("[...document.querySelectorAll('button')].find((b) => "
                "b.textContent.startsWith('Retry all')).click()")
    browser.run("document.querySelector('dialog button').click()")
    browser.wait(["2 of 2 tried: 2 materialize_error"])
    browser.run("location.hash = '#/device?user=ada&device=laptop'")
    for before, after in (("Revoke its access", "Restore its access"),
                          ("Restore its access", "Revoke its access")):
        browser.wait([before])
        browser.run(f"[...document.querySelectorAll('button')].find((b) => "
                    f"b.textContent === '{before}').click()")
        browser.run("document.querySelector('dialog button').click()")
        browser.wait([after])
    tail(browser)
    browser.run("document.getElementById('sign-out').click()")
    browser.wait(["You are signed out."])
    if browser.run("sessionStorage.length"):
        browser.problems.append("something is kept after signing out")
    if browser.run("document.cookie"):
        browser.problems.append("a cookie was set")


def send(path):
    """Asks the gateway as the user's phone, and expects an answer."""
    request = urllib.request.Request(
        os.environ["gateway"] + path, headers={"Authorization": "Bearer " + os.environ["PHONE"]})
    trust = ssl.create_default_context(cafile=os.environ["authority"])
    urllib.request.urlopen(request, context=trust).close()


def tail(browser):
    """A request appears by itself, a filter leaves out others, and a pause holds all back."""
    browser.run("location.hash = '#/tail?user=ada&device=phone&status=2xx'")
    browser.wait(["Show downloads without news, too", "POST /sync/upload", "answers this page"])
    for other in ("laptop", "authentication_failed", "/admin/"):
        if browser.run(f"document.querySelector('tbody').innerText.includes('{other}')"):
            browser.problems.append(f"the live tail shows {other}, which its filter leaves out")
    browser.run("document.querySelector('main').marked = true")
    send("/sync/schema-version")
    browser.wait(["GET /sync/schema-version"])
    if not browser.run("document.querySelector('main').marked === true"):
        browser.problems.append("the live tail was loaded anew")
    browser.run("[...document.querySelectorAll('button')].find((b) => "
                "b.textContent === 'Pause').click()")
    # A look may be on its way.
    browser.run("new Promise((go) => setTimeout(go, 500))")
    send("/sync/capabilities")
    browser.run("new Promise((go) => setTimeout(go, 2500))")
    if browser.run("document.querySelector('tbody').innerText.includes('/sync/capabilities')"):
        browser.problems.append("the live tail goes on while it is paused")
    browser.run("[...document.querySelectorAll('button')].find((b) => "
                "b.textContent === 'Go on').click()")
    browser.wait(["GET /sync/capabilities"])
    browser.run("location.hash = '#/audit?action=request.list'")
    browser.wait(["request.list"])
    visits = browser.run("document.querySelectorAll('tbody tr').length")
    if visits != 1:
        browser.problems.append(f"the audit has {visits} visits to the live tail in place of 1")


def main(base, folder, row):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        browser = Browser(scratch)
        browser.base = base
        try:
            browser.size(1280, 900)
            browser.call("Page.navigate", url=base + "/admin/console")
            browser.wait(["Sign in", "An administrator's token"])
            browser.picture(f"{folder}/sign-in.png")
            browser.run("document.querySelector('textarea').value = " + json.dumps(os.environ["ADMIN"]))
            browser.run("document.querySelector('main button').click()")
            for name, place, words in pages(row):
                browser.run(f"location.hash = {json.dumps(place)}")
                browser.wait(words)
                if name == "now":
                    # A second look, which has rates.
                    browser.wait(["/s"])
                browser.picture(f"{folder}/{name}.png")
                # Nothing that an attacker has named became an element.
                if browser.run("document.querySelectorAll('main img, main script, main b').length"):
                    browser.problems.append(f"{name}: a value became markup")
            places = {name: place for name, place, _ in pages(row)}
            for name, place in (("device", places["device"]), ("rejected", "#/rejected")):
                browser.run(f"location.hash = {json.dumps(place)}")
                browser.wait(["Why does"] if name == "device" else ["Retry all"])
                browser.size(390, 844)
                wide = browser.run("document.documentElement.scrollWidth")
                if wide > 390:
                    browser.problems.append(f"{name} is {wide} wide on a narrow screen")
                browser.picture(f"{folder}/{name}-narrow.png")
                browser.size(1280, 900, dark=True)
                browser.picture(f"{folder}/{name}-dark.png")
                browser.size(1280, 900)
            try:
                act(browser, row)
            except SystemExit as end:
                browser.problems.append(str(end))
            browser.run("sessionStorage.token = 'wrong'; location.hash = '#/now'")
            unauthorized = len(browser.problems)
            browser.wait(["401 authentication_failed"])
            # The browser itself tells of the 401.
            del browser.problems[unauthorized:]
        finally:
            browser.process.kill()
            browser.process.wait()
    for problem in browser.problems:
        print(problem, file=sys.stderr)
    print(f"{len(pages(row))} pages, {len(browser.problems)} problems; pictures in {folder}")
    return 1 if browser.problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
