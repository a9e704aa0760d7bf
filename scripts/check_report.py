#!/usr/bin/env python3
"""A page of `mbspike report`, opened in headless Chromium: light and dark, on a phone, a tablet and a desk.

    mbspike report runs/smoke
    python3 scripts/check_report.py runs/smoke/report.html [--screenshots DIR]

Six times: nothing is wider than the window, no message on the console, no request but the page
itself, every figure has a size and a name, text stands out from its ground by a contrast of 4.5.
Exits with 1 if not. Without Chromium it says so and exits with 0. Needs nothing but Python.
"""
import argparse
import base64
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--hide-scrollbars", "--remote-debugging-pipe"]
WIDTHS = [360, 768, 1280]

PROBE = """(() => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const contrast = element => {
    const pair = [getComputedStyle(element).color, ground(element)].map(luminance);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const texts = [...document.querySelectorAll('h1, h2, h3, p, li, a, th, td, caption, figcaption, code, footer')];
  const figures = [...document.querySelectorAll('svg')].map(svg => {
    const { width, height } = svg.getBoundingClientRect();
    return { width, height, name: svg.querySelector('title')?.textContent ?? '' };
  });
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  return JSON.stringify({
    overflow: document.documentElement.scrollWidth - innerWidth,
    figures,
    faint: texts.filter(e => e.textContent.trim() && contrast(e) < 4.5).map(e => e.textContent.slice(0, 40)),
    double: ids.filter((id, i) => ids.indexOf(id) !== i),
    dead: [...document.querySelectorAll('a[href^="#"]')].map(a => a.hash.slice(1)).filter(id => !ids.includes(id)),
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
  });
})()"""


class Browser:
    """Chromium, spoken to over two pipes in JSON that ends with a zero byte."""

    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.incoming, from_browser = os.pipe()
        # Chromium reads from 3 and writes to 4, so its ends must not lie there before.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser, from_browser)]

        def connect():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4), preexec_fn=connect, stderr=subprocess.DEVNULL)
        for fd in (to_browser, from_browser, *ends):
            os.close(fd)
        self.buffer, self.n_sent, self.events = b"", 0, []

    def call(self, method, session=None, **params):
        self.n_sent += 1
        message = {"id": self.n_sent, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.n_sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.buffer:
            data = os.read(self.incoming, 1 << 20)
            if not data:
                raise RuntimeError("Chromium has gone")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(line)

    def wait_for(self, method):
        while not any(event["method"] == method for event in self.events):
            self.events.append(self.receive())

    def close(self):
        self.call("Browser.close")
        self.process.wait()


def check(browser, page, width, scheme, screenshots):
    """What is wrong with the page in a window of this width and colour scheme."""
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable", session)
    browser.call("Emulation.setDeviceMetricsOverride", session, width=width, height=900,
                 deviceScaleFactor=1, mobile=width < 500)
    browser.call("Emulation.setEmulatedMedia", session,
                 features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.events.clear()
    browser.call("Page.navigate", session, url=page.as_uri())
    browser.wait_for("Page.loadEventFired")
    result = browser.call("Runtime.evaluate", session, expression=PROBE)["result"]
    found = json.loads(result["value"])
    if screenshots:
        shot = browser.call("Page.captureScreenshot", session, captureBeyondViewport=True)
        name = f"{page.parent.name}-{width}-{scheme}.png"
        (screenshots / name).write_bytes(base64.b64decode(shot["data"]))
    browser.call("Target.closeTarget", targetId=target)

    wrong = []
    if found["dark"] != (scheme == "dark"):
        wrong.append("the colour scheme was not taken")
    if found["overflow"] > 0:
        wrong.append(f"{found['overflow']} px wider than the window")
    wrong += [f"no size or name: figure {f}" for f in found["figures"]
              if min(f["width"], f["height"]) < 50 or not f["name"]]
    wrong += [f"{kind}: {found[kind]}" for kind in ("faint", "double", "dead") if found[kind]]
    if not found["figures"]:
        wrong.append("no figures")
    for event in browser.events:
        params = event.get("params", {})
        if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            wrong.append(f"console: {params}")
        if event["method"] == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if url != page.as_uri() and not url.startswith("data:"):
                wrong.append(f"asks for {url}")
    print(f"{page}: {width} px, {scheme}: {len(found['figures'])} figures,", "; ".join(wrong) or "good")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder to put pictures into")
    arguments = parser.parse_args()
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print(f"skipped: there is no Chromium ({', '.join(NAMES)})")
        return
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        for page in arguments.pages:
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    wrong += check(browser, page.resolve(strict=True), width, scheme,
                                   arguments.screenshots)
        browser.close()
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
