import { programCases } from "../harness/program-cases.ts";
import { everydayPrograms } from "../harness/everyday-programs.ts";

programCases(everydayPrograms());
