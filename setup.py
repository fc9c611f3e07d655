"Everything a package says of itself lives in `settings.ini`; this hands it to setuptools."
import json
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here/'settings.ini', encoding='utf-8')
s, end = ini['DEFAULT'], '_requirements'

class WithNotebooks(build_py):
    "Puts the notebooks beside the modules, without what their cells show: `plm lab` copies them from there."
    def run(self):
        super().run()
        if not self.editable_mode: self.add_notebooks(here/'nbs', Path(self.build_lib)/s['lib_path']/'notebooks')

    def add_notebooks(self, source, target):
        for path in sorted(source.rglob('*.ipynb')):
            inside = path.relative_to(source)
            if any(part[0] in '._' for part in inside.parts): continue # what editors and builds leave
            nb = json.loads(path.read_text(encoding='utf-8'))
            for cell in nb['cells']:
                if cell['cell_type']=='code': cell.update(outputs=[], execution_count=None)
            (target/inside).parent.mkdir(parents=True, exist_ok=True)
            (target/inside).write_text(json.dumps(nb, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')

setup(name=s['lib_name'], version=s['version'], description=s['description'], keywords=s['keywords'].split(),
      author=s['author'], author_email=s['author_email'], license_expression='Apache-2.0',
      project_urls=dict(Source=s['git_url'], Documentation=s['doc_host']+s['doc_baseurl']),
      long_description=(here/'README.md').read_text(encoding='utf-8'),
      long_description_content_type='text/markdown',
      python_requires='>='+s['min_python'], install_requires=s['requirements'].split(),
      extras_require={k[:-len(end)]: s[k].split() for k in s if k.endswith(end)},
      packages=[s['lib_path']], package_data={s['lib_path']: ['*.mplstyle']},
      cmdclass=dict(build_py=WithNotebooks),
      entry_points=dict(console_scripts=s['console_scripts'].split(),
                        nbdev=[f"{s['lib_name']}={s['lib_path']}._modidx:d"]))
