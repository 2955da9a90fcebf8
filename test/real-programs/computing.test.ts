import { programCases } from "../harness/program-cases.ts";
import { numericPrograms } from "../harness/numeric-programs.ts";

programCases(numericPrograms());
