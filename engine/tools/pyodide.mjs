// The inside of the Pyodide sandbox: run by Deno without any permission but to read Pyodide's own folder.
// It reads one JSON message a line (code to run, answers to calls) and writes one a line; see engine/tools/pyodide.py.

const [folder, memory, seed] = Deno.args;

const grow = WebAssembly.Memory.prototype.grow;
WebAssembly.Memory.prototype.grow = function (pages) {
  if (this.buffer.byteLength + pages * 65536 > Number(memory)) throw new RangeError("memory limit");
  return grow.call(this, pages);
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function write(text) {
  let bytes = encoder.encode(text + "\n");
  while (bytes.length) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
}

let waiting = [];
const buffer = new Uint8Array(65536);

function read() {
  while (true) {
    for (let i = 0; i < waiting.length; i++) {
      const end = waiting[i].indexOf(10);
      if (end < 0) continue;
      const parts = [...waiting.slice(0, i), waiting[i].subarray(0, end)];
      waiting = [waiting[i].subarray(end + 1), ...waiting.slice(i + 1)];
      const line = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
      let at = 0;
      for (const part of parts) { line.set(part, at); at += part.length; }
      return decoder.decode(line);
    }
    const size = Deno.stdin.readSync(buffer);
    if (size === null) Deno.exit(0); // whoever asked is gone
    waiting.push(buffer.slice(0, size));
  }
}

const { loadPyodide } = await import(`file://${folder}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: folder + "/", stderr: () => {} });
python.setStdout({
  write: (bytes) => {
    write(JSON.stringify({ print: decoder.decode(bytes) }));
    return bytes.length;
  },
});

const inside = python.toPy({});
inside.set("ask", (message) => { write(message); return read(); });
inside.set("seed", Number(seed));
python.runPython(`
import json, random, sys, traceback
from pyodide.code import eval_code

random.seed(int(seed))
scope = {"__name__": "__main__"}
ERRORS = {e.__name__: e for e in (NameError, TypeError, ValueError, RuntimeError)}

class Submitted(BaseException):
    pass

def plain(value):
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)

def sent(message):
    return json.dumps(message, default=plain, skipkeys=True)

def tool(name):
    def call(*args, **kwargs):
        answer = json.loads(ask(sent({"call": name, "args": args, "kwargs": kwargs})))
        if "error" in answer:
            raise ERRORS.get(answer["error"], RuntimeError)(answer["message"])
        return answer["result"]
    call.__name__ = call.__qualname__ = name
    return call

def submit(*args, **kwargs):
    ask(sent({"submit": True, "args": args, "kwargs": kwargs}))
    raise Submitted

def run(text):
    given = json.loads(text)
    import builtins
    scope.update(given["variables"])
    scope["SUBMIT"] = submit
    for name in given["tools"]:
        if not hasattr(builtins, name):
            scope[name] = tool(name)
    try:
        value = eval_code(given["code"], scope)
        sys.stdout.flush()
        try:
            return sent({"done": value})
        except (TypeError, ValueError, RecursionError):
            return sent({"done": repr(value)})
    except Submitted:
        return sent({"done": None})
    except BaseException as error:
        sys.stdout.flush()
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<exec>"]
        lines = [f"  line {f.lineno}, in {f.name}\\n" for f in frames[-10:]]
        told = "".join(traceback.format_exception_only(error))
        return sent({"failed": "".join(["Traceback:\\n", *lines, told]), "kind": type(error).__name__})
`, { globals: inside });
const run = inside.get("run");
write(JSON.stringify({ ready: true }));
while (true) write(run(read()));
