"""The oldest versions that `settings.ini` allows, as constraints for pip: `python .github/oldest.py > oldest.txt`.

Each `>=` of what the package needs, and of what its extras bring, becomes `==`. The extras for working on the project
itself are left out: they want newer versions of the same packages."""
import re
from configparser import ConfigParser
from pathlib import Path

WORKSHOP = {'dev_requirements', 'docs_requirements', 'browser_requirements'}

def oldest(settings):
    "`name==version` for each requirement in the section `settings`; a `ValueError` where one names no oldest version"
    found = {}
    for key in settings:
        if not key.endswith('requirements') or key in WORKSHOP: continue
        for requirement in settings[key].split():
            bound = re.fullmatch(r'([\w-]+)(?:\[.+\])?>=([\w.]+)(?:,.+)?', requirement)
            if not bound: raise ValueError(f'{key}: {requirement} names no oldest version; write {requirement}>=…')
            found[bound[1]] = bound[2]
    return [f'{name}=={version}' for name,version in sorted(found.items())]

if __name__=='__main__':
    ini = ConfigParser(delimiters=['='])
    ini.read(Path(__file__).parents[1]/'settings.ini', encoding='utf-8')
    print(*oldest(ini['DEFAULT']), sep='\n')
