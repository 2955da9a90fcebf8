/** `cairn show --diff`: what a job did between two checkpoints. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Job, listAt, objectAt, parseObject, Place, textAt, touch, until, withoutEngine } from "./harness/mod.ts";

test("show --diff tells what changed between two checkpoints", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const program = `exec 8>>log; echo first >&8
    while [ ! -e ${place.path("change")} ]; do read -rt 0.02 <>fifo; done
    cd /; umask 077; ulimit -Sn 99; exec 9<${place.path("input")}; echo second line >&8; exec sleep 1000 8>&8 9<&9`;
  const made = place.start("sh", ["-c", "mkfifo fifo; echo text >input"]);
  assert.equal((await made.ended).status, 0);
  const job = new Job(place, ["bash", "-c", program]);
  await until("it runs", () => place.read("log") === "first\n");
  assert.equal((await job.checkpoint()).status, 0);
  touch(place.path("change"));
  await until("it is another program", () => place.processes().some(({ comm }) => comm === "sleep"));
  assert.equal((await job.checkpoint()).status, 0);

  const { status, stdout, stderr } = await place.cairn(["show", "job", "--diff", "1", "2", "--json"]);
  assert.equal(status, 0, stderr);
  const diff = parseObject(stdout);
  const [changed, ...more] = listAt(objectAt(diff, "processes"), "changed");
  assert.ok(changed !== undefined && more.length === 0, stdout);
  const attributes = new Map(listAt(changed, "attributes").map((one) => [textAt(one, "name"), [textAt(one, "from"), textAt(one, "to")]]));
  assert.deepEqual(attributes.get("working directory"), [place.work, "/"]);
  assert.equal(attributes.get("umask")?.[1], "077");
  assert.equal(attributes.get("command")?.[1], "sleep 1000");
  assert.match(attributes.get("limit of open files")?.[1] ?? "", /^99 /);
  const descriptors = objectAt(changed, "descriptors");
  const numbers = (list: string): unknown[] => listAt(descriptors, list).map(({ fd }) => fd);
  assert.ok(numbers("opened").includes(9), stdout);
  assert.ok(numbers("changed").includes(8), stdout);
  assert.deepEqual(
    listAt(diff, "files").map(({ from, to }) => [from, to]),
    [[6, 18]],
  );

  const table = await place.cairn(["show", "job", "--diff", "1", "2"]);
  assert.match(table.stdout, /^Job "job", from checkpoint 1 to 2, taken .* later\n/);
  assert.match(table.stdout, /size of \S+\/log +6 bytes +18 bytes\n/);
  assert.match(table.stdout, /descriptor 9 +file \S+\/input at byte 0 \(read\)\n/);
  const same = await place.cairn(["show", "job", "--diff", "1", "1"]);
  assert.match(same.stdout, /nothing changed/);
  assert.equal((await place.cairn(["show", "job", "--diff", "1", "9"])).status, 66);
  assert.equal((await place.cairn(["show", "job", "--diff", "1"])).status, 64);
  assert.equal((await place.cairn(["show", "job@1", "--diff", "1", "2"])).status, 64);
});
