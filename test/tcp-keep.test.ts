/** TCP connections that lead out of the job, and what `--tcp` makes of them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import {
  Conversation,
  Job,
  Place,
  TwoMachines,
  findTool,
  killIfAlive,
  until,
  whyNoMachines,
  withoutEngine,
  type Role,
} from "./harness/mod.ts";

const MOST_STEPS = 50;
const EXIT_USAGE = 64;
const EXIT_CHANGED = 67;
const EXIT_PERMISSION = 77;
const isRoot = process.getuid?.() === 0;
const python = findTool("python3");
/** Bytes wait at both ends, and none is on its way: what is, a machine that has lost the connection answers with a reset. */
const IN_MEASURE = ["connect-send-700", "listen-send-800", "connect-take-500", "listen-take-600", "listen-settle", "connect-settle"];

function skips(t: TestContext, needsRoot: boolean): boolean {
  const why =
    python === undefined ? "no python3 on this machine" : withoutEngine ? "needs the engine" : needsRoot && !isRoot ? "needs root" : null;
  if (why !== null) t.skip(why);
  return why !== null;
}

function skipsMachines(t: TestContext): boolean {
  const why = whyNoMachines();
  if (why !== null) t.skip(why);
  return why !== null;
}

interface Held {
  readonly name: string;
  readonly before: readonly string[];
  /** While nobody has the connection. */
  readonly meanwhile?: readonly string[];
  readonly after?: readonly string[];
  readonly haveEnded?: readonly Role[];
  readonly family?: 6;
}

const heldCases: readonly Held[] = [
  { name: "a connection that is idle", before: IN_MEASURE, after: ["connect-send-100", "listen-take-100"] },
  { name: "an IPv6 connection", before: IN_MEASURE, after: ["listen-send-100", "connect-take-100"], family: 6 },
  { name: "a connection whose both queues are full", before: ["connect-fill", "listen-fill"] },
  { name: "a connection over which the peer sends while nobody has it", before: IN_MEASURE, meanwhile: ["listen-send-20000"] },
  {
    name: "a connection that the peer shuts down while nobody has it",
    before: IN_MEASURE,
    meanwhile: ["listen-end"],
    haveEnded: ["listen"],
  },
  { name: "a connection that the job has shut down for writing", before: ["connect-send-9", "connect-end"], haveEnded: ["connect"] },
  { name: "a connection that the peer has shut down for writing", before: ["listen-send-9", "listen-end"], haveEnded: ["listen"] },
];

/** The peer is told nothing, and both go on. */
async function throughTheStop(t: TestContext, one: Held): Promise<void> {
  if (skips(t, true) || python === undefined) return;
  await using place = new Place();
  await using conversation = await Conversation.begin(place, python, null, one.family ?? 4);
  await conversation.doAll(one.before);
  const stopped = await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep");
  assert.equal(stopped.status, 0, stopped.stderr);
  assert.match(stopped.stdout, /cairn restart job --tcp keep goes on from here/);
  await conversation.job.end();
  await conversation.doAll(one.meanwhile ?? []);
  const preview = await conversation.cairn("restart", "--dry-run", "--tcp", "keep", "job");
  assert.equal(preview.status, 0, preview.stdout);
  assert.match(preview.stdout, /The TCP connection to .*:\d+ \(process \d+, descriptor 3\) leads out of the job: it is kept, held since/);
  await conversation.restart("--tcp", "keep");
  await conversation.doAll(one.after ?? []);
  await conversation.finish(one.haveEnded);
  await conversation.job.end();
  await conversation.isLetGo();
}

for (const one of heldCases) test(`${one.name} is kept over checkpoint --stop and a restart`, (t) => throughTheStop(t, one));

interface Moved extends Held {
  /** The job was ended by the checkpoint, with its connections held; else its machine goes down after it. */
  readonly stop?: true;
  /** The cable is out from here on, before the checkpoint. */
  readonly unplugged?: readonly string[];
}

const movedCases: readonly Moved[] = [
  { name: "an idle connection of a machine that went down", before: IN_MEASURE, after: ["connect-send-100", "listen-take-100"] },
  {
    name: "an idle IPv6 connection of a machine that went down",
    before: IN_MEASURE,
    after: ["listen-send-100", "connect-take-100"],
    family: 6,
  },
  { name: "a connection of a machine that went down with bytes on their way", before: IN_MEASURE, unplugged: ["connect-send-5000"] },
  {
    name: "a connection of a machine that went down, half closed by the job",
    before: [...IN_MEASURE, "connect-end", "connect-settle"],
    haveEnded: ["connect"],
  },
  {
    name: "a connection of a machine that went down, half closed by the peer",
    before: [...IN_MEASURE, "listen-end", "listen-settle"],
    haveEnded: ["listen"],
  },
  { name: "a connection of a machine that was stopped, both queues full", before: ["connect-fill", "listen-fill"], stop: true },
  {
    name: "a connection of a machine that was stopped, the peer sending on",
    before: IN_MEASURE,
    stop: true,
    meanwhile: ["listen-send-20000"],
  },
];

/** Another machine with the same addresses goes on: nothing of the connection is left but what is in the image. */
async function onAnotherMachine(t: TestContext, one: Moved): Promise<void> {
  if (skips(t, true) || skipsMachines(t) || python === undefined) return;
  await using place = new Place();
  using machines = new TwoMachines();
  await using conversation = await Conversation.begin(place, python, machines, one.family ?? 4);
  await conversation.doAll(one.before);
  if (one.unplugged !== undefined) {
    machines.pullCable();
    await conversation.doAll(one.unplugged);
  }
  const saved = await conversation.cairn("checkpoint", "job", ...(one.stop === true ? ["--stop", "--tcp", "keep"] : []));
  assert.equal(saved.status, 0, saved.stderr);
  machines.pullCable();
  await conversation.doAll(one.meanwhile ?? []);
  await conversation.job.crash();
  const holder = conversation.holder();
  if (holder !== null) killIfAlive(holder);
  // Where the peer still sends, or asks whether there is room, it must not hear of a machine that does not have the connection yet: that would reset it.
  machines.newMachine({ isReachable: one.stop !== true });
  await conversation.restart("--tcp", "keep");
  machines.makeReachable();
  await conversation.doAll(one.after ?? []);
  await conversation.finish(one.haveEnded);
  await conversation.job.end();
}

for (const one of movedCases) test(`${one.name} is kept on one with its addresses`, (t) => onAnotherMachine(t, one));

interface Refused {
  readonly name: string;
  /** What happens until the restart on the other machine. */
  readonly after: (conversation: Conversation, machines: TwoMachines) => Promise<void>;
  readonly why: RegExp;
}

const refusedCases: readonly Refused[] = [
  {
    name: "whose job has sent more",
    after: async (conversation, machines) => {
      await conversation.doAll(["connect-send-10", "listen-take-10", "connect-settle"]);
      await lose(conversation, machines);
      machines.newMachine();
    },
    why: /it went on after the checkpoint, and its peer has heard from it since/,
  },
  {
    name: "whose peer has sent more",
    after: async (conversation, machines) => {
      await conversation.doAll(["listen-send-10", "connect-take-10", "listen-settle"]);
      await lose(conversation, machines);
      machines.newMachine();
    },
    why: /it went on after the checkpoint, and its peer has heard from it since/,
  },
  {
    name: "whose peer has ended",
    after: async (conversation, machines) => {
      await lose(conversation, machines);
      conversation.peer.signal("SIGKILL");
      await conversation.peer.ended;
      machines.newMachine();
    },
    why: /its peer does not know it any more/,
  },
  {
    name: "whose peer does not answer",
    after: async (conversation, machines) => {
      await lose(conversation, machines);
      machines.newMachine({ isReachable: false });
    },
    why: /its peer does not answer/,
  },
  {
    name: "on a machine without its address",
    after: async (conversation, machines) => {
      await lose(conversation, machines);
      machines.newMachine({ hasAddresses: false });
    },
    why: /this machine does not have its address/,
  },
];

/** The machine goes down, and its peer is told nothing. */
async function lose(conversation: Conversation, machines: TwoMachines): Promise<void> {
  machines.pullCable();
  await conversation.job.crash();
}

for (const { name, after, why } of refusedCases) {
  test(`a connection ${name} is not kept, and the restart says why`, async (t) => {
    if (skips(t, true) || skipsMachines(t) || python === undefined) return;
    await using place = new Place();
    using machines = new TwoMachines();
    await using conversation = await Conversation.begin(place, python, machines);
    await conversation.doAll(IN_MEASURE);
    assert.equal((await conversation.cairn("checkpoint", "job")).status, 0);
    await after(conversation, machines);
    const refused = await conversation.cairn("restart", "job", "--tcp", "keep");
    assert.equal(refused.status, EXIT_CHANGED, refused.stderr);
    assert.match(refused.stderr, /the TCP connection to 10\.77\.0\.1:\d+ \(process \d+, descriptor 3\) cannot be kept: /);
    assert.match(refused.stderr, why);
    assert.deepEqual(place.living(), []);
    // Without it the job goes on, and finds its connection reset.
    await conversation.restart();
    conversation.order("connect", "rest");
    await until("the job finds it reset", () => /^order \d+ ConnectionResetError$/m.test(conversation.job.out));
    await conversation.job.end();
  });
}

/** Two connections to its argument. */
const TWO = `
import socket, sys, time
both = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(2)]
print("connected", flush=True)
for one in both:
    try: print(one.recv(1), flush=True)
    except OSError as error: print(type(error).__name__, flush=True)
`;

async function withTwo(t: TestContext, work: (place: Place, job: Job) => Promise<void>): Promise<void> {
  if (skips(t, false) || python === undefined) return;
  await using place = new Place();
  const peers: Socket[] = [];
  const server = createServer((socket) => void peers.push(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const job = new Job(place, [python, "-c", TWO, String((server.address() as AddressInfo).port)]);
    await job.says("connected");
    await work(place, job);
  } finally {
    for (const peer of peers) peer.destroy();
    server.close();
  }
}

const NAMED = [3, 4].map((fd) => new RegExp(`the TCP connection to 127\\.0\\.0\\.1:\\d+ \\(process \\d+, descriptor ${fd}\\)`, "i"));

function namesBoth(text: string): void {
  for (const pattern of NAMED) assert.match(text, pattern);
}

test("connections that ended with the job are not kept: each is named, before anything is started", (t) =>
  withTwo(t, async (place, job) => {
    assert.equal((await job.checkpoint()).status, 0);
    await job.crash();
    const refused = await place.cairn(["restart", "job", "--tcp", "keep"]);
    assert.equal(refused.status, isRoot ? EXIT_CHANGED : EXIT_PERMISSION, refused.stderr);
    namesBoth(refused.stderr);
    assert.match(refused.stderr, isRoot ? /was ended after the checkpoint|is gone/ : /CAP_NET_ADMIN/);
    assert.deepEqual(place.living(), []);
  }));

test("restart --tcp fail refuses every connection that leads out of the job by name", (t) =>
  withTwo(t, async (place, job) => {
    assert.equal((await job.checkpoint()).status, 0);
    await job.crash();
    const refused = await place.cairn(["restart", "job", "--tcp", "fail"]);
    assert.equal(refused.status, EXIT_CHANGED, refused.stderr);
    namesBoth(refused.stderr);
    assert.deepEqual(place.living(), []);
  }));

test("restart --dry-run says what becomes of each connection that leads out of the job", (t) =>
  withTwo(t, async (place, job) => {
    assert.equal((await job.checkpoint()).status, 0);
    await job.crash();
    const preview = await place.cairn(["restart", "job", "--dry-run"]);
    assert.equal(preview.status, 0, preview.stdout);
    namesBoth(preview.stdout);
    assert.match(preview.stdout, /leads out of the job: the program finds it reset/);
    job.restart();
    await job.end();
    assert.equal(job.out, "connected\nConnectionResetError\nConnectionResetError\n", job.explain());
  }));

test("connections that are held for a restart without --tcp keep are reset at both ends", async (t) => {
  if (skips(t, true) || python === undefined) return;
  await using place = new Place();
  await using conversation = await Conversation.begin(place, python);
  await conversation.doAll(IN_MEASURE);
  assert.equal((await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep")).status, 0);
  conversation.order("listen", "rest");
  await conversation.restart();
  await conversation.isLetGo();
  await until("the peer finds it reset", () => /^order \d+ ConnectionResetError$/m.test(conversation.peerOut));
  conversation.order("connect", "rest");
  await until("the job finds it reset", () => /^order \d+ ConnectionResetError$/m.test(conversation.job.out));
});

test("cairn rm resets the connections that are held for the job", async (t) => {
  if (skips(t, true) || python === undefined) return;
  await using place = new Place();
  await using conversation = await Conversation.begin(place, python);
  assert.equal((await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep")).status, 0);
  conversation.order("listen", "rest");
  assert.equal((await conversation.cairn("rm", "job")).status, 0);
  await conversation.isLetGo();
  await until("the peer finds it reset", () => /^order \d+ ConnectionResetError$/m.test(conversation.peerOut));
});

test("a job may be stopped and restarted with its connection again and again", async (t) => {
  if (skips(t, true) || python === undefined) return;
  await using place = new Place();
  await using conversation = await Conversation.begin(place, python);
  for (let round = 0; round < 3; round += 1) {
    await conversation.doAll(IN_MEASURE);
    const stopped = await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep");
    assert.equal(stopped.status, 0, stopped.stderr);
    await conversation.restart("--tcp", "keep");
    await conversation.isLetGo();
  }
  await conversation.finish();
});

/** Listens at a port that nobody else may reuse, greets whoever comes and answers whatever comes, in capitals. */
const SERVER = `
import select, socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print("port", server.getsockname()[1], flush=True)
clients = []
while True:
    for one in select.select([server, *clients], [], [])[0]:
        if one is server:
            clients.append(server.accept()[0])
            continue
        try: got = one.recv(100)
        except OSError: got = b""
        if got: one.sendall(got.upper())
        else: clients.remove(one)
`;

for (const rule of ["keep", "reset"]) {
  test(`a server whose clients are held listens again after a restart with --tcp ${rule}`, async (t) => {
    if (skips(t, true) || python === undefined) return;
    await using place = new Place();
    const job = new Job(place, [python, "-c", SERVER]);
    const port = await until("it listens", () => Number(/port (\d+)\n/.exec(job.out)?.[1] ?? 0) || undefined);
    const first = await answered(port, "one");
    assert.equal((await job.checkpoint("--stop", "--tcp", "keep")).status, 0);
    await job.end();
    await job.restartDetached("job", ["--tcp", rule]);
    const second = await answered(port, "two");
    if (rule === "keep") await answeredBy(first, "three");
    else await until("the client finds it reset", () => first.destroyed);
    for (const one of [first, second]) one.destroy();
  });
}

async function answered(port: number, text: string): Promise<Socket> {
  const client = connect(port, "127.0.0.1").on("error", () => undefined);
  await once(client, "connect");
  await answeredBy(client, text);
  return client;
}

async function answeredBy(client: Socket, text: string): Promise<void> {
  client.write(text);
  const [bytes] = (await once(client, "data")) as [Buffer];
  assert.equal(String(bytes), text.toUpperCase());
}

test("a connection that was held and has gone on since is not taken up a second time", async (t) => {
  if (skips(t, true) || skipsMachines(t) || python === undefined) return;
  await using place = new Place();
  using machines = new TwoMachines();
  await using conversation = await Conversation.begin(place, python, machines);
  await conversation.doAll(IN_MEASURE);
  assert.equal((await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep")).status, 0);
  await conversation.restart("--tcp", "keep");
  await conversation.doAll(["listen-send-10", "connect-take-10", "listen-settle"]);
  await lose(conversation, machines);
  machines.newMachine();
  const refused = await conversation.cairn("restart", "job", "--tcp", "keep");
  assert.equal(refused.status, EXIT_CHANGED, refused.stderr);
  assert.match(refused.stderr, /it went on after the checkpoint, and its peer has heard from it since/);
});

for (const moves of [false, true]) {
  const where = moves ? "made again" : "taken from its holder";
  test(`a restart that is killed at any step before the job runs leaves a connection that is ${where} to the next one`, async (t) => {
    if (skips(t, true) || skipsMachines(t) || python === undefined) return;
    await using place = new Place();
    using machines = new TwoMachines();
    await using conversation = await Conversation.begin(place, python, machines);
    await conversation.doAll(IN_MEASURE);
    const options = moves ? [] : ["--stop", "--tcp", "keep"];
    assert.equal((await conversation.cairn("checkpoint", "job", ...options)).status, 0);
    if (moves) {
      await lose(conversation, machines);
      machines.newMachine();
    } else await conversation.job.end();
    let step = 1;
    for (; step < MOST_STEPS; step++) {
      const environment = { CAIRN_KILL_AT: String(step), CAIRN_KILL_IN: "connection" };
      const outcome = await conversation.cairnWith({ environment }, "restart", "job", "--tcp", "keep", "--detach");
      if (outcome.status === 0) break;
      await until("what was made is gone", () => place.living().length === 0);
    }
    t.diagnostic(`${step - 1} steps`);
    assert.ok(step > 2 && step < MOST_STEPS);
    await conversation.finish();
  });
}

test("without CAP_NET_ADMIN checkpoint --stop --tcp keep is refused by name, and the job runs on", async (t) => {
  const setpriv = findTool("setpriv");
  if (skips(t, false) || python === undefined) return;
  if (setpriv === undefined) return t.skip("no setpriv on this machine");
  await using place = new Place();
  await using conversation = await Conversation.beginBehind(place, python, isRoot ? [setpriv, "--bounding-set=-net_admin"] : []);
  const refused = await conversation.cairn("checkpoint", "job", "--stop", "--tcp", "keep");
  assert.equal(refused.status, EXIT_PERMISSION, refused.stderr);
  assert.match(refused.stderr, /Cannot hold the TCP connection that is descriptor 3 of process \d+, which needs CAP_NET_ADMIN/);
  await conversation.doAll(IN_MEASURE);
  // Nor does its checkpoint have what a restart would need.
  assert.equal((await conversation.cairn("checkpoint", "job")).status, 0);
  await conversation.job.crash();
  const notKept = await conversation.cairn("restart", "job", "--tcp", "keep");
  assert.equal(notKept.status, EXIT_PERMISSION, notKept.stderr);
  assert.match(
    notKept.stderr,
    /the TCP connection to 127\.0\.0\.1:\d+ \(process \d+, descriptor 3\) cannot be kept: that needs CAP_NET_ADMIN/,
  );
});

test("checkpoint --tcp keep without --stop is refused", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const refused = await place.cairn(["checkpoint", "job", "--tcp", "keep"]);
  assert.equal(refused.status, EXIT_USAGE, refused.stderr);
});
