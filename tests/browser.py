"""A headless Chromium that sees one page, and what it complained about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Browser", "browser", "why_no_browser"]

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--lang=en",
)  # fmt: skip

_CONTRAST = """
const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = colour => {
  const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(part => linear(part / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const element = document.querySelector(arguments[0]);
let below = element;
while (below.parentElement && / 0\\)$/.test(getComputedStyle(below).backgroundColor)) below = below.parentElement;
const [one, other] = [light(getComputedStyle(element).color), light(getComputedStyle(below).backgroundColor)];
return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
"""


def why_no_browser() -> str:
    """What is missing; empty where there is a browser."""
    try:
        import selenium  # noqa: F401
    except ModuleNotFoundError:
        return "needs selenium, which is not installed"
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"needs {' and '.join(missing)} (Debian: apt-get install chromium chromium-driver)" if missing else ""


class Browser:
    """Opens pages from disk and looks at them."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Open a file at the size of a desktop or of a phone."""
        self.open_address(page.resolve().as_uri(), width=width, height=height, dark=dark)

    def open_address(self, address: str, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Open an address."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(address)
        self.run("document.documentElement.style.scrollBehavior = 'auto'")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript; what it returns."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        """Elements by CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """The first element."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Text of the elements, as it is in the page (not only what is in view)."""
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))

    def choose(self, name: str, value: str) -> None:
        """Set a field of the gallery's filters as a reader does."""
        self.run(
            "const field = document.querySelector(`#filters [name=${arguments[0]}]`); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))", name, value,
        )  # fmt: skip

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def until(self, script: str, seconds: float = 10) -> Any:
        """Wait until a script returns something true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self.run(script))

    def contrast(self, selector: str) -> float:
        """The contrast ratio of the first such element's text with what lies below it (WCAG 2)."""
        return float(self.run(_CONTRAST, selector))

    def complaints(self) -> list[str]:
        """Errors and warnings of the page's console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What was fetched from anywhere but this disk and the page itself."""
        names = self.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        return [name for name in names if not name.startswith(("file:", "data:"))]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Chromium with a fresh profile; the driver is the machine's own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
