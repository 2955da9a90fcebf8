"""Redis with a log of every write, and a client that sends it commands through a Unix socket; the sum of all its data at the end."""
import socket
import subprocess
import sys
import time

ROUNDS = int(sys.argv[1])


def serve():
    """Starts a server on what its log of writes holds; the process, the connection and what comes back through it."""
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
         "--enable-debug-command", "yes", "--logfile", "redis.log"])
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect("redis.sock")
            return server, connection, connection.makefile("rb")
        except OSError:
            connection.close()
            time.sleep(0.02)


def encode(*words):
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def reply(replies):
    line = replies.readline()
    if line[:1] == b"$":
        return replies.read(int(line[1:]) + 2)[:-2]
    return line[1:-2]


server, connection, replies = serve()
log = open("log", "w")
for number in range(ROUNDS):
    batch = [encode("INCRBY", f"count:{number % 97}", number)]
    batch += [encode("HSET", f"hash:{number % 13}", f"field{number % 211}", f"{number}" * 20), encode("RPUSH", f"list:{number % 7}", number)]
    batch += [encode("ZADD", "scores", number * 7919 % 10007, f"member{number % 503}"), encode("SETRANGE", "bytes", number % 4000, f"<{number}>")]
    connection.sendall(b"".join(batch))
    for _ in batch:
        reply(replies)
    log.write(f"{number}\n")
    log.flush()


def digest(connection, replies):
    connection.sendall(encode("PING"))
    while reply(replies) != b"PONG":
        connection.sendall(encode("PING"))
        time.sleep(0.02)
    connection.sendall(encode("DEBUG", "DIGEST"))
    return reply(replies).decode()


before = digest(connection, replies)
connection.sendall(encode("SHUTDOWN"))
print(before, "ended", server.wait())
server, connection, replies = serve()
print("its log holds the same" if digest(connection, replies) == before else "its log holds something else")
connection.sendall(encode("SHUTDOWN"))
server.wait()
