package ssh

import (
	"strings"

	"ingot/internal/component"
	"ingot/internal/readiness"
)

// The stages of an attempt to connect, as numbers of waitPlan's.
const (
	stageAddress = iota
	stageBastion
	stageTCP
	stageBanner
	stageHostKey
	stageAuth
	stageSession
)

// waitPlan describes the stages.
func waitPlan() readiness.Plan {
	return readiness.Plan{Transport: "ssh", Label: "SSH", Setting: "ssh_timeout", Stages: []readiness.Stage{
		stageAddress: {Name: "address", What: "address of the machine",
			Hint: "the machine never got an address: check its network and, for a virtual machine, that it boots and asks for a lease"},
		stageBastion: {Name: "bastion", What: "ssh bastion", Optional: true,
			Hint: "check ssh_bastion_host and ssh_bastion_port, and that the bastion can be reached from here"},
		stageTCP: {Name: "tcp", What: "tcp {target}",
			Hint: "check that the machine boots, that its SSH server is started, and that no firewall or security group is in the way; ssh_host and ssh_port must be reachable from here"},
		stageBanner: {Name: "banner", What: "ssh banner of {target}",
			Hint: "something accepts the connection but no SSH server answers: the machine may still be booting behind a forwarded port, or ssh_port belongs to something else"},
		stageHostKey: {Name: "host key", What: "ssh host key of {target}",
			Hint: "an SSH server answers but no keys could be agreed on: check ssh_ciphers and ssh_key_exchange_algorithms if they are set"},
		stageAuth: {Name: "authentication", What: "ssh authentication at {target}",
			Hint: "check ssh_username and the credentials, and that the machine sets them up at boot"},
		stageSession: {Name: "shell", What: "ssh session on {target}",
			Hint: "the login works but no command can be run: check the user's shell and the SSH server's limits"},
	}}
}

// warn tells the user of something about host keys that does not stop us.
func warn(r component.Run, err error) {
	r.Emit(component.Warning{Summary: "Host keys", Detail: strings.TrimPrefix(err.Error(), "ssh: ")})
}
