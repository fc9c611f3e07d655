"Sphinx: how the pages become a site. Paths are relative to this folder; `build.py` fills `_build`."
import re, sys
from pathlib import Path
import sphinxcontrib.katex as katex
from sphinx.search.en import SearchEnglish

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))                               # where `pages.slug` is found
import road
from pages import Site, settings

project, author, copyright = settings['lib_name'], settings['author'], settings['copyright']
html_title, version, language = settings['title'], settings['version'], 'en'

extensions = ['myst_nb', 'sphinx_copybutton', 'sphinxcontrib.katex']
nb_execution_mode = 'off'                                   # outputs are the saved ones
nb_render_markdown_format = 'gfm' # tables in the markdown that a cell shows
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = 'Source'
myst_enable_extensions = ['amsmath', 'attrs_block', 'deflist', 'dollarmath']
myst_heading_anchors = 4
myst_heading_slug_func = 'pages.slug'
suppress_warnings = ['myst.header']                         # a reference is `###`, sometimes right under the title
katex_css_path = 'katex/katex.min.css'                      # the default is another host
katex_prerender = True                                      # no JavaScript for formulas
katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.          # seconds; the default of 5 is too short for a busy machine
katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket # the other one may connect too early

html_theme = 'sphinx_book_theme'
html_static_path = ['static', '../_build/static']
html_css_files = ['palette.css', 'site.css']
html_extra_path = ['../_build/extra']
html_favicon = 'static/favicon.svg'
html_copy_source = False
html_context = dict(default_mode='auto')
html_theme_options = dict(
    repository_url=settings['git_url'], repository_branch=settings['branch'], use_repository_button=True,
    use_download_button=False, navbar_persistent=[], show_toc_level=2, show_navbar_depth=1,
    logo=dict(alt_text=html_title, **{f'image_{t}': f'../_build/static/logo-{t}.svg' for t in ('light', 'dark')}),
    pygments_light_style='tango', pygments_dark_style='github-dark')

HAN = r'[\u3400-\u9fff]+'
class Search(SearchEnglish):
    "English words as ever; Chinese, which has no spaces, by its characters and its pairs of characters."
    js_splitter_code = r"""
var splitQuery = (query) => query.split(/[^\p{Letter}\p{Number}_]+/gu).filter(Boolean).flatMap((word) =>
  word.match(/[\u3400-\u9fff]+|[^\u3400-\u9fff]+/gu).flatMap((run) =>
    /[\u3400-\u9fff]/u.test(run) && run.length > 1
      ? Array.from({length: run.length - 1}, (_, i) => run.slice(i, i + 2)) : [run]));
"""
    def split(self, input):
        runs = re.findall(HAN, input)
        chinese = [r[i:i+n] for r in runs for n in (1, 2) for i in range(len(r)-n+1)]
        return super().split(re.sub(HAN, ' ', input)) + chinese

site = Site()
LANGUAGES = {site.page(file): road.language(nb) for file,nb in site.notebooks.items()}

def tell_language(app, pagename, templatename, context, doctree):
    "Tell the browser in which language a page is written."
    context['language'] = LANGUAGES.get(pagename, language)

def setup(app):
    app.add_search_language(Search)
    app.connect('html-page-context', tell_language)
