/**
 * The Python side: loads a program as LiveCodeBench does (with the modules its answers expect at hand), runs it against one input after the
 * other, and hides the bridge to JavaScript. It is part of the memory snapshot, so importing it all costs nothing at the start.
 */

/** Modules whose names LiveCodeBench puts before every answer, in its order: later ones win. */
const starred = ['string', 're', 'datetime', 'collections', 'heapq', 'bisect', 'copy', 'math', 'random', 'statistics', 'itertools'].concat([
  ...['functools', 'operator', 'io', 'sys', 'json', 'builtins', 'typing'],
]);
const named = ['string', 're', 'datetime', 'collections', 'heapq', 'bisect', 'copy', 'math', 'random', 'statistics', 'itertools'].concat([
  ...['functools', 'operator', 'io', 'sys', 'json'],
]);
const alsoImported = [
  'array',
  'cmath',
  'dataclasses',
  'decimal',
  'enum',
  'fractions',
  'numbers',
  'os',
  'queue',
  'textwrap',
  'threading',
  'time',
];

export const pythonHarness = `
${[...named, ...alsoImported].map((name) => `import ${name}`).join('\n')}
import atexit, builtins, types, _imp
_names = {}
exec(${JSON.stringify([...starred.map((name) => `from ${name} import *`), ...named.map((name) => `import ${name}`)].join('\n'))}, _names)
del _names['__builtins__']
sys.setrecursionlimit(50000)
_state = {}

class _Ended(SystemExit):
    pass

def _end(status=0):
    raise _Ended(status)

os._exit = _end
for _name in ('exit', 'quit'):
    if not hasattr(builtins, _name):
        setattr(builtins, _name, sys.exit)

# There are no threads here, and answers use one to get a deeper stack: it runs when it is started.
def _start_thread(thread):
    thread._started.set()
    try:
        thread.run()
    finally:
        thread._os_thread_handle = None
threading.Thread.start = _start_thread
threading.Thread.join = lambda thread, timeout=None: None
threading.Thread.is_alive = lambda thread: False
threading.stack_size = lambda size=0: 0

def _describe(error):
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == 'answer.py' else None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == 'answer.py':
            line = step.tb_lineno
        step = step.tb_next
    try:
        text = str(error)[:300]
    except BaseException:
        text = ''
    place = f' (line {line})' if line else ''
    return type(error).__name__ + (': ' + text if text else '') + place

def _module():
    module = types.ModuleType('__main__')
    module.__dict__.update(_names)
    module.__dict__['__file__'] = 'answer.py'
    sys.modules['__main__'] = module
    return module.__dict__

# Programs close them (open(0) does when it is collected) or put others in their places.
def _open_streams():
    for descriptor, path, mode in ((0, '/dev/stdin', os.O_RDONLY), (1, '/dev/stdout', os.O_WRONLY), (2, '/dev/stderr', os.O_WRONLY)):
        try:
            _close(descriptor)
        except OSError:
            pass
        opened = _open(path, mode)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            _close(opened)

_open, _close = os.open, os.close

def _streams():
    _open_streams()
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding='utf-8', errors='surrogateescape')
    output = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)), encoding='utf-8', errors='backslashreplace')
    sys.stdout = output
    sys.stderr = io.TextIOWrapper(io.FileIO(2, 'w', closefd=False), encoding='utf-8', errors='backslashreplace', write_through=True)
    return output

def _load(source, function_name):
    _state.clear()
    _streams()
    try:
        code = compile(source, 'answer.py', 'exec', dont_inherit=True)
        if not function_name:
            _state['code'] = code
            return ''
        names = _module()
        exec(code, names)
        holder = names.get('Solution')
        if isinstance(holder, type):
            _state['function'] = getattr(holder(), function_name)
        elif function_name in names:
            _state['function'] = names[function_name]
        else:
            return 'NameError: there is no class Solution and no function ' + function_name
        return ''
    except BaseException as error:
        return _describe(error)

def _run(text, limit):
    output = _streams()
    value = failure = None
    try:
        if 'code' in _state:
            exec(_state['code'], _module())
        else:
            result = _state['function'](*[json.loads(line) for line in text.split('\\n')])
            value = json.dumps(result)
            if len(value) > limit:
                value, failure = None, 'flooded'
    except SystemExit:
        pass
    except BaseException as error:
        failure = _describe(error)
    if 'function' in _state and value is None and failure is None:
        failure = 'SystemExit: the function ended the program'
    try:
        atexit._run_exitfuncs()
        output.flush()
    except BaseException as error:
        failure = failure or _describe(error)
    return json.dumps({'value': value, 'error': failure})

def _seal(loads=json.loads, dumps=json.dumps):
    hidden = ('js', 'pyodide_js', 'pyodide', '_pyodide', '_pyodide_core', 'ctypes', '_ctypes')
    from _pyodide._importhook import jsfinder
    jsfinder.jsproxies.clear()
    sys.meta_path[:] = [finder for finder in sys.meta_path if 'pyodide' not in (getattr(finder, '__module__', None) or type(finder).__module__)]
    for name in list(sys.modules):
        if name.partition('.')[0] in hidden:
            del sys.modules[name]
    for name in hidden:
        sys.modules[name] = None
    create = _imp.create_builtin
    def create_builtin(spec):
        if spec.name in hidden:
            raise ImportError('no module named ' + spec.name)
        return create(spec)
    _imp.create_builtin = create_builtin
    os.environ.clear()
    return ''
`;
