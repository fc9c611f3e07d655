"What is wrong with a page of the finished site, as far as its HTML shows it."
import re
from html.parser import HTMLParser

class _Prose(HTMLParser):
    "Gathers the text of a page, without code, formulas, scripts and the tables that cells show."
    quiet = {'annotation', 'code', 'pre', 'script', 'style', 'textarea', 'title'}
    def __init__(self):
        super().__init__()
        self.texts, self.inside, self.depth = [], None, 0
    def handle_starttag(self, tag, attrs):
        shown = tag=='table' and 'dataframe' in (dict(attrs).get('class') or '')
        if self.inside is None and (tag in self.quiet or shown): self.inside = tag
        if tag==self.inside: self.depth += 1
    def handle_endtag(self, tag):
        if tag!=self.inside: return
        self.depth -= 1
        if not self.depth: self.inside = None
    def handle_data(self, data):
        if self.inside is None: self.texts.append(data)

def stray_dollars(html):
    "The text around each `$` that a reader would see: the sign of a formula that was not read as one."
    prose = _Prose()
    prose.feed(html)
    text = ' '.join(''.join(prose.texts).split())
    return [m[0] for m in re.finditer(r'[^$]{0,40}\$+[^$]{0,40}', text)]

def broken_formulas(html):
    "Does a formula of the page not parse?"
    return re.search('katex-error|#cc0000', html) is not None
