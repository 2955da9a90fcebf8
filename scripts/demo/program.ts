/**
 * The program that the demonstration saves: it counts, and carries a number along that depends on every step before it, so
 * that only a program whose memory came back whole can go on rightly. It knows nothing of Cairn and saves nothing itself.
 */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

export const LAST = 25;

export interface DemoProgram {
  readonly command: string;
  readonly fileName: string;
  readonly source: string;
}

export const programs: readonly DemoProgram[] = [
  {
    command: "python3",
    fileName: "count.py",
    source: `import time

log = open("count.log", "a")
memory = 1
for n in range(1, ${LAST + 1}):
    memory = (memory * 75 + n) % 65537
    print(f"   {n:2}   memory {memory:5}", flush=True)
    log.write(f"{n} {memory}\\n")
    log.flush()
    time.sleep(0.25)
`,
  },
  {
    command: "perl",
    fileName: "count.pl",
    source: `use IO::Handle;

open(my $log, ">>", "count.log") or die;
$_->autoflush(1) for $log, *STDOUT;
my $memory = 1;
for my $n (1 .. ${LAST}) {
    $memory = ($memory * 75 + $n) % 65537;
    printf "   %2d   memory %5d\\n", $n, $memory;
    print $log "$n $memory\\n";
    select undef, undef, undef, 0.25;
}
`,
  },
  {
    command: "sh",
    fileName: "count.sh",
    source: `exec 3>>count.log
memory=1
n=0
while [ $n -lt ${LAST} ]; do
  n=$((n + 1))
  memory=$(((memory * 75 + n) % 65537))
  printf '   %2d   memory %5d\\n' $n $memory
  echo "$n $memory" >&3
  sleep 0.25
done
`,
  },
];

/** The first whose interpreter is on this machine; `sh` always is. */
export function chooseProgram(searchPath?: string): DemoProgram {
  const found = programs.find((program) => isInstalled(program, searchPath));
  if (found === undefined) throw new Error("There is not even sh on the PATH");
  return found;
}

export function isInstalled({ command }: DemoProgram, searchPath = process.env["PATH"] ?? ""): boolean {
  return searchPath.split(":").some((folder) => isExecutable(join(folder, command)));
}

/** What count.log holds after an uninterrupted run. */
export function expectedLog(): string {
  let memory = 1;
  let log = "";
  for (let n = 1; n <= LAST; n += 1) {
    memory = (memory * 75 + n) % 65537;
    log += `${n} ${memory}\n`;
  }
  return log;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
