"""Exit 0 if a tag, `settings.ini` and `CHANGELOG.md` name one version: `python .github/version.py v0.1.0`.

A release has a date: the top section of the changelog is `## VERSION (YYYY-MM-DD)`."""
import re, sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]

def version():
    "The version in `settings.ini`, the one place that holds it."
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    return ini['DEFAULT']['version']

def top_section(changelog):
    "Version and date of the newest section of the text `changelog`; `not yet released` is a date, too."
    return re.search(r'^## (\S+) \((.+)\)$', changelog, re.M).groups()

def fault(tag, version, changelog):
    "Why `tag` may not be released, or an empty text."
    newest, date = top_section(changelog)
    if tag!=f'v{version}': return f'tag {tag}: settings.ini says {version}; the tag is v{version}'
    if newest!=version: return f'CHANGELOG.md: the top section is {newest}; settings.ini says {version}'
    if not re.fullmatch(r'\d{4}-\d\d-\d\d', date): return f'CHANGELOG.md: {version} ({date}); give the day, YYYY-MM-DD'
    return ''

if __name__=='__main__':
    sys.exit(fault(sys.argv[1], version(), (ROOT/'CHANGELOG.md').read_text(encoding='utf-8')) or 0)
