// Package qemu builds images of virtual machines that run in QEMU, from an
// installer or from an existing disk image.
//
// A build goes through these files: config.go, schema.go and check.go make a plan
// of a configuration; job.go prepares what the machine needs (output.go, disk.go,
// firmware.go, tpm.go) and starts it (args.go, process.go), typing what the
// template says (boot.go, typing.go); machine.go is the machine while it runs and
// diagnose.go looks at it from outside; capture.go shuts it down and makes the
// artifact of its disks.
package qemu
