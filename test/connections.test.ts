/** Connections that lead out of the job, and addresses that somebody else has at the restart. */
import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { test, type TestContext } from "node:test";
import { Job, Place, findTool, until } from "./harness/mod.ts";

const EXIT_CONFLICT = 75;
const python = findTool("python3");
const NO_PYTHON = "no python3 on this machine";

/** Connects to its argument (a port, or a path), says so, and then tells what it finds when it reads. */
const CLIENT = `
import socket, sys
where = sys.argv[1]
one = socket.create_connection(("127.0.0.1", int(where))) if where.isdigit() else socket.socket(socket.AF_UNIX)
if not where.isdigit(): one.connect(where)
print("connected", one.recv(5).decode(), flush=True)
try:
    print("read", one.recv(100), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
try:
    for _ in range(3): one.send(b"x")
    print("sent", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
`;

/** Listens at its argument and greets whoever comes. */
const SERVER = `
import socket, sys
where = sys.argv[1]
if where.isdigit():
    one = socket.create_server(("127.0.0.1", int(where)))
else:
    one = socket.socket(socket.AF_UNIX)
    one.bind(where)
    one.listen()
print("listening", one.getsockname()[1] if where.isdigit() else where, flush=True)
while True:
    client, _ = one.accept()
    client.sendall(b"hello")
    client.close()
`;

function listening(server: Server, where: object): Promise<void> {
  return new Promise((resolve) => server.listen(where, resolve));
}

async function clientOf(t: TestContext, where: (place: Place) => object): Promise<void> {
  if (python === undefined) return t.skip(NO_PYTHON);
  await using place = new Place();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write("hello");
  });
  await listening(server, where(place));
  try {
    const address = server.address();
    const target = typeof address === "string" ? address : String((address as AddressInfo).port);
    const job = new Job(place, [python, "-c", CLIENT, target]);
    await job.says("connected hello\n");
    const outcome = await job.checkpoint();
    assert.equal(outcome.status, 0, outcome.stderr);
    await job.crash();
    job.restart();
    await job.end();
    const [, read, sent] = job.out.trim().split("\n");
    // Never a wait without an end: a reset, or the end of the stream.
    assert.match(read ?? "", typeof address === "string" ? /^read b''$/ : /^ConnectionResetError$/, job.explain());
    assert.match(sent ?? "", /^BrokenPipeError$/, job.explain());
  } finally {
    server.close();
  }
}

test("a TCP connection that leads out of the job is found reset after a restart", (t) =>
  clientOf(t, () => ({ port: 0, host: "127.0.0.1" })));

/** Is inside a call on its connection when the checkpoint comes. */
const WAITER = `
import select, socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
what = sys.argv[2]
if what == "send":
    one.setblocking(False)
    try:
        while True: one.send(bytes(65536))
    except BlockingIOError: one.setblocking(True)
print("waits", flush=True)
try:
    if what == "recv": print(one.recv(1), flush=True)
    elif what == "send": print(one.sendall(bytes(1 << 24)), flush=True)
    elif what == "poll":
        waiting = select.poll()
        waiting.register(one, select.POLLIN)
        print("poll", waiting.poll()[0][1] & (select.POLLERR | select.POLLHUP) == select.POLLERR | select.POLLHUP, flush=True)
    elif what == "epoll":
        waiting = select.epoll()
        waiting.register(one, select.EPOLLIN | select.EPOLLET)
        print("epoll", waiting.poll()[0][1] & (select.EPOLLERR | select.EPOLLHUP) == select.EPOLLERR | select.EPOLLHUP, flush=True)
    print(one.recv(1), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
`;

const waits = [
  { call: "recv", found: "ConnectionResetError\n" },
  { call: "send", found: /^(ConnectionResetError|BrokenPipeError)\n$/ },
  { call: "poll", found: "poll True\nConnectionResetError\n" },
  { call: "epoll", found: "epoll True\nConnectionResetError\n" },
];

for (const { call, found } of waits) {
  test(`a program that waits in ${call} on a connection out of the job is told of its end after a restart`, async (t) => {
    if (python === undefined) return t.skip(NO_PYTHON);
    await using place = new Place();
    const server = createServer((socket) => void socket.pause().on("error", () => undefined));
    await listening(server, { port: 0, host: "127.0.0.1" });
    try {
      const job = new Job(place, [python, "-c", WAITER, String((server.address() as AddressInfo).port), call]);
      await job.says("waits\n");
      await until("it waits", () => place.processes().some(({ comm, state }) => comm.startsWith("python") && state === "S"));
      assert.equal((await job.checkpoint()).status, 0);
      await job.crash();
      job.restart();
      await job.end();
      const told = job.out.slice("waits\n".length);
      if (typeof found === "string") assert.equal(told, found, job.explain());
      else assert.match(told, found, job.explain());
    } finally {
      server.close();
    }
  });
}

test("a Unix connection that leads out of the job is found ended after a restart", (t) =>
  clientOf(t, (place) => ({ path: place.path("outside.sock") })));

test("a restart whose port is taken is refused, and disturbs nobody", async (t) => {
  if (python === undefined) return t.skip(NO_PYTHON);
  await using place = new Place();
  const job = new Job(place, [python, "-c", SERVER, "0"]);
  const port = await until("the job listens", () => Number(/listening (\d+)\n/.exec(job.out)?.[1] ?? 0) || undefined);
  assert.equal((await job.checkpoint()).status, 0);
  await job.crash();
  const other = createServer();
  await listening(other, { port, host: "127.0.0.1" });
  const refused = await place.cairn(["restart", "job"]);
  assert.equal(refused.status, EXIT_CONFLICT, refused.stderr);
  assert.match(refused.stderr, new RegExp(`TCP port ${port}.*taken by another program`));
  assert.deepEqual(place.living(), []);
  assert.ok(other.listening);
  await new Promise((resolve) => other.close(resolve));
  await job.restartDetached();
});

test("a restart whose socket file another program has is refused, and the file stays", async (t) => {
  if (python === undefined) return t.skip(NO_PYTHON);
  await using place = new Place();
  const path = place.path("server.sock");
  const job = new Job(place, [python, "-c", SERVER, path]);
  await job.says("listening");
  assert.equal((await job.checkpoint()).status, 0);
  await job.crash();
  assert.ok(statSync(path).isSocket(), "a crash leaves the file");
  const other = place.start(python, ["-c", `import os; os.unlink(${JSON.stringify(path)})\n${SERVER}`, path]);
  await until("the other one listens", () => existsSync(path) && place.processes().some(({ pid }) => pid === other.pid));
  await until("the other one says so", () => existsSync(other.stdoutPath) && statSync(other.stdoutPath).size > 0);
  const { ino } = statSync(path);
  const refused = await place.cairn(["restart", "job"]);
  assert.equal(refused.status, EXIT_CONFLICT, refused.stderr);
  assert.match(refused.stderr, /another program has the Unix socket .*server\.sock now/);
  assert.equal(statSync(path).ino, ino);
  other.signal("SIGKILL");
  await other.ended;
  await job.restartDetached();
  const greeting = await new Promise((resolve, reject) =>
    connect(path)
      .once("data", (bytes) => resolve(String(bytes)))
      .once("error", reject),
  );
  assert.equal(greeting, "hello", "the job listens again");
});
