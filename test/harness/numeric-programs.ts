/** Programs that compute: languages and libraries for numbers, two that make pictures, and a virtual machine. */
import { writeFileSync } from "node:fs";
import { bootSector } from "./boot-sector.ts";
import { bring, missing, type Candidate } from "./candidate.ts";
import { compile, findTool, works } from "./programs.ts";

const CUTS = 4;

const words = (text: string): readonly string[] => text.split(" ");

/** OpenBLAS, where it is the machine's linear algebra: threads of a fixed number, that sleep rather than spin when idle. */
const LINEAR_ALGEBRA = { OPENBLAS_NUM_THREADS: "3", OPENBLAS_THREAD_TIMEOUT: "20" };

function openMp(): Candidate {
  const compiler = findTool("gcc");
  if (compiler === undefined) return missing("openmp", "gcc");
  const command = [compiler, "-O2", "-Wall", "-fopenmp", "-o", "OUT/program", "openmp.c"];
  return { program: { name: "openmp", progress: ["out"], cuts: CUTS, prepare: () => [compile("apps/openmp.c", command), "400"] } };
}

function numPy(): Candidate {
  const python = findTool("python3");
  if (python === undefined || !works(python, "-c", "import numpy")) return missing("numpy", "NumPy");
  return {
    program: {
      name: "numpy",
      progress: ["log"],
      cuts: CUTS,
      environment: LINEAR_ALGEBRA,
      prepare: (place) => [python, bring(place, "matrices.py"), "220"],
    },
  };
}

function r(): Candidate {
  const [script, env] = [findTool("Rscript"), findTool("env")];
  if (script === undefined || env === undefined) return missing("r", "Rscript");
  return {
    program: {
      name: "r",
      progress: ["log"],
      cuts: CUTS,
      environment: LINEAR_ALGEBRA,
      // Its temporary folder has a random name and is there until its end.
      prepare: (place) => [env, `TMPDIR=${place.work}`, script, "--vanilla", bring(place, "statistics.R"), "120"],
    },
  };
}

function octave(): Candidate {
  const tool = findTool("octave-cli");
  if (tool === undefined) return missing("octave", "octave-cli");
  return {
    program: {
      name: "octave",
      progress: ["log"],
      cuts: CUTS,
      environment: LINEAR_ALGEBRA,
      prepare: (place) => [tool, "--quiet", "--norc", "--no-history", bring(place, "sequence.m"), "300"],
    },
  };
}

/** Two encoders of one generated picture, at the speed of a clock. */
function ffmpeg(): Candidate {
  const tool = findTool("ffmpeg");
  if (tool === undefined) return missing("ffmpeg", "ffmpeg");
  return {
    program: {
      name: "ffmpeg",
      progress: ["log"],
      cuts: CUTS,
      prepare: () => [
        tool,
        ...words("-nostdin -loglevel error -re -f lavfi -i testsrc2=size=240x180:rate=100:duration=2"),
        ...words("-fflags +bitexact -flags:v +bitexact -c:v libx264 -preset veryfast -threads:v 3 -flush_packets 1 video.mkv"),
        ...words("-c:v mpeg4 -flags:v +bitexact -threads:v 2 -flush_packets 1 -f framemd5 log"),
      ],
    },
  };
}

/** A film of ten pictures. What it says of each has times in it, and so has every format but BMP. */
function povRay(): Candidate {
  const [povray, shell] = [findTool("povray"), findTool("sh")];
  if (povray === undefined || shell === undefined) return missing("povray", "povray");
  const picture = (number: number): string => `picture${String(number).padStart(2, "0")}.bmp`;
  return {
    program: {
      name: "povray",
      progress: Array.from({ length: 10 }, (_, index) => picture(index + 1)),
      cuts: CUTS,
      ignored: ["messages"],
      prepare: (place) => [
        shell,
        "-c",
        `exec ${povray} +I${bring(place, "scene.pov")} +Opicture.bmp +FB +W160 +H120 -D +WT3 +KFI1 +KFF10 2>messages`,
      ],
    },
  };
}

/** A virtual machine whose processor is emulated. */
function qemu(): Candidate {
  const tool = findTool("qemu-system-x86_64");
  if (tool === undefined) return missing("qemu", "qemu-system-x86_64");
  return {
    program: {
      name: "qemu",
      progress: ["serial"],
      cuts: CUTS,
      prepare: (place) => {
        writeFileSync(place.path("floppy"), bootSector());
        return [
          tool,
          ...words("-nodefaults -no-user-config -display none -accel tcg -m 16 -serial file:serial"),
          ...words("-drive file=floppy,format=raw,if=floppy,readonly=on -device isa-debug-exit,iobase=0xf4,iosize=4"),
        ];
      },
    },
  };
}

export function numericPrograms(): Candidate[] {
  return [openMp(), numPy(), r(), octave(), ffmpeg(), povRay(), qemu()];
}
