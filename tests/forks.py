"What a process does before it forks children that may be killed: it shares no lock with them, and none of them lasts for ever."
import faulthandler, gc, sys
from tqdm import tqdm
from tqdm.std import TqdmDefaultWriteLock

def own_locks():
    "Call before the first fork, and before any progress bar: a lock that forks share stays taken if its holder is killed."
    TqdmDefaultWriteLock.mp_lock = None # a semaphore that forks share; the lock of threads remains
    tqdm.monitor_interval = 0           # else a thread that may hold a lock at the moment of a fork
    shared = [o for o in gc.get_objects() if any(c.__name__=='SemLock' for c in type(o).__mro__)]
    if shared: raise RuntimeError(f'forks would share {shared}')

def end_after(seconds, file=sys.stderr):
    "Show where every thread of this process stands and leave with code 1, if it still runs in so many `seconds`."
    faulthandler.dump_traceback_later(seconds, exit=True, file=file)
