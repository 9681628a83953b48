"""Takes the screenshots of the README: the report and MLflow's UI for the results in mlruns/.

`make pictures`, after `make bench`. Needs Chromium on the path, which runs headless.
"""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
REPORT = Path("mlruns/report/index.html")


def main() -> None:
    """Take both pictures."""
    chromium = next(
        filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))),
        None,
    )
    if chromium is None or not REPORT.exists():
        sys.exit("pictures: needs a Chromium on the path, and the report that 'make bench' writes")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "optsuite", "ui", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        link = next(
            line.split(": ", 1)[1].strip()
            for line in server.stdout
            if line.startswith("mnist1d_cnn")
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            _report(browser.new_page(viewport={"width": 1280, "height": 860}))
            _ui(browser.new_page(viewport={"width": 1720, "height": 860}), link)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _report(page: Page) -> None:
    page.goto(REPORT.absolute().as_uri())
    page.screenshot(path=DOCS / "report.png")


def _ui(page: Page, link: str) -> None:
    page.goto(link)
    page.locator(".js-plotly-plot").first.wait_for(timeout=60_000)
    for button in page.locator(
        "button[aria-label*='lose']"
    ).all():  # of a panel that hides the charts
        button.click()
    page.wait_for_timeout(5_000)  # for the other charts
    page.screenshot(path=DOCS / "mlflow.png")


if __name__ == "__main__":
    main()
