// Package sandbox runs commands in a root file system of their own, inside
// namespaces that the kernel gives to every process that asks: mount, pid,
// uts, ipc, a user namespace when not root, a network namespace on request.
// It needs no daemon and no other program.
//
// A sandbox is one process of this same program, started again with the
// argument Arg: it is pid 1 of the sandbox, keeps the host's view of the file
// system and works on request. Commands see the overlay that Attach mounted,
// and nothing else. When the process dies, or the one that started it, the
// kernel ends everything inside and takes the mounts away; only directories
// can be left.
//
// What the sandbox separates is a build from the machine it runs on, against
// mistakes. Commands run with the capabilities that containers commonly have
// and do not see other processes or files, but as root they are not shut in as
// firmly as in a virtual machine.
package sandbox

// Arg is the first argument that makes this program a sandbox: see Main.
const Arg = "sandbox-init"
