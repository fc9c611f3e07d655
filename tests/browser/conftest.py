"The site in the system's Chromium: `python docs/build.py && pytest tests/browser`, with the extra `browser` installed."
import shutil, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT/'_site'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
QUIET = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync']
SCREENS = dict(desktop=dict(viewport=dict(width=1280, height=900)),
               dark=dict(viewport=dict(width=1280, height=900), color_scheme='dark'),
               phone=dict(viewport=dict(width=390, height=844), device_scale_factor=2, is_mobile=True, has_touch=True))

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='session')
def base():
    "The address of the site, served from this process."
    if not (SITE/'index.html').exists(): pytest.skip('no _site: run python docs/build.py first')
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

@pytest.fixture(scope='session')
def chromium():
    "A browser without a window."
    if not CHROMIUM: pytest.skip('no Chromium on this system')
    sync_api = pytest.importorskip('playwright.sync_api', reason="the extra `browser` is not installed")
    with sync_api.sync_playwright() as p:
        # Chromium refuses its sandbox to root, as whom CI runs
        browser = p.chromium.launch(executable_path=CHROMIUM, args=QUIET, chromium_sandbox=False)
        yield browser
        browser.close()

@pytest.fixture
def visit(base, chromium):
    "Open a page on a screen; at the end of the test, everything that went wrong in it must be nothing."
    contexts, wrong = [], []
    def watch(page):
        page.on('pageerror', lambda e: wrong.append(f'{page.url}: {e}'))
        page.on('console', lambda m: wrong.append(f'{page.url}: {m.type}: {m.text}') if m.type in ('error', 'warning') else None)
        page.on('response', lambda r: wrong.append(f'{page.url}: {r.status} {r.url}') if r.status>=400 else None)
        page.on('requestfailed', lambda r: wrong.append(f'{page.url}: failed: {r.url}'))
        page.on('request', lambda r: None if r.url.startswith((base, 'data:', 'blob:')) else wrong.append(f'{page.url}: asks {r.url}'))
    def visit(path, screen='desktop', **kwargs):
        context = chromium.new_context(**SCREENS[screen], **kwargs)
        contexts.append(context)
        context.on('page', watch)
        page = context.new_page()
        page.goto(base+path, wait_until='load')
        return page
    yield visit
    for context in contexts: context.close()
    assert not wrong, '\n'.join(sorted({*wrong}))
