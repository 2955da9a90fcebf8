// An HTTP server, clients that keep their connections, worker threads, and a child process, all in one job.
import { createServer, request, Agent } from "node:http";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { createHash } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const rounds = Number(process.argv[2] ?? 0);
const hash = (text) => createHash("sha256").update(text.repeat(100)).digest("hex");

if (process.argv[2] === "child") {
  process.on("message", (text) => process.send(hash(`child ${text}`)));
} else if (!isMainThread) {
  parentPort.on("message", (text) => parentPort.postMessage(hash(text)));
} else {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const child = fork(fileURLToPath(import.meta.url), ["child"]);
  const ask = (text) => new Promise((resolve) => (worker.once("message", resolve), worker.postMessage(text)));
  const askChild = (text) => new Promise((resolve) => (child.once("message", resolve), child.send(text)));
  let memory = 1;
  const server = createServer((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (part) => (body += part));
    incoming.on("end", async () => {
      const digest = await ask(body);
      memory = (memory * 75 + body.length) % 65537;
      outgoing.end(`${digest} ${memory}`);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const agent = new Agent({ keepAlive: true, maxSockets: 2 });
  const post = (text) =>
    new Promise((resolve, reject) => {
      const outgoing = request({ port: server.address().port, host: "127.0.0.1", method: "POST", agent }, (incoming) => {
        let body = "";
        incoming.on("data", (part) => (body += part));
        incoming.on("end", () => resolve(body));
      });
      outgoing.on("error", reject);
      outgoing.end(text);
    });
  const all = createHash("sha256");
  const log = openSync("log.txt", "w");
  for (let round = 1; round <= rounds; round += 1) {
    all.update(await post(`round ${round} ${"y".repeat((round * 37) % 3000)}`));
    if (round % 5 === 0) all.update(await askChild(`${round}`));
    writeSync(log, `${round}\n`);
  }
  console.log(all.digest("hex"));
  agent.destroy();
  server.close();
  child.disconnect();
  await worker.terminate();
}
