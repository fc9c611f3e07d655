"What `python -m plm_nb` runs, and so a launcher of several processes: the command line, heard once."
import os, sys
from plm_nb.cli import main

if __name__=="__main__":
    if "LOCAL_RANK" in os.environ:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR") # DDP warns of a choice that is right
        from plm_nb.processes import heard_once
        heard_once()
    sys.exit(main())
