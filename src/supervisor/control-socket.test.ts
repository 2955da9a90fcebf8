import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CairnError } from "../base/errors.ts";
import { askSupervisor, serveControl } from "./control-socket.ts";
import type { ControlHandler } from "./control-socket.ts";

const folder = mkdtempSync(join(tmpdir(), "cairn-control-"));
after(() => rmSync(folder, { recursive: true }));

const answerSeven: ControlHandler = () => Promise.resolve({ version: 1, ok: true, number: 7 });

test("a request is answered over a socket whose path is longer than sockets allow", async () => {
  const deep = join(folder, "a".repeat(120));
  mkdirSync(deep);
  const path = join(deep, "control.sock");
  const server = await serveControl(path, answerSeven);
  after(() => server.close());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(await askSupervisor(path, { version: 1, request: "checkpoint", stop: false }), { version: 1, ok: true, number: 7 });
});

test("a supervisor that is gone is told from one that fails", async () => {
  const path = join(folder, "gone.sock");
  assert.equal(await askSupervisor(path, { version: 1, request: "checkpoint", stop: false }), null);
  const server = await serveControl(path, () => Promise.reject(new CairnError("io", "Disk full", { hint: "Make room" })));
  assert.deepEqual(await askSupervisor(path, { version: 1, request: "checkpoint", stop: true }), {
    version: 1,
    ok: false,
    code: "io",
    message: "Disk full",
    hint: "Make room",
  });
  await server.close();
  assert.equal(await askSupervisor(path, { version: 1, request: "checkpoint", stop: false }), null);
});

test("a socket file that a killed supervisor left behind is replaced", async () => {
  const path = join(folder, "stale.sock");
  writeFileSync(path, "");
  const server = await serveControl(path, answerSeven);
  after(() => server.close());
  assert.equal((await askSupervisor(path, { version: 1, request: "checkpoint", stop: false }))?.ok, true);
});

test("the supervisor learns that its client gave up", async () => {
  const path = join(folder, "hangup.sock");
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler: ControlHandler = (_request, hungUp) =>
    new Promise(() => {
      hungUp.addEventListener("abort", () => resolve());
      client.destroy();
    });
  const server = await serveControl(path, handler);
  after(() => server.close());
  const client = createConnection(path);
  client.write('{"version":1,"request":"checkpoint","stop":false}\n');
  await promise;
});

test("an answer under way is still given when the supervisor closes", async () => {
  const path = join(folder, "farewell.sock");
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = await serveControl(path, async () => {
    await promise;
    return { version: 1, ok: true, number: 3 };
  });
  const asked = askSupervisor(path, { version: 1, request: "checkpoint", stop: true });
  // Until the server has the connection there is nothing under way.
  await new Promise<void>((next) => setTimeout(next, 20));
  const closed = server.close();
  resolve();
  assert.deepEqual(await asked, { version: 1, ok: true, number: 3 });
  await closed;
  assert.equal(existsSync(path), false);
});

test("a request that is not understood is refused", async () => {
  const path = join(folder, "nonsense.sock");
  const server = await serveControl(path, answerSeven);
  after(() => server.close());
  for (const line of ["{}", "nonsense", '{"version":2,"request":"checkpoint","stop":false}']) {
    const client = createConnection(path);
    client.end(`${line}\n`);
    const answer = await new Promise<string>((resolve) => client.once("data", (chunk) => resolve(chunk.toString())));
    assert.match(answer, /"ok":false,"code":"damaged"/);
  }
});
