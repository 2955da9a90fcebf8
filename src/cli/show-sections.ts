/** The parts of `cairn show`, each as text. */
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { nameToText } from "../base/names.ts";
import { formatAge, plural } from "./format.ts";
import { styleOut } from "./output.ts";
import type { ProcessJson, ShowJson } from "./show-json.ts";
import { formatTable } from "./table.ts";
import type { Column } from "./table.ts";
import { outputWidth } from "./terminal-width.ts";

export type SectionName = "overview" | "processes" | "threads" | "files" | "memory" | "environment";

export const sections: Readonly<Record<SectionName, (shown: ShowJson) => string>> = {
  overview,
  processes: processTree,
  threads,
  files,
  memory,
  environment,
};

const heading = (text: string): string => `${styleOut("bold", text)}\n`;
const indented = (text: string): string => text.replace(/^(?=.)/gm, "  ");

function overview(shown: ShowJson): string {
  const { details, host, processes } = shown;
  const rows: [string, string][] = [];
  if (details !== null) {
    const age = formatAge(Date.parse(details.takenAt), Date.now());
    rows.push(
      ["taken", `${details.takenAt} (${age}), trigger: ${details.trigger}`],
      ["pause", `${formatDuration(details.pauseMs)}; the checkpoint took ${formatDuration(details.durationMs)}`],
      ["image", `${formatBytes(details.imageBytes)}, ${shown.path}`],
    );
  }
  const threadCount = processes.reduce((sum, process) => sum + process.threads.length, 0);
  rows.push(
    ["holds", `${plural(processes.length, "process", "processes")}, ${plural(threadCount, "thread")}`],
    ["host", `${host.hostName}, Linux ${host.kernelRelease}, ${host.machine}, ${host.processor}`],
    ["restart", shown.restartable ? styleOut("green", "nothing is known against it") : styleOut("red", shown.problems.join("; "))],
    ...(details?.warnings ?? []).map((warning): [string, string] => ["note", warning]),
  );
  return (
    heading(`Checkpoint ${shown.number} of job "${shown.job}"`) +
    rows.map(([name, text]) => `  ${name.padEnd(8)} ${nameToText(text)}\n`).join("")
  );
}

function processTree(shown: ShowJson): string {
  const rows: string[][] = [];
  const known = new Set(shown.processes.map(({ pid }) => pid));
  const add = (process: ProcessJson, branch: string, below: string): void => {
    const command = process.arguments.length > 0 ? process.arguments.join(" ") : `[${process.comm}]`;
    rows.push([`${branch}${process.pid}`, process.state, String(process.threads.length), formatBytes(process.savedBytes), command]);
    const children = shown.processes.filter(({ parentPid, pid }) => parentPid === process.pid && pid !== process.pid);
    children.forEach((child, index) => {
      const last = index === children.length - 1;
      add(child, `${below}${last ? "└─ " : "├─ "}`, `${below}${last ? "   " : "│  "}`);
    });
  };
  for (const process of shown.processes) if (!known.has(process.parentPid)) add(process, "", "");
  const columns: Column[] = [
    { title: "PID" },
    { title: "STATE" },
    { title: "THREADS", align: "right" },
    { title: "SAVED", align: "right" },
    { title: "COMMAND", flexible: true },
  ];
  return heading("Processes") + table(columns, rows);
}

function threads(shown: ShowJson): string {
  return perProcess(shown, "Threads", ({ threads: list }) =>
    list.length === 0
      ? null
      : table(
          [{ title: "TID", align: "right" }, { title: "NAME" }],
          list.map(({ tid, comm }) => [String(tid), comm]),
        ),
  );
}

function files(shown: ShowJson): string {
  const columns: Column[] = [{ title: "FD", align: "right" }, { title: "KIND" }, { title: "OPEN FOR" }, { title: "WHAT", flexible: true }];
  return perProcess(shown, "Descriptors", ({ descriptors }) =>
    descriptors.length === 0
      ? null
      : table(
          columns,
          descriptors.map(({ fd, kind, access, description }) => [String(fd), kind, access, description]),
        ),
  );
}

function memory(shown: ShowJson): string {
  const columns: Column[] = [
    { title: "ADDRESS" },
    { title: "PERM" },
    { title: "SIZE", align: "right" },
    { title: "SAVED", align: "right" },
    { title: "KIND" },
    { title: "WHAT", flexible: true },
  ];
  return perProcess(shown, "Memory", ({ mappings }) =>
    mappings.length === 0
      ? null
      : table(
          columns,
          mappings.map(({ start, end, permissions, bytes, savedBytes, kind, name }) => [
            `${start.slice(2)}-${end.slice(2)}`,
            permissions,
            formatBytes(bytes),
            savedBytes === 0 ? "" : formatBytes(savedBytes),
            kind,
            name ?? "",
          ]),
        ),
  );
}

function environment(shown: ShowJson): string {
  return perProcess(shown, "Environment", ({ environment: variables }) =>
    variables.length === 0 ? null : indented(variables.map((variable) => `${variable}\n`).join("")),
  );
}

function perProcess(shown: ShowJson, title: string, text: (process: ProcessJson) => string | null): string {
  return shown.processes
    .flatMap((process) => {
      const body = text(process);
      return body === null ? [] : [heading(`${title} of ${process.pid} (${process.comm})`) + body];
    })
    .join("\n");
}

function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const width = outputWidth();
  return indented(
    formatTable(columns, rows, { head: (title) => styleOut("dim", title), ...(width === undefined ? {} : { maxWidth: width - 2 }) }),
  );
}
