"""What a reader does with the site, done in the system's Chromium.

`pip install -c constraints.txt -e '.[docs,browser]' && python docs/build.py && pytest tests/browser`"""
import json, re, shutil, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT/'docs'))
import road
from pages import Site
SITE = ROOT/'_site'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
QUIET = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync']
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
        def note(when, what): return wrong.append(f'{page.url}: {what}') if when else None
        page.on('pageerror', lambda e: note(True, e))
        page.on('console', lambda m: note(m.type in ('error', 'warning'), f'{m.type}: {m.text}'))
        page.on('response', lambda r: note(r.status>=400, f'{r.status} {r.url}'))
        # what leaving a page cuts short did not fail
        page.on('requestfailed', lambda r: note(r.failure!='net::ERR_ABORTED', f'failed: {r.url}, {r.failure}'))
        page.on('request', lambda r: note(not r.url.startswith((base, 'data:', 'blob:')), f'asks {r.url}'))
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

PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob('*.html')
               if not {'_static', '_sources'} & {*p.parts}) or ['index.html']
NOTEBOOKS = Site().notebooks
ROOMS = [p for p in PAGES if p not in ('genindex.html', 'search.html')]

@pytest.mark.parametrize('screen', SCREENS)
@pytest.mark.parametrize('path', PAGES)
def test_page_fits_and_is_whole(visit, path, screen):
    page = visit(path, screen)
    page.wait_for_timeout(100)
    wide = page.evaluate("""() => [...document.querySelectorAll('article *')].filter(e => {
        if (e.closest('.katex, pre, table')) return false;                             // these scroll by themselves
        return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    }).map(e => e.outerHTML.slice(0, 80))""")
    assert not wide, 'these elements stick out to the right: ' + '\n'.join(wide)
    assert page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')<=0

CODE = """() => {
    const width = (line) => [...line].reduce((n, c) => n + (c > '\\u2e7f' ? 2 : 1), 0);         // Chinese takes two columns
    for (const d of document.querySelectorAll('article details')) d.open = true;
    const code = [...document.querySelectorAll('article div.cell_input pre, article div.highlight pre')];
    return [...new Set(code)].filter(e => !e.closest('div.cell_output'))
        .map(e => [Math.max(...e.innerText.split('\\n').map(width)), e.scrollWidth - e.clientWidth,
                   getComputedStyle(e).overflowX, e.innerText.slice(0, 60)])
}"""

@pytest.mark.parametrize('path', ROOMS)
def test_code_of_100_columns_fits(visit, path):
    found = visit(path).evaluate(CODE)
    wide = [text for columns,over,_,text in found if columns<=100 and over>1]
    assert not wide, 'this code does not fit its column:\n' + '\n---\n'.join(wide)

def test_code_scrolls_within_itself_on_a_phone(visit):
    wide = [how for columns,over,how,_ in visit('tokenizer.html', 'phone').evaluate(CODE) if over>1]
    assert wide and {*wide}=={'auto'}

def test_the_side_bar_shows_the_parts(visit):
    shown = visit('index.html').locator('.bd-sidebar-primary p.caption').all_inner_texts()
    assert shown==[name for name,*_ in road.sections(NOTEBOOKS)]

@pytest.mark.parametrize('path', ROOMS)
def test_every_picture_is_there_and_has_words(visit, path):
    page = visit(path)
    pictures = page.eval_on_selector_all('article img', 'es => es.map(e => [e.alt, e.naturalWidth, e.src])')
    for alt,width,src in pictures: assert width and len(re.findall(r'[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+', alt))>=5, (alt, width, src)

def results(page):
    "Titles and addresses of what the search page found."
    page.wait_for_selector('#search-results li a')
    page.wait_for_timeout(300)
    return page.eval_on_selector_all('#search-results li > a', 'es => es.map(e => [e.textContent, e.getAttribute("href")])')

@pytest.mark.parametrize('word, where', [
    ('perplexity', 'perplexity.html'), ('mask_tokens', 'objectives.html#mask-tokens'), ('load_corpus', 'data.html'),
    ('词元', 'glossary.html'), ('交叉验证', 'glossary.html'), ('阅读理解', 'tutorials/chinese.html'), ('全部命令', 'index_zh.html')])
def test_search_finds(visit, word, where):
    found = results(visit(f'search.html?q={word}'))
    assert any(href.split('?')[0].startswith(where) for _,href in found[:4]), found[:8]

@pytest.mark.parametrize('path, language', [('index.html', 'en'), ('glossary.html', 'en'), ('index_zh.html', 'zh-CN'),
                                            ('tutorials/chinese.html', 'zh-CN')])
def test_a_page_says_its_language(visit, path, language):
    assert visit(path).evaluate('document.documentElement.lang')==language

def test_search_from_the_keyboard(visit):
    page = visit('data.html')
    page.keyboard.press('Control+k')
    page.keyboard.type('perplexity')
    page.keyboard.press('Enter')
    page.wait_for_url('**/search.html?q=perplexity')
    assert results(page)

def test_search_says_when_nothing_is_there(visit):
    page = visit('search.html?q=龘龘龘')
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")

def test_copy_button_copies(visit):
    page = visit('metrics.html', permissions=['clipboard-read', 'clipboard-write'])
    cell = page.locator('div.cell_input:visible').nth(2)
    cell.hover()
    cell.locator('button.copybtn').click()
    copied = page.evaluate('navigator.clipboard.readText()')
    assert copied.strip() and copied.strip()==cell.locator('pre').inner_text().strip()

def test_theme_switch(visit):
    page = visit('index.html')
    def color(): return page.evaluate("getComputedStyle(document.body).backgroundColor")
    def choose(mode):
        page.locator('button.theme-switch-button:visible').first.click()
        page.locator(f'[data-mode={mode}]:visible').first.click()
        page.wait_for_function(f'document.documentElement.dataset.theme=="{mode}"')
        return color()
    light, dark = choose('light'), choose('dark')
    assert light!=dark
    page.reload()
    assert color()==dark, 'the choice is forgotten'
    assert choose('light')==light

@pytest.mark.parametrize('file', NOTEBOOKS)
def test_colab_and_download_give_this_notebook(visit, file):
    page = visit(f'{Site().page(file)}.html')
    href = page.locator('a.colab').get_attribute('href')
    assert href.startswith('https://colab.research.google.com/github/') and href.endswith(f'/nbs/{file}'), href
    with page.expect_download() as download: page.locator('a.download').click()
    assert json.loads(Path(download.value.path()).read_text('utf-8'))==json.loads((ROOT/'nbs'/file).read_text('utf-8'))

def test_the_road_can_be_walked(visit):
    page, seen = visit('index.html'), []
    while page.locator('a.right-next').count():
        seen.append(page.url.rpartition('/')[2])
        page.locator('a.right-next').click()
        page.wait_for_load_state('load')
    assert len(seen)+1==len(NOTEBOOKS), seen
    page.locator('a.left-prev').click()
    page.wait_for_url(f'**/{seen[-1]}')

def test_a_phone_opens_the_menu(visit):
    page = visit('metrics.html', 'phone')
    page.locator('button.primary-toggle').click()
    link = page.locator('.bd-sidebar-primary a', has_text='Tokenizer')
    link.wait_for(state='visible')
    link.click()
    page.wait_for_url('**/tokenizer.html')

def test_a_source_link_names_a_line_that_defines_it(visit):
    page = visit('objectives.html')
    href = page.locator('#mask-tokens a.source').get_attribute('href')
    file, line = href.rpartition('/plm_nb/')[2].split('#L')
    assert 'def mask_tokens(' in (ROOT/'plm_nb'/file).read_text('utf-8').split('\n')[int(line)-1]

@pytest.mark.parametrize('path, screen',
                         [('index.html', 'desktop'), ('index.html', 'phone'), ('start.html', 'phone'), ('finetuning.html', 'desktop'),
                          ('metrics.html', 'dark')])
def test_leave_a_picture(visit, path, screen):
    folder = ROOT/'_build/screenshots'
    folder.mkdir(parents=True, exist_ok=True)
    visit(path, screen).screenshot(path=folder/f"{path.removesuffix('.html')}-{screen}.png", full_page=True)
