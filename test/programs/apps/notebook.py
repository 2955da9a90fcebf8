"""A Jupyter kernel, and a client that has it execute the cells of a notebook through ZeroMQ; argument: how many."""
import os
import sys
from jupyter_client import KernelManager

CELLS = int(sys.argv[1])
os.environ["IPYTHONDIR"] = os.path.abspath("ipython")
manager = KernelManager(kernel_name="python3", connection_file=os.path.abspath("kernel.json"))
with open("kernel.log", "w") as kernel_log:
    manager.start_kernel(stdout=kernel_log, stderr=kernel_log)
client = manager.blocking_client()
# An answer is awaited, however long it takes: nobody listens to the kernel's heart.
client.start_channels(hb=False)
client.wait_for_ready()


def execute(code):
    """What a cell shows: its output, its result, its error, in the order in which they come."""
    request = client.execute(code, stop_on_error=False)
    shown = []
    while True:
        message = client.get_iopub_msg()
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            shown.append(content["text"])
        elif kind == "execute_result":
            shown.append(f"[{content['execution_count']}] {content['data']['text/plain']}")
        elif kind == "error":
            shown.append(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            break
    reply = client.get_shell_msg()
    while reply["parent_header"].get("msg_id") != request:
        reply = client.get_shell_msg()
    return f"{reply['content']['status']} {''.join(shown)}"


log = open("log", "w")
execute("import hashlib, threading, time\nchain, history = b'start', []")
for number in range(CELLS):
    cell = f"chain = hashlib.sha256(chain + b'{number}').digest()\nhistory.append(chain)\nchain.hex()[:16]"
    if number % 5 == 1:
        cell = f"def step(x, y={number}):\n    return hashlib.sha256(x * y).digest()\nchain = step(chain)\nprint('stepped', {number}, chain[:4].hex())"
    if number % 5 == 2:
        cell = "other = threading.Thread(target=lambda: (time.sleep(0.005), history.append(b'thread')))\nother.start()\nother.join()\nlen(history)"
    if number % 5 == 3:
        cell = f"history[{number * 10}]"
    log.write(f"{number} {execute(cell)}\n")
    log.flush()
print(execute("(len(history), chain.hex())"))
client.stop_channels()
manager.shutdown_kernel()
print("the kernel ended", manager.has_kernel)
