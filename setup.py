"Everything a package says of itself lives in `settings.ini`; this hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
s, end = ini['DEFAULT'], '_requirements'
setup(name=s['lib_name'], version=s['version'], description=s['description'], keywords=s['keywords'].split(),
      author=s['author'], author_email=s['author_email'], license='Apache-2.0',
      project_urls=dict(Source=s['git_url'], Documentation=s['doc_host']+s['doc_baseurl']),
      long_description=(here/'README.md').read_text(encoding='utf-8'),
      long_description_content_type='text/markdown',
      python_requires='>='+s['min_python'], install_requires=s['requirements'].split(),
      extras_require={k[:-len(end)]: s[k].split() for k in s if k.endswith(end)},
      packages=[s['lib_path']], package_data={s['lib_path']: ['*.mplstyle']},
      entry_points=dict(console_scripts=s['console_scripts'].split(),
                        nbdev=[f"{s['lib_name']}={s['lib_path']}._modidx:d"]))
