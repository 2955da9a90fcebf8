/** The readers, on processes of this machine: this one, and children in the states that a checkpoint meets. */
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CairnError } from "../../base/errors.ts";
import { asPid, asTid, type Pid } from "../../base/ids.ts";
import { encodeName } from "../../base/names.ts";
import * as procfs from "./mod.ts";
import { readProcRaw } from "./read.ts";

const self = asPid(process.pid);
/** One more than the largest pid that Linux ever gives. */
const nobody = asPid(4194304);

interface Running extends AsyncDisposable {
  readonly pid: Pid;
}

async function run(command: string, ...argv: string[]): Promise<Running> {
  const child: ChildProcess = spawn(command, argv, { stdio: "ignore" });
  await once(child, "spawn");
  return {
    pid: asPid(child.pid ?? 0),
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function temporaryFolder(): Disposable & { readonly at: string } {
  const at = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "cairn-procfs-")));
  return { at, [Symbol.dispose]: () => fs.rmSync(at, { recursive: true }) };
}

async function until<T>(look: () => T | null | false): Promise<T> {
  for (let round = 0; round < 2000; round++) {
    const seen = look();
    if (seen !== null && seen !== false) return seen;
    await sleep(5);
  }
  throw new Error("what was waited for did not come");
}

const READERS: Readonly<Record<string, (pid: Pid) => unknown>> = {
  stat: procfs.readStat,
  threadStat: (pid) => procfs.readThreadStat(pid, asTid(pid)),
  status: procfs.readStatus,
  threadStatus: (pid) => procfs.readThreadStatus(pid, asTid(pid)),
  comm: procfs.readComm,
  maps: procfs.readMaps,
  vmFlags: procfs.readVmFlags,
  descriptors: procfs.listDescriptors,
  descriptorInfo: (pid) => procfs.readDescriptorInfo(pid, 0),
  target: (pid) => procfs.readDescriptorTarget(pid, 0),
  executable: (pid) => procfs.readProcessLink(pid, "exe"),
  workingDirectory: (pid) => procfs.readProcessLink(pid, "cwd"),
  rootDirectory: (pid) => procfs.readProcessLink(pid, "root"),
  limits: procfs.readLimits,
  timers: procfs.readTimers,
  threads: procfs.listThreads,
  children: (pid) => procfs.readChildren(pid, asTid(pid)),
  allChildren: procfs.readAllChildren,
  mounts: procfs.readMountInfo,
  auxiliaryVector: procfs.readAuxiliaryVector,
  commandLine: procfs.readCommandLine,
  environment: procfs.readEnvironment,
  oomScoreAdjustment: procfs.readOomScoreAdjustment,
  personality: procfs.readPersonality,
  coreDumpFilter: procfs.readCoreDumpFilter,
  namespaces: procfs.readNamespaces,
};

test("a process that does not exist is null to every reader", () => {
  for (const [name, read] of Object.entries(READERS)) assert.equal(read(nobody), null, name);
});

test("this process can be read by every reader", () => {
  for (const [name, read] of Object.entries(READERS)) assert.notEqual(read(self), null, name);
});

test("every process of this machine is understood, or forbidden", () => {
  for (const pid of procfs.listProcesses()) {
    for (const [name, read] of Object.entries(READERS)) {
      try {
        read(pid);
      } catch (error) {
        assert.ok(error instanceof CairnError && error.code === "permission", `${name} of ${pid}: ${String(error)}`);
      }
    }
  }
});

test("what can't be read for another reason is an error that names the file", () => {
  assert.throws(
    () => readProcRaw("/proc/self/task"),
    (error) => error instanceof CairnError && error.code === "io" && error.message === "Cannot read /proc/self/task: EISDIR",
  );
});

test("a comm of awkward bytes is the same in stat, in status and in its own file", () => {
  const before = fs.readFileSync("/proc/self/comm");
  try {
    for (const comm of [Buffer.from("a) (b\nc\\n"), Buffer.from([0x29, 0xff, 0xfe, 0x0a]), Buffer.from(" : \t"), Buffer.from("ünï")]) {
      fs.writeFileSync("/proc/self/comm", comm);
      const name = encodeName(comm);
      assert.deepEqual(procfs.readComm(self), name);
      assert.deepEqual(procfs.readStat(self)?.comm, name);
      assert.deepEqual(procfs.readStatus(self)?.name, name);
    }
  } finally {
    fs.writeFileSync("/proc/self/comm", before.subarray(0, -1));
  }
});

test("this process's own numbers are right", () => {
  const stat = procfs.readStat(self);
  const status = procfs.readStatus(self);
  assert.ok(stat !== null && status !== null);
  assert.equal(stat.pid, process.pid);
  assert.equal(stat.parentPid, process.ppid);
  assert.equal(status.uids.real, process.getuid?.());
  assert.equal(status.gids.effective, process.getegid?.());
  assert.equal(status.umask, Number.parseInt(execFileSync("sh", ["-c", "umask"], { encoding: "utf8" }), 8));
  assert.equal(status.namespacePids[0], process.pid);
  assert.equal(procfs.listThreads(self)?.length, status.threads);
  assert.deepEqual(
    procfs
      .splitAtNul(procfs.readCommandLine(self) ?? Buffer.alloc(0))
      .slice(0, 1)
      .map(String),
    [process.argv0],
  );
  assert.deepEqual(procfs.readProcessLink(self, "cwd"), { name: process.cwd(), deleted: false });
  // AT_PAGESZ, which is also the least size of a mapping.
  assert.equal(procfs.parseAuxiliaryVector(procfs.readAuxiliaryVector(self) ?? Buffer.alloc(0)).get(6), 4096n);
  const limits = procfs.readLimits(self);
  assert.deepEqual(
    limits?.map(({ resource }) => resource),
    procfs.LIMIT_LABELS.map((_, index) => index),
  );
});

test("mappings ascend without overlap, and each has its flags", async () => {
  await using child = await run("sleep", "1000");
  const [maps, flags] = await until(() => {
    const entries = procfs.readMaps(child.pid);
    return entries?.some(({ special }) => special === "vdso") === true && [entries, procfs.readVmFlags(child.pid)];
  });
  assert.ok(maps !== null && flags !== null);
  for (const [index, entry] of maps.entries()) {
    assert.ok(entry.start < entry.end);
    assert.ok((maps[index - 1]?.end ?? 0n) <= entry.start);
    assert.equal(flags.get(entry.start)?.flags.includes("rd") ?? false, entry.permissions.startsWith("r"));
  }
  assert.ok(maps.some(({ special }) => special === "stack"));
});

test("a program's file is found by its name, however it is called, and when it is gone", async () => {
  using folder = temporaryFolder();
  for (const name of ["plain", "sp ace", "new\nline", "\\012", "really (deleted)", "größe"]) {
    const program = path.join(folder.at, name);
    fs.copyFileSync("/bin/sleep", program);
    const programInode = fs.statSync(program, { bigint: true }).ino;
    await using child = await run(program, "1000");
    const mapped = (): procfs.MapsEntry =>
      procfs.readMaps(child.pid)?.find(({ permissions, inode }) => permissions === "r-xp" && inode === programInode) ??
      assert.fail("no program is mapped");
    await until(() => procfs.readProcessLink(child.pid, "exe")?.name === program);
    assert.deepEqual(procfs.readProcessLink(child.pid, "exe"), { name: program, deleted: false });
    const present = procfs.resolveMappedName(child.pid, mapped());
    assert.deepEqual({ name: present.name, deleted: present.deleted }, { name: program, deleted: false });
    fs.unlinkSync(program);
    assert.deepEqual(procfs.readProcessLink(child.pid, "exe"), { name: program, deleted: true });
    const gone = procfs.resolveMappedName(child.pid, mapped());
    assert.deepEqual({ name: gone.name, deleted: gone.deleted }, { name: program, deleted: true });
  }
});

test("an open file's name is its bytes, whether it is there, gone, or only called so", () => {
  using folder = temporaryFolder();
  for (const bytes of [Buffer.from("x"), Buffer.from("x (deleted)"), Buffer.from("a\nb"), Buffer.from([0xff, 0xfe])]) {
    const file = Buffer.concat([Buffer.from(`${folder.at}/`), bytes]);
    const fd = fs.openSync(file, "w+");
    try {
      const name = encodeName(file);
      assert.deepEqual(procfs.readDescriptorTarget(self, fd), { kind: "path", name, deleted: false });
      fs.writeSync(fd, "12345");
      const info = procfs.readDescriptorInfo(self, fd);
      assert.equal(info?.pos, 5n);
      assert.equal(info.inode, fs.fstatSync(fd, { bigint: true }).ino);
      assert.equal(info.flags & 3, 2);
      fs.unlinkSync(file);
      assert.deepEqual(procfs.readDescriptorTarget(self, fd), { kind: "path", name, deleted: true });
      assert.ok(procfs.listDescriptors(self)?.includes(fd));
    } finally {
      fs.closeSync(fd);
    }
    assert.equal(procfs.readDescriptorTarget(self, fd), null);
    assert.equal(procfs.readDescriptorInfo(self, fd), null);
  }
});

/** What a zombie lacks is empty in one kernel and can't be opened in another; to a user who is not root it is root's. */
function sizeOf(read: (pid: Pid) => unknown, pid: Pid): number {
  try {
    const found = read(pid);
    if (found instanceof Map) return found.size;
    return Array.isArray(found) || Buffer.isBuffer(found) ? found.length : Number(found !== null);
  } catch (error) {
    assert.ok(error instanceof CairnError && error.code === "permission");
    return 0;
  }
}

test("a zombie still has a status, but no memory, no program and no descriptors", async () => {
  // The shell becomes a sleep that never waits for the child that it had.
  await using parent = await run("sh", "-c", "sleep 0.01 & exec sleep 1000");
  const zombie = await until(() => {
    const child = procfs.readAllChildren(parent.pid)?.[0];
    return child !== undefined && procfs.readStat(child)?.state === "Z" && child;
  });
  const stat = procfs.readStat(zombie);
  assert.equal(stat?.parentPid, parent.pid);
  assert.equal(stat.exitSignal, 17);
  assert.equal(procfs.readStatus(zombie)?.umask, null);
  for (const name of [
    "maps",
    "vmFlags",
    "executable",
    "workingDirectory",
    "commandLine",
    "auxiliaryVector",
    "environment",
    "descriptors",
    "mounts",
  ]) {
    assert.equal(sizeOf(READERS[name] ?? assert.fail(name), zombie), 0, name);
  }
  assert.deepEqual(procfs.listThreads(zombie), [zombie]);
});

test("a child's environment, arguments and parent are as they were given", async () => {
  await using child = await run("sleep", "1000", "0");
  await until(() => (procfs.readComm(child.pid) === "sleep" ? true : null));
  assert.deepEqual(procfs.splitAtNul(procfs.readCommandLine(child.pid) ?? Buffer.alloc(0)).map(String), ["sleep", "1000", "0"]);
  const environment = procfs.splitAtNul(procfs.readEnvironment(child.pid) ?? Buffer.alloc(0)).map(String);
  assert.ok(environment.includes(`PATH=${process.env["PATH"] ?? ""}`));
  assert.ok(procfs.readAllChildren(self)?.includes(child.pid));
  assert.deepEqual(procfs.readNamespaces(child.pid), procfs.readNamespaces(self));
});

test("the machine tells what it is", () => {
  const facts = procfs.readSystemFacts();
  assert.match(facts.bootId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(facts.kernelRelease, os.release());
  assert.equal(facts.hostName, os.hostname());
  assert.ok(facts.pidMax >= 301);
  assert.ok(facts.lastCapability >= 30);
  assert.ok(facts.processorFlags.length > 0);
});

test("locks of this machine are understood", () => {
  assert.ok(Array.isArray(procfs.readLocks()));
});
