/**
 * An image is one file that holds a process tree: pages of memory in its data section, and metadata that say what
 * they belong to and all else about the processes. A `PageRun` leads from pages of a mapping to pages of the data section.
 * Writing and reading know nothing of processes: capture fills a writer, restore draws on a reader.
 */
export { FORMAT_VERSION, PAGE_BYTES } from "./header.ts";
export { commandLineOf, environmentOf, mappingBytes, runBytes, summariseImage, summariseProcess } from "./inspect.ts";
export type { ImageSummary, MemoryTotals, ProcessSummary } from "./inspect.ts";
export { ImageReader } from "./reader.ts";
export { ImageWriter } from "./writer.ts";
export type { VerifyProgress } from "./verify.ts";
export type {
  ConnectionState,
  Credentials,
  FileAccess,
  FileIdentity,
  ImageMetadata,
  IpcQueue,
  IpcSegment,
  IpcSemaphoreSet,
  LiveProcessImage,
  Mapping,
  MemoryPolicy,
  MessageQueue,
  Name,
  OpenFile,
  OpenFileKind,
  PageRun,
  ProcessImage,
  SeccompFilterImage,
  SharedMemory,
  SocketFile,
  SocketMessage,
  SysvIpc,
  Thread,
} from "./schema.ts";
