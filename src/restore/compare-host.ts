/** The machine of the checkpoint and this one. */
import { CairnError } from "../base/errors.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { readSystemFacts } from "../kernel/procfs/mod.ts";

/** What is compared of a machine. */
export interface ThisHost {
  readonly machine: string;
  readonly kernelRelease: string;
  readonly processorModel: string;
  readonly processorFlags: readonly string[];
}

/** Offset of XSTATE_BV, the registers in use, in an xsave area. */
const IN_USE_AT = 512;

/** Registers beyond those that every x86-64 processor has, by their bit in XSTATE_BV, and what /proc/cpuinfo calls them. */
const REGISTER_FLAGS: readonly [bit: bigint, flag: string][] = [
  [2n, "avx"],
  [5n, "avx512f"],
  [6n, "avx512f"],
  [7n, "avx512f"],
  [9n, "ospke"],
  [18n, "amx_tile"],
];

/** Instructions that programs and the C library look for when they start, and use from then on. */
const INSTRUCTION_FLAGS =
  /^(pni|s?sse\d*(_\d)?|sse4a|cx16|popcnt|aes|pclmulqdq|movbe|rdrand|rdseed|f16c|fma4?|avx.*|amx_.*|abm|bmi[12]|xop|tbm|adx|sha_ni|gfni|vaes|vpclmulqdq|erms|fsrm|clwb|clflushopt|movdir.*|rtm|waitpkg)$/;

let known: ThisHost | undefined;

/** Asked once: a listing compares many checkpoints, and /proc/cpuinfo of a large machine is long. */
function thisHost(): ThisHost {
  if (known === undefined) {
    const { kernelRelease, processorModel, processorFlags } = readSystemFacts();
    known = { machine: process.arch === "x64" ? "x86_64" : process.arch, kernelRelease, processorModel, processorFlags };
  }
  return known;
}

/** `problems`: what prevents a restart (`incompatible`); `notes`: what differs and does not. */
export function compareHost(metadata: ImageMetadata, here = thisHost()): { readonly problems: CairnError[]; readonly notes: string[] } {
  const { host } = metadata;
  if (host.machine !== here.machine) {
    const problem = new CairnError(
      "incompatible",
      `Cannot restart: the checkpoint was taken on ${host.machine}, this machine is ${here.machine}`,
      { data: { taken: host.machine, here: here.machine }, hint: `Restart it on a ${host.machine} machine` },
    );
    return { problems: [problem], notes: [] };
  }
  const notes: string[] = [];
  if (host.kernelRelease !== here.kernelRelease)
    notes.push(`The kernel is another: ${host.kernelRelease} at the checkpoint, ${here.kernelRelease} here`);
  if (host.processor !== here.processorModel)
    notes.push(`The processor is another: ${host.processor} at the checkpoint, ${here.processorModel} here`);
  const lacking = (host.processorFlags ?? []).filter((flag) => INSTRUCTION_FLAGS.test(flag) && !here.processorFlags.includes(flag));
  if (lacking.length > 0)
    notes.push(`This processor lacks ${lacking.join(", ")}: a program that found them when it started may end with SIGILL`);
  return { problems: missingRegisters(metadata, here), notes };
}

/** One for each process: registers that a thread uses and this processor does not have. */
function missingRegisters({ processes }: ImageMetadata, here: ThisHost): CairnError[] {
  return processes.flatMap(({ pid, alive }) => {
    const inUse = (alive?.threads ?? []).reduce((bits, { extendedRegisters }) => bits | usedRegisters(extendedRegisters), 0n);
    const missing = REGISTER_FLAGS.filter(([bit, flag]) => ((inUse >> bit) & 1n) === 1n && !here.processorFlags.includes(flag));
    if (missing.length === 0) return [];
    const names = [...new Set(missing.map(([, flag]) => flag))];
    return [
      new CairnError("incompatible", `Cannot restart: process ${pid} uses registers that this processor lacks (${names.join(", ")})`, {
        data: { pid, missing: names },
        hint: "Restart on a machine whose processor has at least the features of the one that took the checkpoint",
      }),
    ];
  });
}

function usedRegisters(extendedRegisters: string): bigint {
  // Only the head has to be decoded: base64 makes four characters of three bytes.
  const head = Buffer.from(extendedRegisters.slice(0, Math.ceil((IN_USE_AT + 8) / 3) * 4), "base64");
  return head.length >= IN_USE_AT + 8 ? head.readBigUInt64LE(IN_USE_AT) : 0n;
}
