/**
 * The control socket's two ends.
 *
 * A socket's path is limited to 107 bytes, a store's is not: both ends reach the socket through an open descriptor of
 * its folder, `/proc/self/fd/N/control.sock`, which is short wherever the store lies.
 */
import { chmodSync, closeSync, constants, openSync, unlinkSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import type { Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { CairnError } from "../base/errors.ts";
import { MAX_LINE_BYTES, decodeRequest, decodeResponse, encodeLine, responseOfFailure } from "./control-protocol.ts";
import type { ControlRequest, ControlResponse } from "./control-protocol.ts";

/** `hungUp` is aborted when the client goes away before it has its answer. */
export type ControlHandler = (request: ControlRequest, hungUp: AbortSignal) => Promise<ControlResponse>;

const O_PATH = 0o10000000;

class OpenFolder implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_DIRECTORY | O_PATH);
  }

  pathOf(name: string): string {
    return join("/proc/self/fd", String(this.#fd), name);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

export interface ControlServer {
  /** Takes no more requests, and resolves when those under way have their answers. */
  close(): Promise<void>;
}

/** A client that takes its answer no faster than this gets none. */
const FAREWELL_MS = 2000;

/** Listens until closed. A socket file that a killed supervisor left behind is replaced. */
export async function serveControl(path: string, handler: ControlHandler): Promise<ControlServer> {
  const folder = new OpenFolder(dirname(path));
  const address = folder.pathOf(basename(path));
  removeIfThere(address);
  const connections = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    connections.set(socket, serveConnection(socket, handler));
    socket.on("close", () => connections.delete(socket));
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      // The job has got our umask at its start: narrowing ours for one call does not reach it.
      const umask = process.umask(0o177);
      server.listen(address, resolve);
      process.umask(umask);
    });
    chmodSync(address, 0o600);
  } catch (error) {
    folder[Symbol.dispose]();
    throw error;
  }
  return {
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      const late = setTimeout(() => connections.forEach((_, socket) => socket.destroy()), FAREWELL_MS);
      await Promise.all(connections.values());
      for (const socket of connections.keys()) socket.destroy();
      await closed;
      clearTimeout(late);
      removeIfThere(address);
      folder[Symbol.dispose]();
    },
  };
}

/** Resolves when the answer has been taken, or will not be. */
async function serveConnection(socket: Socket, handler: ControlHandler): Promise<void> {
  const hungUp = new AbortController();
  const gone = new Promise<void>((resolve) => {
    socket.on("close", () => {
      hungUp.abort();
      resolve();
    });
  });
  try {
    const response = await answer(await readLine(socket), handler, hungUp.signal);
    await Promise.race([gone, new Promise<void>((resolve) => void socket.end(encodeLine(response), resolve))]);
  } catch {
    socket.destroy();
  }
}

async function answer(line: string, handler: ControlHandler, hungUp: AbortSignal): Promise<ControlResponse> {
  try {
    return await handler(decodeRequest(line), hungUp);
  } catch (error) {
    return responseOfFailure(error);
  }
}

/**
 * Null when nobody listens there. Aborting hangs up, which the supervisor takes for giving up.
 * Errors: `exited` when the supervisor ended before it answered, or we hung up; `io`.
 */
export async function askSupervisor(path: string, request: ControlRequest, hangUp?: AbortSignal): Promise<ControlResponse | null> {
  using folder = new OpenFolder(dirname(path));
  const socket = await connect(folder.pathOf(basename(path)));
  if (socket === null) return null;
  const destroy = (): void => void socket.destroy();
  hangUp?.addEventListener("abort", destroy, { once: true });
  try {
    if (hangUp?.aborted === true) destroy();
    socket.write(encodeLine(request));
    return decodeResponse(await readLine(socket));
  } finally {
    hangUp?.removeEventListener("abort", destroy);
    destroy();
  }
}

function connect(address: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(address);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(null);
      else reject(new CairnError("io", `Cannot reach the job's supervisor: ${error.code ?? error.message}`, { cause: error }));
    });
  });
}

/** The first line that comes. Rejects when the other side ends before it, or sends too much. */
function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(0x0a);
      if (end >= 0) resolve(received.toString("utf8", 0, end));
      else if (received.length > MAX_LINE_BYTES) reject(new CairnError("damaged", "The control socket brought a line that is too long"));
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new CairnError("exited", "The job's supervisor ended before it answered")));
  });
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
