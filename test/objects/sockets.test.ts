import { objectCase } from "../harness/mod.ts";

objectCase("a checkpoint keeps Unix sockets: pairs, names, connections, unread messages", { fixture: "unix-sockets" });
objectCase("a checkpoint keeps TCP sockets: listening, connected inside the job, waiting, half-closed, broken", {
  fixture: "tcp-sockets",
  arguments: ["reusable"],
});
// An ordinary user would wait for a minute until the ports are free.
objectCase("a checkpoint keeps the ports of TCP sockets that nobody else may reuse", { fixture: "tcp-sockets", needsRoot: true });
objectCase("a checkpoint keeps a TCP connection both of whose queues are full", {
  fixture: "tcp-full",
  mayBeRefused: /only root can look at/,
});
objectCase("a checkpoint keeps UDP sockets: bound, connected, with datagrams that wait, in multicast groups", { fixture: "udp-sockets" });
objectCase("a checkpoint keeps descriptors that are on their way through a socket", { fixture: "rights" });
objectCase("a checkpoint keeps netlink sockets in which nothing waits", { fixture: "netlink" });
objectCase("a checkpoint keeps who made a pair of Unix sockets, and who listens", { fixture: "peer-credentials" });
