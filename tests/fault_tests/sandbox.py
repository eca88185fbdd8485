"""Code that tries to get out of the sandbox, or to take more than it may: what comes out must be the right error."""

from __future__ import annotations

import gc
import os
import secrets
from collections import Counter
from itertools import product
from pathlib import Path

from fault_tests.check import Check, Finding

from engine.errors import SandboxError, SandboxMemoryError, SandboxTimeoutError
from engine.tools.interpreter import VALUE_LIMIT, PythonInterpreter

_MEMORY = """
a = [];while True: a.append('x' * 100000)
'x' * 10**12
9 ** 9 ** 9
[0] * 10**9
list(range(10**9))
s = 'x' * 1000;while True: s += s
d = {};i = 0;while True: d[i] = i; i += 1
'a'.ljust(10**10)
b'x' * 10**10
bytes(10**10)
set(range(10**9))
f'{1:10000000000}'
','.join(['x' * 1000] * 10**8)
'x'.replace('x', 'y' * 10**10)
x = 'a' * 10**7;x.replace('a', 'b' * 1000)
[[0] * 10**6 for _ in range(10**4)]
tuple(range(10**9))
1 << 10**11
sorted(range(10**9))
{i: i for i in range(10**9)}
x = [1];while True: x = x + x
x = 'ab' * 10**7;[x.upper() for _ in range(100)]
import json;json.dumps(['x' * 10**6] * 1000)
import re;re.sub('a', 'b' * 10**6, 'a' * 10**5)
enumerate(range(10**10))
list(zip(range(10**9), range(10**9)))
'x'.encode() * 10**10
'x'.zfill(10**11)
raise ValueError('x' * 10**9)
[host('x' * 10**7) for _ in range(100)]
host(1);a = [];while True: a.append('y' * 10**6)
"""
_OUT = """
open('SECRET').read()
from pathlib import Path;Path('SECRET').read_text()
import os;os.listdir('/')
import os;os.environ['FAULT_SECRET']
import os;os.getenv('FAULT_SECRET')
import os;os.system('cat SECRET')
import subprocess;subprocess.run(['cat', 'SECRET'])
import socket;socket.create_connection(('127.0.0.1', 22))
import urllib.request;urllib.request.urlopen('file://SECRET').read()
import ctypes;ctypes.CDLL(None)
import sys;sys.modules['os'].environ
import importlib;importlib.import_module('os')
import builtins;builtins.open('SECRET').read()
__import__('os').environ
eval("open('SECRET').read()")
exec("import os; os.environ")
compile("1", "x", "eval")
globals()['__builtins__']
().__class__.__base__.__subclasses__()
''.__class__.__mro__[1].__subclasses__()
host.__globals__
host.__code__
host.__self__
host.__func__.__globals__
(lambda: 0).__globals__
type('X', (), {})().__class__.__init__.__globals__
getattr(host, '__glo' + 'bals__')
[].append.__self__.__class__.__base__
def f(): yield 1;f().gi_frame.f_back
try: 1 / 0;except Exception as e: e.__traceback__.tb_frame.f_globals
'{0.__class__.__init__.__globals__}'.format(host)
'{0.__globals__[FAULT_SECRET]}'.format(host)
import inspect;inspect.currentframe()
import gc;gc.get_objects()
import threading;threading.Thread(target=print).start()
import multiprocessing;multiprocessing.Process()
import signal;signal.alarm(1)
import pickle;pickle.loads(b"cos\\nsystem\\n(S'cat SECRET'\\ntR.")
import time;time.sleep(100)
input()
breakpoint()
exit()
host(open)
host(__builtins__)
raise SystemExit
raise KeyboardInterrupt
def f(): return f();f()
x = [];x.append(x);x == x
import os;os.remove('SECRET')
from pathlib import Path;Path('SECRET').write_text('x')
import shutil;shutil.rmtree('/')
import asyncio;asyncio.create_subprocess_shell('cat SECRET')
import code;code.interact()
host.__class__.__mro__
import requests;requests.get('http://127.0.0.1')
import sqlite3;sqlite3.connect('SECRET')
while True: host(1)
while True: pass
ValueError('x' * 10**7)
"""
_PLACES = (
    "{code}",
    "def run():\n{inner}\nrun()",
    "try:\n{inner}\nfinally:\n    host(2)",
    "host(1)\nfor _ in range(2):\n{inner}",
)
MEMORY = 32 * 2**20
MOST_GROWTH = 150
"""Megabytes that this process may have more at the end."""


def _codes(listed: str) -> list[str]:
    return [line.replace(";", "\n") for line in listed.strip().splitlines()]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def measure(folder: Path, small: bool) -> Finding:
    """Run every code in every place, and count what came out."""
    secret = secrets.token_hex(12)
    (folder / "secret").write_text(secret)
    os.environ["FAULT_SECRET"] = secret  # before the first worker starts, which would inherit it
    codes = [(c, True) for c in _codes(_MEMORY)] + [(c, False) for c in _codes(_OUT)]
    attempts = list(product(codes[:: 8 if small else 1], _PLACES[: 1 if small else None]))
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    _attempt("host(1)", secret)
    before = _resident()
    for (code, memory), place in attempts:
        code = code.replace("SECRET", str(folder / "secret"))
        inner = "\n".join(f"    {line}" for line in code.splitlines())
        end = _attempt(place.format(code=code, inner=inner), secret)
        ends[end] += 1
        if end in ("out", "wrong error") or (memory and end == "result"):
            wrong.append(code.splitlines()[0][:40])
    gc.collect()
    growth = _resident() - before
    figure = f"{len(attempts)} attempts, {ends['out']} out, {ends['wrong error']} in the wrong error, {growth:.0f} MB kept"
    return Finding(
        figure + (f" ({'; '.join(wrong[:3])})" if wrong else ""), met=not wrong and growth <= MOST_GROWTH
    )


def _attempt(code: str, secret: str) -> str:
    python = PythonInterpreter({"host": lambda x: x}, memory_limit=MEMORY, time_limit=2.0, call_limit=500)
    try:
        result = python(code)
    except (SandboxMemoryError, SandboxTimeoutError) as error:
        return type(error).__name__
    except SandboxError as error:
        return "out" if secret in str(error) else "refused"
    except Exception:  # noqa: BLE001 - any other error is what is looked for
        return "wrong error"
    return "out" if secret in str(result) or len(str(result)) > 1.1 * VALUE_LIMIT else "result"


CHECK = Check(
    "sandbox",
    "Code that tries to get out of the sandbox or to take more than it may",
    f"none out, none in the wrong error, at most {MOST_GROWTH} MB kept",
    measure,
)
