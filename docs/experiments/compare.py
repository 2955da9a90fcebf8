"""
Compares Cairn with CRIU and DMTCP on one machine, in one run: how long a program stands still for a checkpoint, how long the
command takes, and how long it is from the command to restart until the program has turned its loop again.

    python3 compare.py FOLDER ROUNDS MIB[,MIB...] cairn=PATH [criu=PATH] [dmtcp=FOLDER-OF-ITS-COMMANDS]

The program holds that much random memory and turns a loop of half a millisecond; it counts and keeps its longest gap in
a mapped file, so that all is measured from outside and in the same way. After a restart it checks its memory. Needs root, for CRIU.
"""
import glob, mmap, os, shutil, signal, statistics, struct, subprocess, sys, time

PYTHON = "/usr/bin/python3"
PROGRAM = """
import mmap, os, struct, sys, time, zlib
file = open(sys.argv[1], "r+b"); board = mmap.mmap(file.fileno(), 4096)
data = bytearray()
for _ in range(int(sys.argv[2])): data += os.urandom(1 << 20)
checksum = zlib.crc32(data)
last = time.monotonic_ns(); turns = 0
while True:
    time.sleep(0.0005)
    now = time.monotonic_ns(); turns += 1
    gap = now - last; last = now
    if gap > struct.unpack_from("<q", board, 8)[0]: struct.pack_into("<q", board, 8, gap)
    struct.pack_into("<q", board, 0, turns)
    if board[16] == 1: board[16] = 2 if zlib.crc32(data) == checksum else 3; last = time.monotonic_ns()
"""


class Board:
    def __init__(self, folder):
        self.path = f"{folder}/board"
        self.file = open(self.path, "w+b")
        self.file.write(b"\0" * 4096)
        self.file.flush()
        self.memory = mmap.mmap(self.file.fileno(), 4096)

    def turns(self): return struct.unpack_from("<q", self.memory, 0)[0]
    def longest_gap_ms(self): return struct.unpack_from("<q", self.memory, 8)[0] / 1e6
    def forget_gap(self): struct.pack_into("<q", self.memory, 8, 0)

    def until(self, is_so):
        deadline = time.monotonic() + 90
        while not is_so():
            if time.monotonic() > deadline: raise RuntimeError("waited in vain")
            time.sleep(0.0005)

    def check_memory(self):
        self.memory[16] = 1
        self.until(lambda: self.memory[16] > 1)
        if self.memory[16] != 2: raise RuntimeError("the memory is not what it was")


def run(*command, env=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    if done.returncode: raise RuntimeError(f"{command}: {done.stdout[-500:]}")


def start(folder, *command, env=None):
    return subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=open("/dev/null", "w"), stderr=subprocess.STDOUT, start_new_session=True)


class Cairn:
    def __init__(self, path, folder, program):
        self.path, self.folder, self.program = path, folder, program
        self.env = dict(os.environ, CAIRN_STORE=f"{folder}/store")
    def begin(self): self.job = start(self.folder, self.path, "run", "--name", "job", "--", *self.program, env=self.env)
    def checkpoint(self): run(self.path, "checkpoint", "job", env=self.env)
    def stop(self): run(self.path, "checkpoint", "job", "--stop", env=self.env); self.job.wait()
    def restart(self): self.job = start(self.folder, self.path, "restart", "job", env=self.env)
    def end(self): run(self.path, "rm", "job", "--force", env=self.env); self.job.wait()


class Criu:
    def __init__(self, path, folder, program):
        self.path, self.folder, self.program, self.image = path, folder, program, f"{folder}/image"
    def begin(self): self.job = start(self.folder, *self.program)
    def dump(self, *options):
        shutil.rmtree(self.image, ignore_errors=True)
        os.mkdir(self.image)
        run(self.path, "dump", "-t", str(self.job.pid), "-D", self.image, *options)
    def checkpoint(self): self.dump("--leave-running")
    def stop(self): self.dump(); self.job.wait()
    def restart(self): self.restorer = start(self.folder, self.path, "restore", "-D", self.image, "-d")
    def end(self): os.kill(self.job.pid, signal.SIGKILL); self.restorer.wait()


class Dmtcp:
    def __init__(self, path, folder, program):
        self.path, self.folder, self.program = path, folder, program
        self.port = str(17000 + os.getpid() % 1000)
        self.env = dict(os.environ, DMTCP_CHECKPOINT_DIR=folder)
    def command(self, option): run(f"{self.path}/dmtcp_command", "-p", self.port, option)
    def begin(self):
        self.coordinator = start(self.folder, f"{self.path}/dmtcp_coordinator", "--exit-on-last", "-p", self.port)
        time.sleep(0.5)
        self.job = start(self.folder, f"{self.path}/dmtcp_launch", "-j", "--no-gzip", "-p", self.port, *self.program, env=self.env)
    def checkpoint(self): self.command("--bcheckpoint")
    # Its restart is from the checkpoint just taken: it has no "save and end" that waits.
    def stop(self): self.command("-k"); self.job.wait(); self.coordinator.wait()
    def restart(self):
        self.job = start(self.folder, f"{self.path}/dmtcp_restart", "-j", "--new-coordinator", "-p", self.port, *glob.glob(f"{self.folder}/ckpt_*.dmtcp"), env=self.env)
    def end(self): self.command("-k"); self.job.wait()


def measure(kind, path, folder, mib):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    board = Board(folder)
    tool = kind(path, folder, [PYTHON, "-c", PROGRAM, board.path, str(mib)])
    tool.begin()
    board.until(lambda: board.turns() > 500)
    os.sync()
    board.forget_gap()
    begun = time.monotonic()
    tool.checkpoint()
    took = (time.monotonic() - begun) * 1e3
    turns = board.turns()
    board.until(lambda: board.turns() > turns + 100)
    pause = board.longest_gap_ms()
    tool.stop()
    os.sync()
    turns = board.turns()
    begun = time.monotonic()
    tool.restart()
    board.until(lambda: board.turns() != turns)
    first = board.turns()
    board.until(lambda: board.turns() > first)
    back = (time.monotonic() - begun) * 1e3
    board.check_memory()
    tool.end()
    shutil.rmtree(folder)
    return {"pause": pause, "command": took, "restart": back}


def main():
    base, rounds, sizes = sys.argv[1], int(sys.argv[2]), [int(word) for word in sys.argv[3].split(",")]
    tools = [word.split("=", 1) for word in sys.argv[4:]]
    kinds = {"cairn": Cairn, "criu": Criu, "dmtcp": Dmtcp}
    results = {}
    for _ in range(rounds):
        for mib in sizes:
            for name, path in tools:
                results.setdefault((mib, name), []).append(measure(kinds[name], path, f"{base}/{name}", mib))
    for (mib, name), runs in sorted(results.items()):
        values = {key: sorted(one[key] for one in runs) for key in runs[0]}
        print(f"{mib:5} MiB  {name:6}", "  ".join(f"{key} {statistics.median(all):.0f} ms ({all[0]:.0f} to {all[-1]:.0f})" for key, all in values.items()), flush=True)


main()
