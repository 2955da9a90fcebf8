// Timers, promises, files, the thread pool and a worker thread, in an order that does not depend on the clock.
import { createHash, pbkdf2 } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzipSync, gzip } from "node:zlib";
import { Worker } from "node:worker_threads";

const STEPS = 250;
const digest = promisify(pbkdf2);
const compress = promisify(gzip);
const worker = new Worker(
  `const { parentPort } = require("node:worker_threads");
   let sum = 0;
   parentPort.on("message", (n) => { for (let i = 0; i < 200000; i++) sum = (sum * 31 + i + n) % 1000003; parentPort.postMessage(sum); });`,
  { eval: true },
);
worker.once("error", (error) => {
  throw error;
});
const ask = (n) =>
  new Promise((resolve) => {
    worker.once("message", resolve);
    worker.postMessage(n);
  });

let ticks = 0;
const interval = setInterval(() => ticks++, 3);
const log = openSync("log.txt", "w");
// Held open: a restart puts back what a file that is open to be read and written held at the checkpoint.
const scratch = await open("scratch", "w+");
let chain = "start";
const history = new Map();
for (let step = 0; step < STEPS; step++) {
  const [fromWorker, fromPool] = await Promise.all([ask(step), digest(chain, "salt", 9000, 32, "sha256"), delay(5)]);
  const text = `${chain}\n`.repeat(500);
  await scratch.truncate(0);
  await scratch.write(text, 0);
  const { buffer } = await scratch.read(Buffer.alloc(text.length), 0, text.length, 0);
  const back = gunzipSync(await compress(buffer));
  chain = createHash("sha256").update(back).update(fromPool).update(String(fromWorker)).digest("hex");
  history.set(chain, step);
  writeSync(log, `step ${step} worker ${fromWorker} chain ${chain}\n`);
}
clearInterval(interval);
await scratch.close();
await worker.terminate();
if (ticks < STEPS) throw new Error(`the interval ticked only ${ticks} times`);
console.log(`done ${chain} ${history.size}`);
process.exitCode = 5;
