"""
PostgreSQL under pgbench, and a client that notes each numbered row after its commit; what is in the tables at the end. Then the
server is stopped as by a crash: whoever looks at its data sees what it had written for that case.
"""
import os
import signal
import subprocess
import sys
import time

ROUNDS, TOOLS, USER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
DATA = os.path.abspath("data")
# Users of the database are not those of the system: root talks to a server that runs as somebody else.
CONNECTION = ["-h", DATA, "-U", "owner"]


def serve():
    """Starts the server, as another user where the driver is root, which PostgreSQL refuses to be."""
    other = {} if os.getuid() != 0 else {"user": USER, "group": USER, "extra_groups": []}
    # Segments of shared memory that no process has mapped are files that nobody has open: here they lie in memory that all have.
    settings = ["listen_addresses=", "shared_buffers=16MB", "max_connections=20", "min_dynamic_shared_memory=4MB"]
    options = ["-D", DATA, "-k", DATA, *[word for one in settings for word in ("-c", one)]]
    with open("server.log", "a") as log:
        server = subprocess.Popen([f"{TOOLS}/postgres", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **other)
    while subprocess.run([f"{TOOLS}/pg_isready", "-q", *CONNECTION, "-d", "bench"]).returncode != 0:
        if server.poll() is not None:
            sys.exit(f"the server ended: {open('server.log').read()}")
        time.sleep(0.02)
    return server


server = serve()
bench = subprocess.Popen(
    [f"{TOOLS}/pgbench", *CONNECTION, "-n", "-c", "2", "-t", str(ROUNDS), "--random-seed=5", "bench"],
    text=True, stdout=subprocess.PIPE, stderr=open("pgbench.log", "w"))
client = subprocess.Popen(
    [f"{TOOLS}/psql", "-X", "-q", "-A", "-t", *CONNECTION, "bench"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(question):
    client.stdin.write(f"{question};\n")
    client.stdin.flush()
    return client.stdout.readline()


log = open("log", "w")
for number in range(ROUNDS):
    log.write(ask(f"insert into noted values ({number}, repeat('row {number} ', 20)) returning number"))
    log.flush()
print(*[line for line in bench.communicate()[0].splitlines() if line.startswith("number of")], "pgbench ended", bench.returncode, sep="\n")
for question in sys.argv[4:]:
    print(ask(question), end="")
client.communicate()
server.send_signal(signal.SIGQUIT)
print("psql ended", client.returncode, "and the server", server.wait())
