/** TCP connections that lead out of the job, and what `--tcp` makes of them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { Job, Place, findTool, touch, until, withoutEngine } from "./harness/mod.ts";

const isRoot = process.getuid?.() === 0;
const python = findTool("python3");

/** What both sides send: neither can come from anywhere else. */
const PATTERN = createHash("shake128", { outputLength: 1 << 24 })
  .update("cairn")
  .digest();

/**
 * Connects to its argument, does what the second says until it says `ready`, waits for the file `go`, and then sends and receives what is left.
 * `full` writes until there is no room, `idle` nothing, `half` 1,000 bytes and the end, `read` reads 1,000 bytes.
 */
const CLIENT = `
import hashlib, os, socket, sys, time
port, what, go = int(sys.argv[1]), sys.argv[2], sys.argv[3]
pattern = hashlib.shake_128(b"cairn").digest(1 << 24)
one = socket.create_connection(("127.0.0.1", port))
sent = 0
if what == "full":
    one.setblocking(False)
    idle = 0
    while idle < 20:
        try:
            sent += one.send(pattern[sent:sent + 10007])
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.01)
    one.setblocking(True)
if what == "half":
    one.sendall(pattern[:1000])
    sent = 1000
    one.shutdown(socket.SHUT_WR)
got = hashlib.sha256()
count = 0
if what == "read":
    while count < 1000:
        piece = one.recv(1000 - count)
        got.update(piece)
        count += len(piece)
print("ready", flush=True)
while not os.path.exists(go): time.sleep(0.01)
if what != "half":
    one.sendall(pattern[sent:sent + 5000])
    sent += 5000
    one.shutdown(socket.SHUT_WR)
while True:
    piece = one.recv(65536)
    if not piece: break
    got.update(piece)
    count += len(piece)
print("sent", sent, "received", count, got.hexdigest(), flush=True)
`;

class Peer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #received = Buffer.alloc(0);
  error: Error | undefined;
  ended = false;
  closed = false;

  constructor(greeting: (socket: Socket) => void) {
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      this.#sockets.push(socket);
      socket.on("error", (error) => (this.error = error));
      socket.on("data", (bytes) => (this.#received = Buffer.concat([this.#received, bytes])));
      socket.on("end", () => (this.ended = true));
      socket.on("close", () => (this.closed = true));
      greeting(socket);
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return String((this.#server.address() as AddressInfo).port);
  }

  get socket(): Socket {
    const [socket] = this.#sockets;
    assert.ok(socket, "somebody has connected");
    return socket;
  }

  get received(): Buffer {
    return this.#received;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function held(
  t: TestContext,
  what: string,
  toSend: { readonly before: number; readonly meanwhile: number; readonly after: number },
): Promise<void> {
  if (python === undefined) return t.skip("no python3 on this machine");
  if (!isRoot) return t.skip("needs root");
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  let sent = 0;
  const send = (peer: Peer, bytes: number): void => {
    peer.socket.write(PATTERN.subarray(sent, sent + bytes));
    sent += bytes;
  };
  await using peer = new Peer(() => send(peer, toSend.before));
  const job = new Job(place, [python, "-c", CLIENT, await peer.listen(), what, place.path("go")]);
  await job.says("ready\n");
  const stopped = await job.checkpoint("--stop", "--tcp", "keep");
  assert.equal(stopped.status, 0, stopped.stderr);
  assert.match(stopped.stdout, /cairn restart job --tcp keep goes on from here/);
  await job.end();
  send(peer, toSend.meanwhile);
  const preview = await place.cairn(["restart", "--dry-run", "--tcp", "keep", "job"]);
  assert.equal(preview.status, 0, preview.stderr);
  assert.match(
    preview.stdout,
    /The TCP connection to 127\.0\.0\.1:\d+ \(process \d+, descriptor 3\) leads out of the job: it is kept, held since the checkpoint/,
  );
  job.restart("job", ["--tcp", "keep"], { stderr: place.path("restart.err") });
  await until("the job runs again", () => place.read("restart.err").includes("goes on from checkpoint 1"));
  assert.equal(peer.closed, false, "the peer was not told of an end");
  assert.equal(peer.error, undefined);
  send(peer, toSend.after);
  peer.socket.end();
  peer.socket.resume();
  touch(place.path("go"));
  await job.end();
  const [, fromJob, toJob, hash] = /^sent (\d+) received (\d+) (\w+)$/m.exec(job.out) ?? [];
  assert.equal(Number(toJob), sent, job.explain());
  assert.equal(hash, sha256(PATTERN.subarray(0, sent)));
  await until("the peer has it all", () => peer.ended);
  assert.equal(peer.received.length, Number(fromJob));
  assert.ok(peer.received.equals(PATTERN.subarray(0, Number(fromJob))), "what the peer has received is what was sent");
  assert.equal(peer.error, undefined);
}

test("a connection that is idle is kept over checkpoint --stop and a restart", (t) =>
  held(t, "idle", { before: 0, meanwhile: 0, after: 3000 }));
test("a connection whose both queues are full is kept with every byte", (t) =>
  held(t, "full", { before: 1 << 23, meanwhile: 0, after: 3000 }));
test("what the peer sends while nobody has the connection arrives after the restart", (t) =>
  held(t, "read", { before: 1500, meanwhile: 20_000, after: 3000 }));
test("a connection that the job has shut down for writing is kept", (t) => held(t, "half", { before: 100, meanwhile: 200, after: 300 }));
