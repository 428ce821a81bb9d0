/**
 * Programs that try to get out of the sandbox, or to take more than they may. Each prints ESCAPED where it got through; what it may end with
 * instead is in `ends`. `{…}` stands for a target that the test watches from outside.
 */
export interface Attempt {
  name: string;
  code: string;
  /** Outcomes that are contained. */
  ends: ('returned' | 'raised' | 'flooded' | 'fatal' | 'time' | 'memory' | 'ended')[];
}

/** Runs `body` for each of `choices`, printing where it got through. */
const each = (choices: string[], body: string) => `
import sys, importlib, gc
for choice in ${JSON.stringify(choices)}:
    try:
        ${body.trim().split('\n').join('\n        ')}
        print('ESCAPED', choice)
    except BaseException as error:
        print('refused', choice, type(error).__name__)
`;
const refused = ['returned' as const];

export const attempts: Attempt[] = [
  {
    name: 'imports the bridge to JavaScript',
    code: each(
      ['js', 'pyodide_js', 'pyodide', 'pyodide.code', 'pyodide.ffi', '_pyodide', '_pyodide_core', '_pyodide._importhook'],
      `
importlib.import_module(choice)`,
    ),
    ends: refused,
  },
  {
    name: 'forgets the refusals and imports the bridge again',
    code: each(
      ['js', 'pyodide_js', 'pyodide', 'pyodide.ffi', '_pyodide_core', 'ctypes', '_ctypes'],
      `
for name in [known for known in sys.modules if known.partition('.')[0] in ('js', 'pyodide_js', 'pyodide', '_pyodide', '_pyodide_core', 'ctypes', '_ctypes')]:
    del sys.modules[name]
module = importlib.import_module(choice)
if choice == 'js':
    module.eval('1')
elif choice == 'pyodide_js':
    module.FS
elif choice == 'pyodide':
    module.code.run_js('1')
elif choice == 'pyodide.ffi':
    module.to_js([1]).constructor.constructor('return 1')()
elif choice == '_pyodide_core':
    module.to_js([1]).constructor.constructor('return 1')()
else:
    importlib.import_module('ctypes').CDLL(None).emscripten_run_script(b'globalThis.polluted = 1')`,
    ),
    ends: refused,
  },
  {
    name: 'looks for JavaScript objects among all live objects',
    code: `
import gc
types = [kind for kind in object.__subclasses__() if 'JsProxy' in kind.__name__ or 'JsProxy' in repr(kind)]
found = [thing for thing in gc.get_objects() if any('JsProxy' in base.__name__ for base in type(thing).__mro__)]
for thing in found:
    for path in (('constructor', 'constructor'), ('process',), ('globalThis',), ('FS',), ('_module',), ('mountNodeFS',)):
        try:
            for name in path:
                thing = getattr(thing, name)
            result = thing('return globalThis')() if path[0] == 'constructor' else thing
            print('ESCAPED', path, result)
        except BaseException:
            pass
print('found', len(found))
`,
    ends: ['returned', 'raised'],
  },
  {
    name: 'takes the bridge from functions that are still alive',
    code: `
import gc, types
for thing in gc.get_objects():
    if isinstance(thing, dict):
        for name in ('to_js', 'create_proxy', 'run_js', 'eval_code_async', 'jsproxies'):
            if name in thing and callable(thing[name]):
                try:
                    made = thing[name]([1]) if name != 'run_js' else thing[name]('1')
                    made.constructor.constructor('return process')().kill({parent}, 9)
                    print('ESCAPED', name)
                except BaseException as error:
                    print('refused', name, type(error).__name__)
`,
    ends: ['returned', 'raised', 'fatal', 'ended'],
  },
  {
    name: 'pollutes prototypes of JavaScript',
    code: `
import gc
for thing in gc.get_objects():
    if isinstance(thing, dict) and 'to_js' in thing:
        try:
            made = thing['to_js']([1])
            made.constructor.prototype.polluted = 1
            made.constructor.prototype.__proto__.polluted = 1
            print('ESCAPED')
        except BaseException as error:
            print('refused', type(error).__name__)
`,
    ends: ['returned', 'raised', 'fatal'],
  },
  {
    name: 'reads files of the host',
    code: each(
      ['{secret}', '/etc/passwd', '/etc/hostname', '/proc/self/environ', '/proc/1/cmdline', '../../../../etc/passwd', 'file:///etc/passwd'],
      `
open(choice).read()`,
    ),
    ends: refused,
  },
  {
    name: 'mounts a folder of the host',
    code: each(
      ['pyodide_js', 'pyodide', 'js'],
      `module = importlib.import_module(choice)\nmodule.mountNodeFS('/mnt', '/')\nprint(open('/mnt/etc/passwd').read())`,
    ),
    ends: refused,
  },
  {
    name: 'lists folders of the host',
    code: `
import os
print('ESCAPED' if os.path.exists('{folder}') or 'node_modules' in os.listdir('/') else 'nothing there')
`,
    ends: refused,
  },
  {
    name: 'writes files of the host',
    code: `
import os
try:
    os.makedirs('{folder}', exist_ok=True)
    open('{written}', 'w').write('out')
except OSError as error:
    print('refused', error)
`,
    ends: refused,
  },
  {
    name: 'opens sockets',
    code: each(
      ['socket', 'http', 'urllib', 'listen'],
      `
import socket, http.client, urllib.request
if choice == 'socket':
    line = socket.create_connection(('127.0.0.1', {port}), 2)
    line.send(b'hello')
elif choice == 'http':
    line = http.client.HTTPConnection('127.0.0.1', {port}, timeout=2)
    line.request('GET', '/')
    line.getresponse().read()
elif choice == 'urllib':
    urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=2).read()
else:
    line = socket.socket()
    line.bind(('0.0.0.0', 0))
    line.listen(1)
    line.accept()`,
    ),
    ends: ['returned', 'raised', 'fatal'],
  },
  {
    name: 'opens sockets through asyncio and the bridge',
    code: each(
      ['connection', 'fetch'],
      `
import asyncio
async def talk():
    if choice == 'connection':
        reader, writer = await asyncio.open_connection('127.0.0.1', {port})
        writer.write(b'hello')
    else:
        from pyodide.http import pyfetch
        await pyfetch('http://127.0.0.1:{port}/')
asyncio.run(talk())`,
    ),
    ends: ['returned', 'raised', 'fatal'],
  },
  {
    name: 'starts programs',
    code: each(
      ['subprocess', 'system', 'popen', 'fork', 'spawn', 'exec', 'multiprocessing'],
      `
import os, subprocess, multiprocessing
if choice == 'subprocess':
    subprocess.run(['true'], check=True)
elif choice == 'system':
    if os.system('true') != 0:
        raise OSError('refused')
elif choice == 'popen':
    os.popen('true').read()
elif choice == 'fork':
    os.fork()
elif choice == 'spawn':
    os.posix_spawn('/bin/true', ['true'], {})
elif choice == 'exec':
    os.execv('/bin/true', ['true'])
else:
    process = multiprocessing.Process(target=print)
    process.start()`,
    ),
    ends: refused,
  },
  {
    name: 'is a fork bomb',
    code: `
import os
while True:
    os.fork()
`,
    ends: ['raised'],
  },
  {
    name: 'is a thread bomb',
    code: `
import _thread
while True:
    _thread.start_new_thread(lambda: None, ())
`,
    ends: ['raised'],
  },
  {
    name: 'sends signals',
    code: each(
      ['kill parent', 'kill all', 'killpg', 'tgkill'],
      `
import os, signal
if choice == 'kill parent':
    os.kill({parent}, 9)
elif choice == 'kill all':
    os.kill(-1, 9)
elif choice == 'killpg':
    os.killpg(0, 9)
else:
    signal.pthread_kill(1, 9)`,
    ).replaceAll("print('ESCAPED', choice)", "print('done', choice)"),
    ends: ['returned', 'raised', 'fatal', 'ended'],
  },
  {
    name: 'signals itself to death',
    code: 'import signal\nsignal.raise_signal(9)\nwhile True: pass',
    ends: ['raised', 'fatal', 'ended', 'time'],
  },
  { name: 'aborts', code: 'import os\nos.abort()', ends: ['fatal', 'ended', 'raised'] },
  {
    name: 'reads the environment',
    code: `
import os
text = str(dict(os.environ))
try:
    import posix
    text += str(posix.environ)
except ImportError:
    pass
print('ESCAPED' if '{variable}' in text else 'empty')
`,
    ends: refused,
  },
  {
    name: 'goes through ctypes',
    code: each(
      ['ctypes', '_ctypes'],
      `importlib.import_module(choice)\nimport ctypes\nctypes.CDLL(None).emscripten_run_script(b'process.exit(0)')`,
    ),
    ends: refused,
  },
  {
    name: 'asks for 4 GiB at once',
    code: "import itertools\nx = [bytearray(1 << 30) for _ in range(4)]\nprint('ESCAPED')",
    ends: ['raised', 'memory'],
  },
  { name: 'grows for ever', code: "x = []\nwhile True: x.append('a' * 1_000_000)", ends: ['raised', 'memory', 'fatal'] },
  {
    name: 'swallows that memory is full',
    code: "x = []\nwhile True:\n    try: x.append('a' * 10_000_000)\n    except MemoryError: pass",
    ends: ['time', 'memory', 'fatal'],
  },
  {
    name: 'fills memory through files',
    code: "f = open('/tmp/big', 'wb')\nwhile True: f.write(bytes(1 << 24))",
    ends: ['raised', 'memory', 'fatal', 'ended', 'time'],
  },
  { name: 'loops for ever', code: 'while True: pass', ends: ['time'] },
  { name: 'loops for ever and catches everything', code: 'while True:\n    try: 1 / 0\n    except BaseException: pass', ends: ['time'] },
  { name: 'loops in C', code: 'sum(iter(int, 1))', ends: ['time'] },
  { name: 'backtracks without end in a regular expression', code: "import re\nre.match('(a+)+$', 'a' * 64 + 'b')", ends: ['time'] },
  { name: 'raises to a huge power', code: 'x = 9 ** 9 ** 9', ends: ['time', 'raised', 'memory'] },
  { name: 'sleeps', code: 'import time\ntime.sleep(10_000)', ends: ['time'] },
  { name: 'floods standard output', code: "while True: print('x' * 100_000)", ends: ['flooded'] },
  {
    name: 'floods standard output and catches everything',
    code: "while True:\n    try: print('x' * 100_000)\n    except BaseException: pass",
    ends: ['time', 'flooded'],
  },
  { name: 'floods standard error', code: "import sys\nwhile True: print('x' * 100_000, file=sys.stderr)", ends: ['time'] },
  { name: 'recurses without end', code: 'def f(n): return f(n + 1)\nf(0)', ends: ['raised', 'fatal'] },
  {
    name: 'recurses without end and without a limit',
    code: 'import sys\nsys.setrecursionlimit(2**31 - 1)\ndef f(n): return f(n + 1)\nf(0)',
    ends: ['raised', 'fatal', 'memory', 'time'],
  },
  {
    name: 'recurses in C',
    code: 'class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x',
    ends: ['raised', 'fatal'],
  },
  {
    name: 'answers in the place of the sandbox',
    code: `
import os, sys
line = '\\n{"type":"ran","outcome":"returned","output":"42","value":null,"error":null}\\n'
print(line)
for descriptor in range(0, 20):
    try:
        os.write(descriptor, line.encode())
    except OSError:
        pass
`,
    ends: ['returned', 'raised'],
  },
  {
    name: 'changes what runs it',
    code: `
import sys, json
json.dumps = lambda value: '{"value": null, "error": null}'
frame = sys._getframe(1)
frame.f_globals['_state'].clear()
frame.f_globals['_run'] = None
print('changed')
`,
    ends: ['returned', 'raised'],
  },
];
